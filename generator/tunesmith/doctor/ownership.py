"""What of the template was edited here, and whether an update can still find its way."""

import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path

from tunesmith import git
from tunesmith.doctor.rule import NOTE, Checkup, Rule
from tunesmith.errors import TunesmithError
from tunesmith.manifest import ANSWERS, NAME, Manifest, Owner
from tunesmith.update.state import Store

ENGINE = "engine/"
RENDERED = "the recorded version, rendered"


class TemplateFilesEdited(Rule):
    """The template's files outside the engine are unedited."""

    code = "OWN001"
    level = NOTE
    why = "An update merges its changes with your edits. More edits make conflicts more likely."
    fix = "Nothing needs fixing. If others could use the edit, propose it to the template."

    def check(self, project: Checkup) -> Iterable[str]:
        return _edits(project, engine=False)


class EngineFilesEdited(Rule):
    """The engine is the one that the recorded version ships."""

    code = "OWN004"
    level = NOTE
    why = (
        "Every update must merge an edit of the engine, and a pull request folds the engine, so that reviewers miss it."
    )
    fix = "Move the edit to pipeline/ if you can. If others could use it, propose it to the template."

    def check(self, project: Checkup) -> Iterable[str]:
        return _edits(project, engine=True)


def _edits(project: Checkup, *, engine: bool) -> Iterable[str]:
    """The template's files that were edited, deleted or, in the engine, added; line ends aside."""
    rendered = _rendered(project)
    manifest = Manifest.read(project.text(NAME))
    for path, content in rendered.items():
        found = project.path / path
        if path.startswith(ENGINE) is not engine or manifest.owner(path) is not Owner.TEMPLATE or path == ANSWERS:
            continue
        if not found.is_file():
            yield f"{path}: deleted"
        elif _lines(found.read_bytes()) != _lines(content):
            who = git.run("log", "-1", "--format=%an, %as", "--", path, cwd=project.path)
            yield f"{path}: edited, last by {who or 'nobody yet (not committed)'}"
    if engine and rendered:
        yield from (f"{path}: added" for path in project.tracked if path.startswith(ENGINE) and path not in rendered)


def _lines(content: bytes) -> bytes:
    return content.replace(b"\r\n", b"\n")


def _rendered(project: Checkup) -> Mapping[str, bytes]:
    """The recorded version rendered with the recorded answers. Empty if its source is out of reach. Rendered once."""
    if RENDERED not in project.cache:
        project.cache[RENDERED] = _render(project)
    found: Mapping[str, bytes] = project.cache[RENDERED]
    return found


def _render(project: Checkup) -> dict[str, bytes]:
    from tunesmith.update.answers import COPIER_KEYS
    from tunesmith.update.plan import Renders
    from tunesmith.update.source import Source, parse

    version = parse(str(project.answers.get("_commit", "")))
    if version is None:
        return {}
    answers = {key: value for key, value in project.answers.items() if key not in COPIER_KEYS}
    with tempfile.TemporaryDirectory(prefix="tunesmith.") as name:
        try:
            source = Source.open(str(project.answers.get("_src_path", "")), "", Path(name))
            folder = Renders(source, Path(name)).folder(version, answers)
        except TunesmithError:
            return {}
        files = (path for path in sorted(folder.rglob("*")) if path.is_file())
        return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


class AnswersRecorded(Rule):
    """The recorded answers name a released version and its source."""

    code = "OWN002"
    why = "Without them an update cannot tell your edits from the template's text."
    fix = f"Restore {ANSWERS} from git's history. Never edit it by hand."

    def check(self, project: Checkup) -> Iterable[str]:
        from tunesmith.update.source import parse

        if parse(str(project.answers.get("_commit", ""))) is None:
            yield f"{ANSWERS}: _commit is {project.answers.get('_commit')!r}"
        if not project.answers.get("_src_path"):
            yield f"{ANSWERS}: no _src_path"


class UpdateFinished(Rule):
    """No update is unfinished."""

    code = "OWN003"
    why = "An unfinished update leaves the project as a mixture of two versions."
    fix = "Run `tunesmith update --continue` or `tunesmith update --abort`."

    def check(self, project: Checkup) -> Iterable[str]:
        state = Store.of(project.root).read()
        if state:
            yield f"an update to {state.version} is in progress"
