"""Imports of modules that moved are rewritten, and nothing else in a file is."""

import ast
import tomllib
from pathlib import Path

import pytest
from conftest import REPOSITORY
from packaging.version import Version

from tunesmith import git, package_data
from tunesmith.errors import FileProblem
from tunesmith.update import moves
from tunesmith.update.import_rewrite import rewrite
from tunesmith.update.moves import Moves, Place, Table

TEMPLATE = {
    path.relative_to(REPOSITORY / "template").as_posix(): path for path in (REPOSITORY / "template").rglob("*.*")
}
HOMES = TEMPLATE | {f"project_tools/{path.name}": path for path in (REPOSITORY / "project_tools").glob("*.py")}
RELEASED = {
    release["version"]: release["commit"]
    for release in tomllib.loads((REPOSITORY / "releases.toml").read_text(encoding="utf-8"))["release"]
}
MOVES = Moves(
    {
        "pipeline.files": "engine.core.io",
        "pipeline.tables.rows": "engine.data.rows",
        "pipeline.model": "models",
        "pipeline.gate": "engine.checks",
    },
    {
        "pipeline.cost": {
            "read_price": Place("engine.costing.price_list", "read_price"),
            "as_dict": Place("engine.costing.money", "to_dict"),
        },
        "pipeline.gate": {"main": Place("pipeline.gate", "main"), "tell": Place("engine.terminal", "tell")},
    },
)
CASES = {
    "from pipeline.files import read, write\n": "from engine.core.io import read, write\n",
    "from pipeline.files import (  # why\n    read,\n    write as w,  # x\n)\n": (
        "from engine.core.io import (  # why\n    read,\n    write as w,  # x\n)\n"
    ),
    "from pipeline import files, fit\n": "from engine.core import io as files\nfrom pipeline import fit\n",
    "from pipeline import files as f\n": "from engine.core import io as f\n",
    "from pipeline.tables import rows\n": "from engine.data import rows\n",
    "from .files import read\n": "from engine.core.io import read\n",
    "from . import files\n": "from engine.core import io as files\n",
    "from . import fit, files\n": "from . import fit\nfrom engine.core import io as files\n",
    "from pipeline.cost import read_price, main as m\n": (
        "from engine.costing.price_list import read_price\nfrom pipeline.cost import main as m\n"
    ),
    "from pipeline.cost import as_dict, read_price\n": (
        "from engine.costing.money import to_dict as as_dict\nfrom engine.costing.price_list import read_price\n"
    ),
    "def f():\n\tfrom pipeline.cost import (\n\t\tread_price,  # one\n\t\tmain,\n\t)  # two\n": (
        "def f():\n\t# one\n\tfrom engine.costing.price_list import read_price\n"
        "\tfrom pipeline.cost import main  # two\n"
    ),
    "if 1: from pipeline.cost import read_price, main; x = 1\n": (
        "if 1: from engine.costing.price_list import read_price; from pipeline.cost import main; x = 1\n"
    ),
    "import pipeline.files\nprint(pipeline.files.read, 'é', pipeline.files.write)\n": (
        "import engine.core.io\nprint(engine.core.io.read, 'é', engine.core.io.write)\n"
    ),
    "import os, pipeline.files as f, sys\n": "import os, engine.core.io as f, sys\n",
    "import pipeline.cost\npipeline.cost.read_price(pipeline.cost.main)\n": (
        "import engine.costing.price_list, pipeline.cost\nengine.costing.price_list.read_price(pipeline.cost.main)\n"
    ),
    "import pipeline.cost\npipeline.cost.as_dict()\n": "import engine.costing.money\nengine.costing.money.to_dict()\n",
    "x = 'é'; from pipeline.files import read # ü\n": "x = 'é'; from engine.core.io import read # ü\n",
    "from pipeline.files import *\n": "from engine.core.io import *\n",
    "from pipeline import model\n": "import models as model\n",
    "from pipeline.gate import main, tell, check\n": (
        "from pipeline.gate import main\nfrom engine.terminal import tell\nfrom engine.checks import check\n"
    ),
    "import pipeline.gate\npipeline.gate.check(pipeline.gate.tell)\n": (
        "import engine.checks, engine.terminal\nengine.checks.check(engine.terminal.tell)\n"
    ),
}


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize("before", CASES)
def test_imports_are_rewritten(before: str, newline: str) -> None:
    done = rewrite("pipeline/own.py", before.replace("\n", newline).encode(), MOVES)
    assert done.content == CASES[before].replace("\n", newline).encode() and not done.left
    ast.parse(done.content)


