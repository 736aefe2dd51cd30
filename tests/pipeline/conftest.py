"""The emitted project's code is tested in place: ``template/`` is where ``pipeline`` is imported from."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "template"))
