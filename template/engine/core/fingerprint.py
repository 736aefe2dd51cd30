"""Stage `code`: one hash a stage over the code that it runs and the locked packages that decide its result.

A stage takes its own hash as a param (``code.json: [train]``), so DVC runs it again if and only if its code changed. A
stage's code is what its command starts and everything that this imports, directly or not; of these files comments,
docstrings, blank lines and trailing space do not count, and Python 3.11 to 3.14 give the same hash. Beside Python, the
data files of a package (a style sheet, a template) count whole. Imports are read, not run: no module may be imported
by a name that is computed at run time.
"""

import ast
import hashlib
import io
import json
import re
import sys
import tokenize
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

import yaml

from engine.core.artifacts import CODE

ROOT = Path(__file__).resolve().parents[2]
# The distributions that decide a result, by the name under which a module imports them. Some work unseen: transformers
# renders chat templates with jinja2, TRL trains with accelerate.
RESULT_PACKAGES = {
    "bm25s": ("bm25s",),
    "datasets": ("datasets",),
    "ftfy": ("ftfy",),
    "gguf": ("gguf",),
    "hassil": ("hassil", "home-assistant-intents"),
    "home_assistant_intents": ("home-assistant-intents",),
    "jsonschema": ("jsonschema",),
    "lm_eval": ("lm-eval",),
    "numpy": ("numpy",),
    "peft": ("accelerate", "bitsandbytes", "peft"),
    "py3langid": ("py3langid",),
    "pyarrow": ("pyarrow",),
    "rouge_score": ("rouge-score",),
    "sacrebleu": ("sacrebleu",),
    "scipy": ("scipy",),
    "torch": ("torch",),
    "transformers": ("jinja2", "safetensors", "tokenizers", "torch", "transformers"),
    "trl": ("accelerate", "bitsandbytes", "datasets", "trl"),
}
PROJECT = "trl"  # the lock of the environment that the stages run in
NOT_CODE = {".md", ".py", ".pyc", ".pyi"}  # other files of a package count; modules are followed by import
DATA = {"data", "evals"}  # what lies beside modules there is data: each file is a dep of the stages that read it
INVISIBLE = {"nfiles", "size"}  # DVC's run cache ignores params of these names (treeverse/dvc#10296)
_MODULE = re.compile(r"(?<!\S)-m\s+([A-Za-z_][\w.]*)")
_SCRIPT = re.compile(r"(?<!\S)([\w./-]+\.py)(?!\S)")


def main() -> None:
    from engine.core.errors import ProjectError
    from engine.core.io import write_json

    try:
        hashes = fingerprints(ROOT)
    except SyntaxError as error:
        raise ProjectError(f"not valid Python: {error.msg}", f"{error.filename}, line {error.lineno}") from None
    if taken := INVISIBLE & hashes.keys():
        what = f"DVC's run cache ignores code changes of a stage named {min(taken)}"
        raise ProjectError(what, "dvc.yaml: stages", "give the stage another name (treeverse/dvc#10296)")
    write_json(CODE, hashes)
    print(f"{CODE}: the code of {len(hashes)} stages")


def fingerprints(root: Path) -> dict[str, str]:
    """{stage: 16 hex digits} for every stage of ``dvc.yaml`` that starts Python code of the project.

    Raises:
        SyntaxError: a module cannot be parsed; ``filename`` is relative to the project.
    """
    stages = yaml.safe_load((root / "dvc.yaml").read_text("utf-8"))["stages"]
    locked = locked_versions(root)
    found = {}
    for name, stage in stages.items():
        started = entries(root, stage.get("do", stage)["cmd"])
        if started and name != "code":  # this stage's own code is a dependency of it, and decides no result
            found[name] = digest(root, closure(root, started), locked)
    return found


def code_key(module: str) -> str:
    """The hash of a module of this project, given by its ``__file__``, and of everything that it imports.

    What is kept outside of DVC (answers, checkpoints, weights) carries it in its name or key.
    """
    start = Path(module).resolve().relative_to(ROOT)
    return digest(ROOT, closure(ROOT, [start]), locked_versions(ROOT))


def entries(root: Path, command: str | list[str]) -> list[Path]:
    """The project's files that a stage's command starts, by ``-m module`` or as a script."""
    text = command if isinstance(command, str) else "\n".join(command)
    modules = (path for name in _MODULE.findall(text) if (path := module_path(root, name)))
    scripts = (Path(name) for name in _SCRIPT.findall(text) if (root / name).is_file())
    return [*modules, *scripts]


def closure(root: Path, started: list[Path]) -> list[Path]:
    """These files and all files of the project that they import, with the data files of their packages."""
    modules: set[Path] = set()
    waiting = list(started)
    while waiting:
        module = waiting.pop()
        if module not in modules:
            modules.add(module)
            waiting += [path for name in imports(root, module) if (path := imported(root, module, name))]
    folders = {module.parent for module in modules if module.name != "__init__.py" and module.parts[0] not in DATA}
    return sorted([*modules, *(file for folder in folders if is_package(root / folder) for file in data(root, folder))])


