"""Write ``params.schema.json``, from which editors complete and check ``params.yaml``.

Run ``python -m engine.tools.params_schema`` after you add or change a setting. The stages check ``params.yaml`` against
the same types, so the schema accepts what they accept.
"""

import sys
from pathlib import Path
from typing import Any

from engine.core.errors import run_stage
from engine.core.io import write_json
from engine.settings.everything import Everything

SCHEMA = Path("params.schema.json")


def main() -> None:
    write_json(SCHEMA, schema())
    print(f"{SCHEMA}: {len(schema()['$defs'])} groups of knobs")


def schema() -> dict[str, Any]:
    """The JSON Schema of ``params.yaml``; a group that this project has no use for may be absent."""
    whole = Everything.model_json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **whole, "additionalProperties": False}


if __name__ == "__main__":
    sys.exit(run_stage(main))
