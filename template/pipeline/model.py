"""Stage `model`: materialise the base model at a pinned state and record what it is.

Weights live in the cache folder and are never versioned: ``models/base.json`` names them by hash, and any
stage that needs them rebuilds them when they are missing. A fresh clone downloads nothing until a stage really runs.
"""

import sys

from engine.core.artifacts import BASE_MANIFEST
from engine.core.device import quiet
from engine.core.errors import run_stage
from engine.core.io import write_json
from engine.core.params import load
from engine.models.base import describe, fetch_ahead, materialise
from engine.settings.model import ModelParams


def main() -> None:
    quiet()
    settings = load(ModelParams)
    folder = materialise(settings)
    write_json(BASE_MANIFEST, describe(settings, folder))
    print(f"{settings.model.name}: {folder}")


if __name__ == "__main__":
    sys.exit(run_stage(fetch_ahead if sys.argv[1:] == ["--fetch"] else main))
