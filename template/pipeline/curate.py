"""Stage `curate`: raw data in; clean train records, a frozen benchmark and a reason for every record left out."""

import sys

from engine.core import settings as project_settings
from engine.core.errors import run_stage
from engine.data.curation import curate


def main() -> None:
    everything = project_settings.load()
    curate(everything.curate, smoke=everything.smoke, embedder=everything.embedder)


if __name__ == "__main__":
    sys.exit(run_stage(main))
