"""Stage `curate`: raw data in; clean train records, a frozen benchmark and a reason for every record left out."""

import sys

from engine.core.errors import run_stage
from engine.core.params import load
from engine.data.curation import curate
from engine.settings.curate import CurateParams


def main() -> None:
    settings = load(CurateParams)
    curate(settings.curate, smoke=settings.smoke, embedder=settings.embedder)


if __name__ == "__main__":
    sys.exit(run_stage(main))
