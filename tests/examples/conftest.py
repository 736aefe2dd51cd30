"""The examples are tested together with the stage that reads their data."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "template"))
