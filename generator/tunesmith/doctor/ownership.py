"""What of the template was edited here, and whether an update can still find its way."""

import tempfile
from collections.abc import Iterable
from pathlib import Path

from tunesmith import git
from tunesmith.doctor.rule import NOTE, Checkup, Rule
from tunesmith.errors import TunesmithError
from tunesmith.manifest import ANSWERS, NAME, Manifest, Owner
from tunesmith.update.state import Store

ENGINE = "engine/"
EDITED = "files of the template that were edited"  # in the checkup's cache: two rules ask


class TemplateFilesEdited(Rule):
    """The template's files outside `engine/` are unedited."""

    code = "OWN001"
    level = NOTE
    why = "An update merges its changes with your edits. More edits make conflicts more likely."
    fix = "Nothing needs fixing. If others could use the edit, propose it to the template."

    def check(self, project: Checkup) -> Iterable[str]:
        return [line for path, line in _edited(project) if not path.startswith(ENGINE)]


class EngineEdited(Rule):
    """The engine is that of the recorded version."""

    code = "OWN004"
    level = NOTE
    why = "The engine is replaced as a whole by an update, and nobody reviews it. An edit is merged, and may conflict."
    fix = "Move the edit to a recipe in `pipeline/`, propose it to the template, or keep it and expect conflicts."

    def check(self, project: Checkup) -> Iterable[str]:
        return [line for path, line in _edited(project) if path.startswith(ENGINE)]


def _edited(project: Checkup) -> list[tuple[str, str]]:
    """(path, what was done to it) for each file of the template that is not as the recorded version has it."""
    if EDITED in project.cache:
        known: list[tuple[str, str]] = project.cache[EDITED]
        return known
    manifest = Manifest.read(project.text(NAME))
    lines = []
    for path, content in _rendered(project).items():
        found = project.path / path
        if manifest.owner(path) is not Owner.TEMPLATE or path == ANSWERS:
            continue
        if not found.is_file():
            lines.append((path, f"{path}: deleted"))
        elif found.read_bytes() != content:
            who = git.run("log", "-1", "--format=%an, %as", "--", path, cwd=project.path)
            lines.append((path, f"{path}: edited, last by {who or 'nobody yet (not committed)'}"))
    project.cache[EDITED] = lines
    return lines


def _rendered(project: Checkup) -> dict[str, bytes]:
    """The recorded version rendered with the recorded answers; nothing where its source is out of reach."""
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
