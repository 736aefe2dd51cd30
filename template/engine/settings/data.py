"""Group `data`."""

from typing import Literal

from engine.core.params import Group


class DataSettings(Group):
    """Knobs of an example's own stage `data`, which DVC passes on its command line."""

    intents: Literal[12, 42]
