"""Check all of ``params.yaml``: ``python -m engine.tools.check_params``.

Each stage checks the groups that it reads. The stage `code` is the first and runs this, so that a misspelt knob of the
last stage is told before any work is done.
"""

import sys

from engine.core.errors import run_stage
from engine.settings.everything import load_all


def main() -> None:
    load_all()


if __name__ == "__main__":
    sys.exit(run_stage(main))
