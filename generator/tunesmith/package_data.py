"""Where the data of the package lies: beside the code in a wheel, at the repository root in a checkout."""

from functools import cache
from pathlib import Path

PARTS = ("copier.yml", "CHANGELOG.md", "template", "schemas", "examples")
TOOLS = "project_tools"  # the package that `tunesmith tool` runs on a project


def packaged() -> Path:
    """The data folder of an installed wheel (it need not exist)."""
    return Path(__file__).parent / "_data"


@cache
def root() -> Path:
    """The folder that holds copier.yml, template/, schemas/ and examples/."""
    return packaged() if packaged().is_dir() else Path(__file__).resolve().parents[2]


def schema_file(*names: str) -> Path:
    """A file below schemas/."""
    return root().joinpath("schemas", *names)


def examples() -> dict[str, Path]:
    """Spec of each example, by the example's name."""
    return {spec.parent.name: spec for spec in sorted(root().glob("examples/*/spec.yaml"))}
