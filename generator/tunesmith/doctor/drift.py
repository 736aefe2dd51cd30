"""Whether what the project passes to libraries is what the installed libraries take."""

import ast
from collections.abc import Iterable, Mapping

from tunesmith.doctor.rule import Checkup, Rule

LIBRARIES = ("peft", "transformers", "trl", "datasets", "bitsandbytes")


class LibraryArguments(Rule):
    """Every keyword that the stages pass to TRL, PEFT and transformers exists in the installed version."""

    code = "DRF001"
    why = "Libraries rename options between versions; a name that is gone fails after an hour, or is silently ignored."
    mend = "Install the locked versions (`python3 environment.py`), or take a newer template (`tunesmith update`)."

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
                    yield f"{where}: {name.replace(':', '.')} takes no {keyword}"


def calls(project: Checkup) -> dict[str, dict[str, str]]:
    """Keywords by library class, as ``package:Class``, and where each stands."""
    found: dict[str, dict[str, str]] = {}
    for path in sorted(project.path.glob("pipeline/**/*.py")):
        try:
            tree = ast.parse(path.read_bytes())
        except SyntaxError:
            continue
        imported = _imported(tree)
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in imported:
                keywords = found.setdefault(imported[node.func.id], {})
                for keyword in node.keywords:
                    if keyword.arg:
                        keywords[keyword.arg] = f"{path.relative_to(project.path).as_posix()}:{keyword.value.lineno}"
    return found


def _imported(tree: ast.Module) -> dict[str, str]:
    """Classes of the libraries by the name that a module knows them under."""
    return {
        alias.asname or alias.name: f"{node.module}:{alias.name}"
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in LIBRARIES
        for alias in node.names
        if alias.name[:1].isupper()
    }