@pytest.mark.parametrize(
    "text",
    [
        "from pipeline.fit import files\n",
        "from pipeline.cost import main\n",
        "from pipeline import cost_of\n",
        "import pipeline\npipeline.files\n",
        "from other.files import read\n",
        "from .. import files\nfrom .... import files\n",
        "# from pipeline.files import read\nx = 'from pipeline.files import read'\n",
        "def broken(:\n from pipeline.files import read\n",
        "\x0cx = 1\n",
    ],
)
def test_what_did_not_move_stays(text: str) -> None:
    assert rewrite("pipeline/own.py", text.encode(), MOVES).content == text.encode()


def test_an_encoding_and_a_byte_order_mark_stay() -> None:
    latin = "# coding: latin-1\nfrom pipeline.files import read  # é\n".encode("latin-1")
    assert rewrite("a.py", latin, MOVES).content == latin.replace(b"pipeline.files", b"engine.core.io")
    marked = b"\xef\xbb\xbffrom pipeline.files import read\n"
    assert rewrite("a.py", marked, MOVES).content == marked.replace(b"pipeline.files", b"engine.core.io")


@pytest.mark.parametrize(
    "text",
    [
        "from pipeline import cost\ncost.as_dict()\n",
        "from pipeline.cost import *\n",
        "import pipeline.cost as c\nc.read_price()\n",
        "mock('pipeline.files.read')\n",
        "mock('pipeline.cost.read_price')\n",
        "run('python', '-m', 'pipeline.files')\n",
    ],
)
def test_what_only_the_owner_can_decide_is_said(text: str) -> None:
    done = rewrite("a.py", text.encode(), MOVES)
    assert done.content == text.encode() and len(done.left) == 1 and done.left[0].startswith("line 1: ")


def test_homes_follow_through_versions() -> None:
    first = Moves({"pipeline.money": "pipeline.costing.money"})
    second = Moves({"pipeline.costing.money": "engine.money"}, MOVES.names, {"a.css": ("b.css", "c.css")})
    table = Table([first, second])
    assert "engine/money.py" in table.homes("pipeline/money.py") and table.homes("pipeline/fit.py") == []
    assert table.homes("a.css") == ["b.css", "c.css"]
    assert {"engine/costing/price_list.py", "engine/costing/money.py"} < set(table.homes("pipeline/cost.py"))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("a: 1\n", "is no version"),
        ("0.3.0: []\n", "is no mapping"),
        ("'0.3.0': {module: {}}\n", "is none of"),
        ("'0.3.0': {modules: {a: 1}}\n", "is no module"),
        ("'0.3.0': {modules: {a: {b: 'c d'}}}\n", "is no module"),
        ("'0.3.0': {files: {a: []}}\n", "is no path"),
        ("[", "while parsing"),
    ],
)
def test_a_broken_table_is_refused(text: str, reason: str) -> None:
    with pytest.raises(FileProblem, match=reason):
        moves.read(text, Path("moves.yaml"))


SHIPPED = moves.read(package_data.schema_file("moves.yaml").read_text(encoding="utf-8"), Path("moves.yaml"))


def bound(path: Path) -> set[str]:
    """Names that a module binds at its top level, imported ones aside."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    defined = {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    return defined | {
        node.id
        for statement in tree.body
        for node in ast.walk(statement)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
    }


def test_every_home_in_the_shipped_table_exists() -> None:
    newest = SHIPPED[max(SHIPPED)]
    places = [place for names in newest.names.values() for place in names.values()]
    files = {module: moves.existing(moves.paths_of(module), HOMES) for module in newest.modules.values()}
    files |= {place.module: moves.existing(moves.paths_of(place.module), HOMES) for place in places}
    assert not [module for module, found in files.items() if not found]
    known = {module: bound(HOMES[found[0]]) for module, found in files.items()}
    assert not [place for place in places if place.name not in known[place.module]]


@pytest.mark.parametrize("release", RELEASED)
def test_every_module_of_a_release_has_a_home(release: str) -> None:
    table = Table([SHIPPED[version] for version in sorted(SHIPPED) if version > Version(release)])
    commit = RELEASED[release]
    listed = git.run("ls-tree", "-r", "--name-only", commit, "template/pipeline", cwd=REPOSITORY).splitlines()
    paths = [path.removeprefix("template/") for path in listed if "__init__" not in path]
    lost = [path for path in paths if path not in TEMPLATE and not moves.existing(table.homes(path), HOMES)]
    assert paths and not lost
