"""Works out an update without touching the project: which versions, which answers, what the merge gives."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from packaging.version import Version

from tunesmith import flat_yaml, git
from tunesmith.errors import GitFailed, NotAProject, UnknownVersion
from tunesmith.manifest import ANSWERS, NAME, PARAMETERS, Manifest
from tunesmith.render import render_answers
from tunesmith.update import answers as evolution
from tunesmith.update import dvc_impact, hand_edits, keep_results, tree_diff
from tunesmith.update.answers import Carried
from tunesmith.update.git_trees import Repository
from tunesmith.update.merge import Merged, merge
from tunesmith.update.moves import Table, between
from tunesmith.update.source import Source, parse, refuse_newer
from tunesmith.update.tree_diff import Change, Difference

PIPELINE = "dvc.yaml"
Ask = Callable[[str, Any], Any]


def _last_seen(root: Path, path: str) -> str:
    """How to get a file back that a commit removed; nothing if no commit had it."""
    try:
        commit = git.run("log", "-1", "--diff-filter=D", "--format=%h", "--", path, cwd=root)
    except GitFailed:
        return ""  # there is no commit at all
    return f", which {commit} removed: `git checkout {commit}~ -- {path}` brings it back" if commit else ""


@dataclass(frozen=True)
class Project:
    """A project as its last commit has it. ``prefix`` is its place in the repository: empty, or ending in a slash."""

    path: Path
    root: Path
    prefix: str
    head: str

    @classmethod
    def open(cls, path: Path) -> "Project":
        """The project in a directory.

        Raises:
            NotAProject: there is no such directory, no repository, no commit, or no recorded answers.
        """
        root = git.repository(path)
        prefix = git.run("rev-parse", "--show-prefix", cwd=path)
        try:
            head = git.run("rev-parse", "--verify", "HEAD^{commit}", cwd=path)
            git.run("cat-file", "-e", f"{head}:{prefix}{ANSWERS}", cwd=path)
        except GitFailed:
            raise NotAProject(path, f"its last commit has no {ANSWERS}{_last_seen(root, prefix + ANSWERS)}") from None
        return cls(path, root, prefix, head)

    def read(self, name: str) -> bytes:
        """A file of the last commit, empty if it has none."""
        try:
            return git.output("cat-file", "blob", f"{self.head}:{self.prefix}{name}", cwd=self.root)[1]
        except GitFailed:
            return b""

    def answers(self) -> dict[str, Any]:
        """The recorded answers, copier's own keys among them.

        Raises:
            SpecError: the file is broken.
        """
        return flat_yaml.read(str(self.path / ANSWERS), self.read(ANSWERS)).values


@dataclass(frozen=True)
class Request:
    """What an update is asked for. ``ask`` answers a question that is new, given its key and default."""

    settings: Sequence[str] = ()
    to: str = ""
    source: str = ""
    ask: Ask | None = None


class Renders:
    """Rendered versions of a template, each rendered once."""

    def __init__(self, source: Source, scratch: Path) -> None:
        self.source, self.scratch = source, scratch
        self.done: dict[str, Path] = {}

    def folder(self, version: Version, answers: Mapping[str, Any]) -> Path:
        """A folder with the files of a version."""
        key = f"{version} {sorted((name, repr(value)) for name, value in answers.items())}"
        if key not in self.done:
            target = self.scratch / f"render-{len(self.done)}"
            render_answers(self.source.origin, f"v{version}", answers, target, self.scratch)
            self.done[key] = target
        return self.done[key]


@dataclass(frozen=True)
class Plan:
    """Everything that an update would do. ``beyond``: a release that this command line is too old for."""

    project: Project
    repository: Repository
    source: Source
    before: Version
    after: Version
    carried: Carried
    answers: Sequence[Difference]
    trees: Mapping[str, str]
    merged: Merged
    files: Sequence[Change]
    beyond: Version | None = None
    changelog: str = ""
    parameters: Sequence[Difference] = ()
    dependencies: Sequence[Difference] = ()
    reruns: Sequence[dvc_impact.Rerun] = field(default=())
    unkept: Mapping[str, str] = field(default_factory=dict)  # by stage why its result cannot be kept; empty: it can

    @property
    def available(self) -> bool:
        """Whether there is anything to do."""
        return bool(self.merged.stages) or self.merged.tree != self.trees["user"]


def prepare(project: Project, request: Request, scratch: Path, *, read_only: bool) -> Plan:
    """Plan an update; ``read_only`` keeps every new object out of the project's repository.

    Raises:
        NewerProject, UnknownVersion, SpecError, RenderFailed, FileProblem
    """
    hand_edits.refuse(project.root, project.prefix, project.read(ANSWERS))
    recorded = project.answers()
    before = _recorded_version(recorded, project)
    source = Source.open(str(recorded.get("_src_path", "")), request.source, scratch)
    if before not in source.versions():
        raise UnknownVersion(str(before), source.shown, [str(version) for version in source.versions()])
    after, beyond = source.target(request.to, before)
    schema = source.schema(after)
    carried = evolution.carry(recorded, schema, str(project.path / ANSWERS))
    carried = evolution.with_extras_in_use(carried, project.read(PARAMETERS))
    if request.ask:
        carried = evolution.asked(carried, schema, request.ask, str(project.path / ANSWERS))
    if request.settings:
        carried = evolution.change(carried, request.settings, "--set")
    repository = Repository.open(project.root, scratch, read_only=read_only)
    old_answers = {key: value for key, value in recorded.items() if key not in evolution.COPIER_KEYS}
    user = repository.run("rev-parse", f"{project.head}:{project.prefix.rstrip('/')}")
    trees = {"old": user, "user": user, "new": user}
    if (before, old_answers) != (after, carried.answers):
        renders = Renders(source, scratch)
        trees["old"] = repository.snapshot(renders.folder(before, old_answers))
        trees["new"] = repository.snapshot(renders.folder(after, carried.answers))
    versions = (before, after, beyond)
    return _plan(project, repository, source, versions, (old_answers, carried), trees, between(source, before, after))


def _recorded_version(recorded: Mapping[str, Any], project: Project) -> Version:
    text = str(recorded.get("_commit", ""))
    version = parse(text)
    if version is None:
        raise UnknownVersion(text or "without a recorded version", str(project.path / ANSWERS), [])
    refuse_newer(version, f"the template of {project.path}")
    return version


def _plan(
    project: Project,
    repository: Repository,
    source: Source,
    versions: tuple[Version, Version, Version | None],
    answers: tuple[Mapping[str, Any], Carried],
    trees: Mapping[str, str],
    table: Table,
) -> Plan:
    before, after, beyond = versions
    manifest = _manifest(repository, trees)
    merged = merge(repository, trees["old"], trees["user"], trees["new"], manifest, str(after), table)
    files = tree_diff.of_files(repository, trees, merged)
    text = {side: _texts(repository, tree, files) for side, tree in (("user", trees["user"]), ("new", merged.tree))}
    parameters = tree_diff.of_parameters(text["user"][PARAMETERS], text["new"][PARAMETERS])
    listed = {
        side: {path: found[path] for path in found if tree_diff.is_pinned_or_declared(path)}
        for side, found in text.items()
    }
    return Plan(
        project,
        repository,
        source,
        before,
        after,
        answers[1],
        tree_diff.differing(answers[0], answers[1].answers),
        trees,
        merged,
        files,
        beyond,
        source.changelog(before, after),
        parameters,
        tree_diff.of_dependencies(listed["user"], listed["new"]),
        dvc_impact.affected(text["user"][PIPELINE], text["new"][PIPELINE], _touched(files), parameters),
        keep_results.reasons(text["user"][PIPELINE], text["new"][PIPELINE], _touched(files), parameters, table),
    )


def _manifest(repository: Repository, trees: Mapping[str, str]) -> Manifest:
    """Owners as the new version sees them, else the old one."""
    for side in ("new", "old"):
        entry = repository.entries(trees[side]).get(NAME)
        if entry:
            return Manifest.read(repository.blobs([entry.oid])[entry.oid].decode(errors="replace"))
    return Manifest()


def _texts(repository: Repository, tree: str, files: Sequence[Change]) -> dict[str, str]:
    """The files of a tree that are read for what they mean, by path; empty text for one that is not there."""
    wanted = {PARAMETERS, PIPELINE, *(change.path for change in files if tree_diff.is_pinned_or_declared(change.path))}
    entries = repository.entries(tree)
    contents = repository.blobs(entries[path].oid for path in wanted if path in entries)
    return {
        path: contents[entries[path].oid].decode(errors="replace") if path in entries else "" for path in sorted(wanted)
    }


def _touched(files: Sequence[Change]) -> list[str]:
    return [path for change in files if change.kind != "kept" for path in (change.path, change.previous) if path]
