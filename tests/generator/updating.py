"""What the update tests share: projects of every release, rendered once, and a way to live in them."""

import io
import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tunesmith import cli, git
from tunesmith.render import Origin, render_answers
from tunesmith.update import plan

ANSWERS = ".copier-answers.yml"


@dataclass(frozen=True)
class Done:
    """A finished command."""

    code: int
    out: str
    err: str

    @property
    def data(self) -> dict[str, Any]:
        loaded: dict[str, Any] = json.loads(self.out)
        return loaded


class Kept:
    """Renders kept for the whole test run: each is made by copier once and copied after that."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.made: dict[str, Path] = {}

    def render(self, origin: Origin, tag: str, answers: Mapping[str, Any], target: Path, scratch: Path) -> None:
        key = f"{origin.location} {tag} {sorted((name, repr(value)) for name, value in answers.items())}"
        if key not in self.made:
            kept = self.folder / str(len(self.made))
            render_answers(origin, tag, answers, kept, scratch)
            self.made[key] = kept
        shutil.copytree(self.made[key], target, symlinks=True)


@dataclass(frozen=True)
class Workshop:
    """Projects of the history's releases."""

    bundle: Path
    templates: dict[str, Path]
    folder: Path

    def project(self, version: str, folder: Path, *, inside: Path | None = None) -> Path:
        """A committed project of a release. ``inside``: a part of that repository."""
        shutil.copytree(self.templates[version], folder, symlinks=True)
        if inside is None:
            git.start_repository(folder, "Generate")
        else:
            git.run("add", "--all", "--force", ".", cwd=folder)
            git.commit(inside, "Add a project")
        return folder

    def update(self, project: Path, *arguments: str, source: Path | None = Path("history.bundle")) -> Done:
        """Run ``tunesmith update`` on it, in this process, from the history unless another source is named."""
        if source and not {"--continue", "--abort"} & set(arguments):
            arguments = (*arguments, "--source", str(self.bundle.parent / source))
        return update(project, *arguments)


def update(project: Path, *arguments: str) -> Done:
    """Run ``tunesmith update`` on a project, in this process."""
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        code = cli.main(["update", str(project), *arguments])
    return Done(code, out.getvalue(), err.getvalue())


def commit(project: Path, message: str = "Live") -> None:
    """Commit all that is not ignored."""
    git.commit_all(project, message)


def replace(path: Path, old: str, new: str) -> None:
    """Edit a file; the text must be there."""
    text = path.read_text(encoding="utf-8")
    assert old in text, f"{path.name} has no {old!r}"
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


def everything(folder: Path) -> dict[str, bytes]:
    """Every file of a work tree, ignored and untracked ones too, by path; links by their target."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder)
        if ".git" in name.parts:
            continue
        if path.is_symlink():
            found[name.as_posix()] = b"-> " + str(path.readlink()).encode()
        elif path.is_file():
            found[name.as_posix()] = f"{path.stat().st_mode:o} ".encode() + path.read_bytes()
    return found


def plain(folder: Path, first: Mapping[str, str], second: Mapping[str, str]) -> tuple[Path, Path]:
    """A committed project of a small template of plain files, and that template, with its second version."""
    template, project = folder / "template", folder / "project"
    (template / "template").mkdir(parents=True)
    (template / "copier.yml").write_text("_subdirectory: template\nname:\n  type: str\n  default: x\n")
    (template / "template" / "{{_copier_conf.answers_file}}.jinja").write_text("{{ _copier_answers | to_nice_yaml }}")
    git.run("init", "--quiet", cwd=template)
    for version, files in (("0.1.0", first), ("0.3.0", second)):
        for name in first:
            (template / "template" / name).unlink(missing_ok=True)
        for folder in sorted((template / "template").glob("**/"), reverse=True):
            if not any(folder.iterdir()):
                folder.rmdir()
        for name, text in files.items():
            (template / "template" / name).parent.mkdir(parents=True, exist_ok=True)
            (template / "template" / name).write_text(text)
        git.commit_all(template, version)
        git.run("tag", f"v{version}", cwd=template)
    (folder / "scratch").mkdir()
    render_answers(Origin(str(template), str(template)), "v0.1.0", {"name": "x"}, project, folder / "scratch")
    git.start_repository(project, "Generate")
    return project, template


@contextmanager
def workshop(folder: Path, build: Callable[[Path], Path], versions: list[str]) -> Iterator[Workshop]:
    """Projects of every release, made by the command line's own rendering."""
    built = build(folder)
    kept = Kept(folder / "kept")
    kept.folder.mkdir()
    scratch = folder / "scratch"
    scratch.mkdir()
    from tunesmith import spec
    from tunesmith.copier_answers import answers_for
    from tunesmith.flat_yaml import Document
    from tunesmith.planner import plan as planner
    from tunesmith.update.source import Source

    checked = spec.validate(Document("defaults"))
    made = planner.plan(checked.catalogue, checked.answers, checked.pins, prices={})
    answers = answers_for(checked, made)
    source = Source.open("https://github.com/tunesmith/tunesmith", str(built), scratch)
    templates = {}
    for version in versions:
        templates[version] = folder / f"release-{version}"
        kept.render(source.origin, f"v{version}", answers, templates[version], scratch)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plan, "render_answers", kept.render)
        yield Workshop(built, templates, folder)
