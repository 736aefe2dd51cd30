"""What somebody else writes while an update runs, or waits, is never lost; and every state has an exit."""

import shutil
import subprocess
from pathlib import Path

import pytest
from meanwhile import beginner, in_progress, life, lost, start_of
from updating import commit, everything, update

from tunesmith import git
from tunesmith.update import command
from tunesmith.update.plan import Plan, prepare

KEPT = "refs/tunesmith/kept"
LIVES = 120


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Committed projects with an update at hand, which is clean, conflicts, or has laid out its conflicts."""
    projects = {}
    for kind in ("clean", "conflict"):
        projects[kind] = start_of(tmp_path_factory.mktemp(kind), conflict=kind == "conflict")
    projects["laid out"] = copied(projects["conflict"], tmp_path_factory.mktemp("laid") / "project")
    assert update(projects["laid out"]).code == 3
    return projects


def copied(project: Path, place: Path) -> Path:
    subprocess.run(["cp", "-a", project, place], check=True)
    return place


@pytest.fixture
def clean(lived: dict[str, Path], tmp_path: Path) -> Path:
    return copied(lived["clean"], tmp_path / "project")


@pytest.fixture
def conflicted(lived: dict[str, Path], tmp_path: Path) -> Path:
    return copied(lived["laid out"], tmp_path / "project")


def recorded(project: Path) -> str:
    return git.run("show", "HEAD:.copier-answers.yml", cwd=project).split("_commit: ")[1].split()[0]


def kept(project: Path) -> list[str]:
    return git.run("for-each-ref", "--format=%(refname)", KEPT, cwd=project).split()


def status(project: Path) -> str:
    return git.run("status", "--porcelain", cwd=project)


@pytest.mark.parametrize("kind", ["clean", "conflict"])
def test_random_lives_beside_somebody_else_lose_nothing(kind: str, lived: dict[str, Path], tmp_path: Path) -> None:
    begin = beginner(lived[kind], tmp_path / "scratch")
    (tmp_path / "lives").mkdir()
    for seed in range(LIVES // 2):
        found = life(seed, lived[kind], tmp_path / "lives", begin)
        assert not found, "\n".join(found)


def test_a_loss_would_be_seen(clean: Path) -> None:
    (clean / "b.py").write_text("# word123\n")
    assert lost(clean, {"word123", "word456"}) == ["lost word456"]
    git.run("checkout", "--quiet", "--", "b.py", cwd=clean)
    assert lost(clean, {"word123"}) == ["lost word123"]


@pytest.mark.parametrize("how", ["edit", "assume-unchanged", "untracked", "staged", "commit"])
def test_what_is_written_while_an_update_renders_stops_it(
    how: str, clean: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def rendering(*arguments: object, **options: object) -> Plan:
        plan = prepare(*arguments, **options)  # type: ignore[arg-type]
        path = clean / ("added/deep/new.py" if how == "untracked" else "b.py")
        path.parent.mkdir(parents=True, exist_ok=True)
        if how == "assume-unchanged":
            git.run("update-index", "--assume-unchanged", "b.py", cwd=clean)
        path.write_text("mine\n")
        if how in ("staged", "commit"):
            git.run("add", "b.py", cwd=clean)
        if how == "commit":
            git.commit(clean, "Meanwhile")
        return plan

    monkeypatch.setattr(command, "prepare", rendering)
    done = update(clean)
    assert done.code == (3 if how == "untracked" else 2) and not in_progress(clean)
    told = {"untracked": "new.py", "commit": "a commit was made"}.get(how, "b.py")
    assert told in done.err
    assert (clean / ("added/deep/new.py" if how == "untracked" else "b.py")).read_text() == "mine\n"
    assert (clean / "a.py").read_text() == "a = 1\n"
    assert git.run("branch", "--show-current", cwd=clean) == "main"


def test_each_abort_keeps_what_it_replaces_under_a_ref_of_its_own(conflicted: Path) -> None:
    for text in ("first\n", "second\n"):
        (conflicted / "a.py").write_text(text)
        (conflicted / "a.py").chmod(0o755)
        done = update(conflicted, "--abort")
        assert done.code == 0 and kept(conflicted)[-1] in done.out
        assert update(conflicted).code == 3
    first, second = kept(conflicted)
    assert git.run("show", f"{first}:a.py", cwd=conflicted) == "first"
    assert git.run("show", f"{second}:a.py", cwd=conflicted) == "second"
    assert git.run("ls-tree", first, "a.py", cwd=conflicted).startswith("100755")


def test_what_is_staged_and_then_changed_is_kept_too(conflicted: Path) -> None:
    (conflicted / "a.py").write_text("staged\n")
    git.run("add", "a.py", cwd=conflicted)
    (conflicted / "a.py").write_text("on disk\n")
    assert update(conflicted, "--abort").code == 0
    assert {git.run("show", f"{ref}:a.py", cwd=conflicted) for ref in kept(conflicted)} == {"staged", "on disk"}


def test_an_added_file_that_became_a_folder_is_left_alone(conflicted: Path) -> None:
    added = conflicted / "added/deep/new.py"
    added.unlink()
    added.mkdir()
    (added / "mine.txt").write_text("mine\n")
    assert update(conflicted, "--abort").code == 0
    assert (added / "mine.txt").read_text() == "mine\n"
    assert git.run("status", "--porcelain", "--untracked-files=no", cwd=conflicted) == ""


def test_files_that_nobody_gave_to_the_update_stay_staged(conflicted: Path) -> None:
    (conflicted / "later.txt").write_text("mine\n")
    git.run("add", "later.txt", cwd=conflicted)
    assert update(conflicted, "--abort").code == 0
    assert git.run("ls-files", "later.txt", cwd=conflicted) == "later.txt"


@pytest.mark.parametrize("how", ["merge", "squash", "rebase", "amend"])
def test_a_pull_request_is_continued_wherever_it_ended(how: str, conflicted: Path) -> None:
    """Resolved and committed by hand, merged to main, the branch deleted: the version is recorded where HEAD is."""
    (conflicted / "a.py").write_text("a = 23\n")
    git.run("add", "--all", cwd=conflicted)
    if how == "amend":
        git.run("commit", "--quiet", "--amend", "--no-edit", "--no-verify", cwd=conflicted)
    else:
        git.commit(conflicted, "Resolved")
        git.run("switch", "--quiet", "main", cwd=conflicted)
        (conflicted / "later.txt").write_text("mine\n")
        commit(conflicted, "Later")
        if how == "rebase":
            git.run("rebase", "--quiet", "main", "template/0.3.0", cwd=conflicted)
            git.run("switch", "--quiet", "main", cwd=conflicted)
        kind = ("--squash",) if how == "squash" else ("--no-edit",)
        git.run("merge", "--quiet", *kind, "template/0.3.0", cwd=conflicted)
        if how == "squash":
            git.commit(conflicted, "Squashed")
        git.run("branch", "-D", "template/0.3.0", cwd=conflicted)
    refused = update(conflicted)
    assert refused.code == 2 and "--continue" in refused.err
    assert update(conflicted, "--abort").code == 2, "it would hide a commit"
    assert update(conflicted, "--continue").code == 0
    assert recorded(conflicted) == "v0.3.0" and (conflicted / "a.py").read_text() == "a = 23\n"
    assert not in_progress(conflicted) and status(conflicted) == ""
    assert update(conflicted, "--preview").code == 0


def test_a_version_that_was_recorded_by_hand_ends_an_update(conflicted: Path) -> None:
    git.run("checkout", "--quiet", "--theirs", "a.py", cwd=conflicted)
    text = (conflicted / ".copier-answers.yml").read_text().replace("v0.1.0", "v0.3.0")
    (conflicted / ".copier-answers.yml").write_text(text)
    git.run("add", "--all", cwd=conflicted)
    git.commit(conflicted, "All by hand")
    assert update(conflicted).code == 0 and not in_progress(conflicted)


def test_a_sparse_checkout_is_as_sparse_after_an_abort(lived: dict[str, Path], tmp_path: Path) -> None:
    project = copied(lived["conflict"], tmp_path / "project")
    git.run("update-index", "--refresh", cwd=project)
    git.run("sparse-checkout", "set", "--no-cone", "/*", "!/b.py", "!/dir/", cwd=project)
    assert not (project / "b.py").exists()
    before, flags = everything(project), git.run("ls-files", "-v", cwd=project)
    assert update(project).code == 3
    assert not (project / "b.py").exists(), "what is left out stays out"
    assert update(project, "--abort").code == 0
    assert everything(project) == before and git.run("ls-files", "-v", cwd=project) == flags
    assert status(project) == "?? untracked.txt"


def _reset(project: Path) -> None:
    git.run("reset", "--quiet", "--hard", cwd=project)


def _switched(project: Path) -> None:
    git.run("checkout", "--quiet", "--force", "main", cwd=project)


def _elsewhere(project: Path) -> None:
    _switched(project)
    git.run("switch", "--quiet", "--orphan", "other", cwd=project)
    (project / "other.txt").write_text("other\n")
    git.run("add", "other.txt", cwd=project)
    git.commit(project, "Another history")


def _committed(project: Path) -> None:
    git.run("checkout", "--quiet", "--ours", "a.py", cwd=project)
    git.run("add", "--all", cwd=project)
    git.commit(project, "Resolved")


def _committed_and_left(project: Path) -> None:
    _committed(project)
    git.run("switch", "--quiet", "main", cwd=project)


def _deleted(project: Path) -> None:
    _switched(project)
    git.run("branch", "-D", "template/0.3.0", cwd=project)


STATES = {
    "laid out": (lambda project: None, "--abort"),
    "reset": (_reset, "--forget"),
    "switched": (_switched, "--forget"),
    "another history": (_elsewhere, "--forget"),
    "committed": (_committed, "--continue"),
    "committed and left": (_committed_and_left, "switch template/0.3.0"),
    "branch deleted": (_deleted, "--forget"),
}


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("first", ["", "--continue", "--abort"])
def test_every_state_has_an_exit_that_the_refusal_names(first: str, state: str, conflicted: Path) -> None:
    reach, _ = STATES[state]
    reach(conflicted)
    for _ in range(4):
        done = update(conflicted, *([first] if first else []))
        if not in_progress(conflicted):
            break
        assert done.code in (2, 3)
        known = ("git switch template/0.3.0", "--continue", "--abort", "--forget")
        command_named = next((word for word in known if word in done.err), "")
        assert command_named, done.err
        if command_named.startswith("git"):
            subprocess.run(command_named.split(), cwd=conflicted, check=True, capture_output=True)
        elif "conflicts are left" in done.err:
            _committed(conflicted)
        else:
            first = command_named
    assert not in_progress(conflicted), done.err


def test_forget_changes_nothing(conflicted: Path) -> None:
    (conflicted / "a.py").write_text("half\n")
    before, index = everything(conflicted), git.run("ls-files", "--stage", cwd=conflicted)
    done = update(conflicted, "--forget")
    assert done.code == 0 and "no file was changed" in done.out
    assert everything(conflicted) == before and git.run("ls-files", "--stage", cwd=conflicted) == index
    assert update(conflicted, "--forget").code == 2


def test_an_update_of_a_sibling_project_is_ended_from_there(lived: dict[str, Path], tmp_path: Path) -> None:
    root = tmp_path / "repository"
    root.mkdir()
    for name in ("one", "two"):
        shutil.rmtree(copied(lived["conflict"], root / name) / ".git")
    git.start_repository(root, "Both")
    assert update(root / "one").code == 3
    for way in ("--abort", "--continue", "--forget"):
        done = update(root / "two", way)
        assert done.code == 2 and str(root / "one") in done.err
    assert update(root / "one", "--abort").code == 0