def imports(root: Path, module: Path) -> set[str]:
    """The dotted names that a module imports anywhere, its own package among them; whether they exist is not asked."""
    names = {".".join(module.parent.parts)} if module.parent != Path() else set()
    for node in ast.walk(parsed(root, module)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            above = module.parent.parts[: len(module.parent.parts) - node.level + 1] if node.level else ()
            base = ".".join([*above, *([node.module] if node.module else [])])
            names |= {base, *(f"{base}.{alias.name}" for alias in node.names)}
    return {".".join(parts[:end]) for name in names for parts in [name.split(".")] for end in range(1, len(parts) + 1)}


def imported(root: Path, module: Path, name: str) -> Path | None:
    """The project's file that a name means in a module; a script also finds files in its own folder."""
    beside = module.parent.parts if not is_package(root / module.parent) else ()
    return module_path(root, name) or module_path(root, ".".join([*beside, name]))


def module_path(root: Path, name: str) -> Path | None:
    """The file of a module of the project, relative to it; None if it has none."""
    path = Path(*name.split("."))
    found = (path.with_suffix(".py"), path / "__init__.py")
    return next((file for file in found if name and (root / file).is_file()), None)


def is_package(folder: Path) -> bool:
    return (folder / "__init__.py").is_file()


def data(root: Path, folder: Path) -> Iterator[Path]:
    """The files of a package that are no modules, those of its subfolders without modules included."""
    for path in sorted((root / folder).iterdir()):
        if path.name.startswith((".", "__pycache__")):
            continue
        if path.is_dir():
            if not any(path.glob("*.py")):
                yield from data(root, path.relative_to(root))
        elif path.suffix not in NOT_CODE:
            yield path.relative_to(root)


def digest(root: Path, files: list[Path], locked: Mapping[str, str]) -> str:
    """The hash of files and of the locked packages that they import and that decide a result."""
    imported = {name for file in files if file.suffix == ".py" for name in imports(root, file)}
    packages = {package for name in imported & RESULT_PACKAGES.keys() for package in RESULT_PACKAGES[name]}
    foreign = {name for file in files if file.suffix == ".py" for name in environments(root, file)}
    value = [
        *([file.as_posix(), file_hash(root, file)] for file in files),
        *([package, locked[package]] for package in sorted(packages & locked.keys())),
        *([name, locked_versions(root, name)] for name in sorted(foreign)),
    ]
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()[:16]


def environments(root: Path, module: Path) -> set[str]:
    """The environments in which a module runs commands: what its calls of `contract.run_in` name first.

    Raises:
        SyntaxError: a call computes the name.
    """
    calls = [node for node in ast.walk(parsed(root, module)) if isinstance(node, ast.Call)]
    found = set()
    for call in (call for call in calls if ast.unparse(call.func).split(".")[-1] == "run_in"):
        match call.args:
            case [ast.Constant(value=str(name)), *_]:
                found.add(name)
            case _:
                place = (module.as_posix(), call.lineno, call.col_offset, None)
                raise SyntaxError("write out the name of the environment, for this stage reads it", place)
    return found


def locked_versions(root: Path, environment: str = PROJECT) -> dict[str, str]:
    """{distribution: its locked version} of an environment, by default the project's own. Empty without a lock."""
    lock = root / "locks" / f"{environment}.txt"
    found = {}
    for line in lock.read_text("utf-8").splitlines() if lock.is_file() else ():
        name, equal, version = line.split("#")[0].split(";")[0].partition("==")
        if equal:
            found[re.sub(r"[-_.]+", "-", name.strip()).lower()] = version.strip()
    return found


@cache
def parsed(root: Path, module: Path) -> ast.Module:
    return ast.parse(source(root, module), filename=module.as_posix())


@cache
def file_hash(root: Path, file: Path) -> str:
    """The hash of a module's code, or of another file's content."""
    content = code(source(root, file), parsed(root, file)) if file.suffix == ".py" else (root / file).read_bytes()
    return hashlib.sha256(content).hexdigest()


def source(root: Path, file: Path) -> str:
    """A module's text; line ends of every system read the same."""
    with open(root / file, encoding="utf-8") as opened:
        return opened.read()


def code(text: str, tree: ast.Module) -> bytes:
    """A module's source without comments, docstrings, blank lines and trailing space.

    Text is cut out, and not a tree or tokens written: `ast.dump` and the tokens of f-strings differ between versions of
    Python.
    """
    lines = [line.encode() for line in text.split("\n")]
    documenting = list(docstrings(tree))
    for first, start, last, end in sorted([*documenting, *comments(text)], reverse=True):
        lines[first] = lines[first][:start] + lines[last][end:]
        lines[first + 1 : last + 1] = [b""] * (last - first)
    placed = {(first, start) for first, start, _, _ in documenting}
    verbatim = {
        line
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant | ast.JoinedStr) and (node.lineno - 1, node.col_offset) not in placed
        if node.end_lineno != node.lineno
        for line in range(node.lineno - 1, node.end_lineno or node.lineno)
    }  # in a text over several lines even blank ones and trailing space count
    return b"\n".join(
        line if number in verbatim else line.rstrip()
        for number, line in enumerate(lines)
        if number in verbatim or line.strip()
    )


def docstrings(tree: ast.Module) -> Iterator[tuple[int, int, int, int]]:
    """Places of docstrings: first line and column, last line and column, in bytes, counted from 0."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and node.body:
            match node.body[0]:
                case ast.Expr(value=ast.Constant(value=str())) as text:
                    last = text.end_lineno or text.lineno
                    yield text.lineno - 1, text.col_offset, last - 1, text.end_col_offset or 0


def comments(text: str) -> Iterator[tuple[int, int, int, int]]:
    """Places of comments, in the form of `docstrings`."""
    lines = text.split("\n")
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            line = token.start[0] - 1
            column = len(lines[line][: token.start[1]].encode())
            yield line, column, line, column + len(token.string.encode())


if __name__ == "__main__":
    from engine.core.errors import run_stage

    sys.exit(run_stage(main))
