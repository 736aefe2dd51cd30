"""Whether what the project passes to libraries is what the installed libraries take."""

import ast
from collections.abc import Iterable, Mapping

from tunesmith.doctor.rule import Checkup, Rule

LIBRARIES = ("peft", "transformers", "trl", "datasets", "bitsandbytes")


class LibraryArguments(Rule):
    """Every keyword that pipeline/ and engine/ pass to TRL, PEFT and transformers exists in the installed version."""

    code = "DRF001"
    why = "Libraries rename options between versions. An unknown option fails after an hour or is silently ignored."
    fix = "Install the locked versions (`python3 environment.py`), or take a newer template (`tunesmith update`)."

    def check(self, project: Checkup) -> Iterable[str]:
        if project.python is None:
            return
        used = calls(project)
        fields: Mapping[str, list[str] | None] = project.probe(*sorted(used))["fields"]
        for name, keywords in sorted(used.items()):
            known = fields.get(name)
            if known is None:
                yield f"{name.replace(':', '.')} is not in the installed version"
                continue
            for keyword, where in sorted(keywords.items()):
                if keyword not in known and "**" not in known:
                    yield f"{where}: {name.replace(':', '.')} has no argument {keyword}"


def calls(project: Checkup) -> dict[str, dict[str, str]]:
    """Keywords by library class, as ``package:Class``, and where each stands."""
    found: dict[str, dict[str, str]] = {}
    for path in sorted(path for folder in ("pipeline", "engine") for path in project.path.glob(f"{folder}/**/*.py")):
        try:
            tree = ast.parse(path.read_bytes())
        except SyntaxError:
            continue
        imported = _imported(tree)
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and (name := _called(node.func, imported)):
                keywords = found.setdefault(name, {})
                for keyword, line in _keywords(node):
                    keywords[keyword] = f"{path.relative_to(project.path).as_posix()}:{line}"
    return found


def _called(function: ast.expr, imported: Mapping[str, str]) -> str:
    """``package:Class`` of what is called, also through its module or one of its methods; empty for anything else."""
    match function:
        case ast.Name(name):
            found = imported.get(name, "")
        case ast.Attribute(ast.Name(name), attribute) if name in imported:
            known = imported[name]
            found = f"{known}.{attribute}" if ":" in known else f"{known}:{attribute}"
        case _:
            found = ""
    return found if ":" in found else ""


def _keywords(call: ast.Call) -> Iterable[tuple[str, int]]:
    """Keywords of a call and their lines, those of a literal ``**{...}`` among them."""
    for keyword in call.keywords:
        if keyword.arg:
            yield keyword.arg, keyword.value.lineno
        elif isinstance(keyword.value, ast.Dict):
            for key in keyword.value.keys:
                if isinstance(key, ast.Constant) and isinstance(key.value, str):
                    yield key.value, key.lineno


def _imported(tree: ast.Module) -> dict[str, str]:
    """What a module knows of the libraries by the name that it uses: ``package`` or ``package:Class``."""
    found: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in LIBRARIES:
            classes = (alias for alias in node.names if alias.name[:1].isupper())
            found |= {alias.asname or alias.name: f"{node.module}:{alias.name}" for alias in classes}
        elif isinstance(node, ast.Import):
            modules = (alias for alias in node.names if alias.name in LIBRARIES)
            found |= {alias.asname or alias.name: alias.name for alias in modules}
    return found
