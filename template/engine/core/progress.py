"""Progress on the terminal: one line rewritten in place, or a few lines in a log."""

import sys
import time


class Progress:
    """One line that tells how far an arm is: rewritten on a terminal, a few lines in a log."""

    def __init__(self, name: str, total: int) -> None:
        self.name, self.total, self.start, self.next = name, total, time.monotonic(), 0.0

    def __call__(self, done: int) -> None:
        share = done / self.total
        if share < self.next and done < self.total:
            return
        self.next = share + (0.0 if sys.stdout.isatty() else 0.25)
        elapsed = time.monotonic() - self.start
        end = "\r" if sys.stdout.isatty() and done < self.total else "\n"
        print(
            f"{self.name}: {done}/{self.total} items, {elapsed:.0f} s, about {elapsed / share - elapsed:.0f} s left",
            end=end,
            flush=True,
        )
