"""`tunesmith update`: the preview that touches nothing, conflicts, --continue, --abort, --set, versions, sources."""

import hashlib
import json
import re
import shutil
from pathlib import Path

import pytest
import yaml
from updating import ANSWERS, Done, Workshop, commit, everything, plain, replace

from tunesmith import bundle, cli, git
from tunesmith.update import command, hand_edits


def digest(folder: Path) -> dict[str, str]:
    """Every byte below a folder, git's own files among them."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def recorded(project: Path) -> str:
    return str(yaml.safe_load((project / ANSWERS).read_text())["_commit"])


def kinds(done: Done) -> dict[str, str]:
    return {change["path"]: change["kind"] for change in done.data["files"]}


@pytest.fixture
def clashing(shop: Workshop, tmp_path: Path) -> Path:
    """A project whose update conflicts: once in the same lines, once in a file that the template dropped."""
    project = shop.project("0.0.4", tmp_path / "clashing")
    gate, notes = project / "pipeline" / "gate.py", project / "pipeline" / "notes.py"
    gate.write_text(gate.read_text() + "\n\nRELEASE_OF_GATE = 'mine'\n")
    notes.write_text(notes.read_text() + "\n\nMINE = 1\n")
    commit(project)
    return project


def test_a_preview_touches_nothing_not_even_gits_folder(shop: Workshop, clashing: Path) -> None:
    before = digest(clashing)
    done = shop.update(clashing, "--preview", "--diff")
    assert done.code == 5, done.err
    assert digest(clashing) == before


def test_a_preview_says_what_happens_to_each_file(shop: Workshop, tmp_path: Path) -> None:
    project = shop.project("0.0.2", tmp_path / "p")
    replace(project / "params.yaml", "parity_items: 8", "parity_items: 12")
    replace(project / "dvc.yaml", "# The pipeline.", "# Our pipeline.")
    (project / "prompts" / "system.txt").write_text("mine\n")
    (project / "pipeline" / "trend.py").write_text("mine = 1\n")
    (project / "pipeline" / "notes.py").write_text("rewritten = 1\n")
    (project / "pipeline" / "gate.py").unlink()
    commit(project)
    done = shop.update(project, "--preview", "--json")
    found = kinds(done)
    assert found["engine/reporting/inputs.py"] == "updated" and found["dvc.yaml"] == "merged"
    assert found["deploy/README.md"] == "added" and found["pipeline/similar.py"] == "moved"
    assert found["pipeline/trend.py"] == "conflict" and found["pipeline/notes.py"] == "dropped"
    assert found["pipeline/gate.py"] == "kept" and found["params.yaml"] in ("kept", "merged")
    data = done.data
    assert {"name": "evaluate.batch_size", "before": 48, "after": 32} in data["parameters"]
    assert data["parameters_kept"] == [{"key": "serve.parity_items", "value": 12, "other": 16}]
    assert {"name": "pyproject.toml: orjson", "before": None, "after": "any"} in data["dependencies"]
    stages = {one["stage"]: one["certain"] for one in data["stages"]}
    assert stages["curate"] and stages["baseline"] and not stages.get("model")
    assert re.findall(r"(?m)^## (.*)$", data["changelog"]) == ["0.3.0", "0.0.5", "0.0.4", "0.0.3"]


def test_the_diff_shows_content(shop: Workshop, tmp_path: Path) -> None:
    project = shop.project("0.0.5", tmp_path / "p")
    assert "+RELEASE_OF_GATE = 6" in shop.update(project, "--preview", "--diff").out
    assert "+RELEASE_OF_GATE = 6" in shop.update(project, "--preview", "--diff", "--json").data["diff"]
    assert "+RELEASE_OF_GATE = 6" not in shop.update(project, "--preview").out


def test_conflicts_are_real_index_stages_and_the_version_waits(shop: Workshop, clashing: Path) -> None:
    done = shop.update(clashing)
    assert done.code == 3
    assert "CONFLICT: both sides changed the same lines\n  pipeline/gate.py" in done.out
    assert "CONFLICT: you edited a file that the template removed\n  pipeline/notes.py" in done.out
    stages = {tuple(line.split()[2:4]) for line in git.run("ls-files", "--unmerged", cwd=clashing).splitlines()}
    gate, notes = "pipeline/gate.py", "pipeline/notes.py"
    assert stages == {("1", gate), ("2", gate), ("3", gate), ("1", notes), ("2", notes)}
    text = (clashing / gate).read_text()
    assert "<<<<<<< yours\n" in text and ">>>>>>> template 0.3.0\n" in text
    assert "MINE = 1" in (clashing / notes).read_text()
    assert recorded(clashing) == "v0.0.4"
    assert git.run("branch", "--show-current", cwd=clashing) == "template/0.3.0"


def test_continue_wants_every_conflict_resolved(shop: Workshop, clashing: Path) -> None:
    shop.update(clashing)
    assert shop.update(clashing).code == 2, "one at a time"
    done = shop.update(clashing, "--continue")
    assert done.code == 3 and "pipeline/gate.py" in done.err and "pipeline/notes.py" in done.err
    git.run("rm", "--quiet", "--cached", "pipeline/notes.py", cwd=clashing)
    git.run("add", "pipeline/gate.py", cwd=clashing)
    done = shop.update(clashing, "--continue")
    assert done.code == 3 and "conflict markers are left" in done.err
    text = re.sub(
        r"<<<<<<< yours\n(.*?)=======\n.*?>>>>>>> [^\n]*\n",
        r"\1",
        (clashing / "pipeline" / "gate.py").read_text(),
        flags=re.S,
    )
    (clashing / "pipeline" / "gate.py").write_text(text)
    assert shop.update(clashing, "--continue").code == 3, "edited but not added"
    git.run("add", "pipeline/gate.py", cwd=clashing)
    assert recorded(clashing) == "v0.0.4"
    assert shop.update(clashing, "--continue").code == 0
    assert recorded(clashing) == "v0.3.0"
    assert git.run("status", "--porcelain", "--untracked-files=no", cwd=clashing) == ""
    assert "RELEASE_OF_GATE = 'mine'" in git.run("show", "HEAD:pipeline/gate.py", cwd=clashing)
    assert git.run("log", "-1", "--format=%s", cwd=clashing) == "Update to template 0.3.0"
    assert shop.update(clashing, "--preview").code == 0
    assert shop.update(clashing, "--continue").code == 2, "nothing is in progress"


def test_continue_after_the_user_committed(shop: Workshop, clashing: Path) -> None:
    shop.update(clashing)
    git.run("checkout", "--quiet", "--ours", "pipeline/gate.py", cwd=clashing)
    git.run("add", "--all", cwd=clashing)
    git.commit(clashing, "Resolved by hand")
    assert shop.update(clashing, "--abort").code == 2, "it would hide a commit"
    assert shop.update(clashing, "--continue").code == 0
    assert recorded(clashing) == "v0.3.0" and shop.update(clashing, "--preview").code == 0


def left_by_force(project: Path, *, reset: bool, committed: bool) -> str:
    """The conflicted update is thrown away with git alone; the commit that HEAD is at then."""
    if reset:
        git.run("reset", "--quiet", "--hard", cwd=project)
    else:
        git.run("checkout", "--quiet", "--force", "main", cwd=project)
    if committed:
        (project / "later.txt").write_text("mine\n")
        commit(project, "Later")
    return git.run("rev-parse", "HEAD", cwd=project)


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A project of a small template whose update conflicts in one file and is clean in another."""
    first = {"a.py": "a = 1\n", "b.py": "b = 1\n"}
    project, _ = plain(tmp_path, first, {"a.py": "a = 2\n", "b.py": "b = 2\n"})
    (project / "a.py").write_text("a = 3\n")
    commit(project)
    return project


def update(project: Path, *arguments: str) -> int:
    return cli.main(["update", str(project), *arguments])


@pytest.mark.parametrize(
    ("reset", "committed", "here"),
    [
        (True, False, ()),
        (True, True, ()),
        (False, False, ()),
        (False, True, ()),
        (True, False, ("--here",)),
        (True, True, ("--here",)),
    ],
)
def test_an_update_that_was_thrown_away_is_neither_recorded_nor_in_the_way(
    reset: bool, committed: bool, here: tuple[str, ...], small: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert update(small, *here) == 3
    head = left_by_force(small, reset=reset, committed=committed)
    before = everything(small)
    assert update(small, "--continue") == 2 and "--abort" in capsys.readouterr().err
    assert git.run("rev-parse", "HEAD", cwd=small) == head and recorded(small) == "v0.1.0"
    assert update(small, "--abort") == 0
    assert git.run("rev-parse", "HEAD", cwd=small) == head and everything(small) == before
    assert git.run("status", "--porcelain", cwd=small) == ""
    assert update(small) == 3, "it can begin again"


def test_an_update_whose_branch_was_left_is_continued_on_its_branch(
    small: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    update(small)
    git.run("checkout", "--quiet", "--ours", "a.py", cwd=small)
    git.run("add", "--all", cwd=small)
    git.run("switch", "--quiet", "main", cwd=small)  # the same commit, so git carries the index over
    assert update(small, "--continue") == 2 and "git switch template/0.3.0" in capsys.readouterr().err
    assert recorded(small) == "v0.1.0"
    git.run("switch", "--quiet", "template/0.3.0", cwd=small)
    assert update(small, "--continue") == 0 and recorded(small) == "v0.3.0"


@pytest.mark.parametrize("committed", [False, True])
def test_conflicts_resolved_to_what_was_there_finish_an_update(committed: bool, tmp_path: Path) -> None:
    """Where an update is nothing but conflicts, the index then says nothing of it any more."""
    project, _ = plain(tmp_path, {"a.py": "a = 1\n", "b.py": "b = 1\n"}, {"a.py": "a = 2\n", "b.py": "b = 2\n"})
    (project / "a.py").write_text("a = 3\n")
    (project / "b.py").write_text("b = 3\n")
    commit(project)
    assert update(project) == 3
    git.run("checkout", "--quiet", "--ours", ".", cwd=project)
    (project / "b.py").write_text("b = 4\n")
    git.run("add", "--all", cwd=project)
    if committed:
        git.commit(project, "Resolved by hand")
    assert update(project, "--continue") == 0
    assert recorded(project) == "v0.3.0" and (project / "a.py").read_text() == "a = 3\n"


def test_abort_restores_every_byte(shop: Workshop, clashing: Path) -> None:
    (clashing / ".env").write_text("SECRET=1\n")
    (clashing / "untracked.txt").write_text("mine\n")
    before, index = everything(clashing), git.run("ls-files", "--stage", cwd=clashing)
    assert shop.update(clashing).code == 3
    (clashing / "pipeline" / "gate.py").write_text("half resolved\n")
    (clashing / "written_meanwhile.txt").write_text("mine\n")
    assert shop.update(clashing, "--abort").code == 0
    (clashing / "written_meanwhile.txt").unlink()
    assert everything(clashing) == before
    assert git.run("ls-files", "--stage", cwd=clashing) == index
    assert git.run("status", "--porcelain", "--untracked-files=no", cwd=clashing) == ""
    assert git.run("branch", "--format=%(refname:short)", cwd=clashing) == "main"
    (kept,) = git.run("for-each-ref", "--format=%(refname)", "refs/tunesmith/kept", cwd=clashing).split()
    assert git.run("show", f"{kept}:pipeline/gate.py", cwd=clashing) == "half resolved"
    assert shop.update(clashing, "--abort").code == 2


def test_a_tree_with_uncommitted_work_is_refused(shop: Workshop, tmp_path: Path) -> None:
    project = shop.project("0.0.4", tmp_path / "p")
    replace(project / "params.yaml", "seed: 42", "seed: 7")
    before = everything(project)
    done = shop.update(project)
    assert done.code == 2 and "uncommitted changes: params.yaml" in done.err
    assert everything(project) == before
    assert shop.update(project, "--preview").code == 5


@pytest.mark.parametrize("how", ["file", "link", "ignored"])
def test_an_untracked_file_in_the_way_is_not_touched(how: str, shop: Workshop, tmp_path: Path) -> None:
    project = shop.project("0.0.4", tmp_path / "p")
    if how == "link":
        (tmp_path / "elsewhere").mkdir()
        (project / "deploy").symlink_to(tmp_path / "elsewhere")
    else:
        (project / "deploy").mkdir()
        (project / "deploy" / "README.md").write_text("mine\n")
    if how == "ignored":
        (project / ".git" / "info" / "exclude").write_text("/deploy\n")
    before = everything(project)
    done = shop.update(project)
    assert done.code == 3 and "deploy" in done.err
    assert everything(project) == before
    assert shop.update(project, "--abort").code == 2, "nothing was begun"


def test_an_untracked_folder_where_a_file_is_added_is_not_touched(tmp_path: Path) -> None:
    project, _ = plain(tmp_path, {"a": "1\n"}, {"a": "1\n", "notes": "new\n"})
    (project / "notes").mkdir()
    (project / "notes" / "mine.txt").write_text("mine\n")
    before = everything(project)
    assert update(project) == 3 and everything(project) == before
    shutil.rmtree(project / "notes")
    (project / "notes").mkdir()
    assert update(project) == 0, "an empty one is nobody's"


def test_a_path_with_colons_and_quotes_can_be_previewed(tmp_path: Path) -> None:
    folder = tmp_path / 'c:d "e'
    folder.mkdir()
    project, _ = plain(tmp_path, {"a": "1\n"}, {"a": "2\n"})
    project.rename(folder / "project")
    assert update(folder / "project", "--preview") == 5


def test_a_branch_that_leaves_no_room_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    project, _ = plain(tmp_path, {"a": "1\n"}, {"a": "2\n"})
    for other in ("template", "template/0.3.0/mine"):
        git.run("branch", other, cwd=project)
        assert update(project) == 2
        shown = capsys.readouterr().err
        assert f"next to the branch {other}" in shown and "--branch" in shown
        assert update(project, "--branch", f"{other}/new") == 2
        git.run("branch", "-D", other, cwd=project)
    assert update(project, "--branch", "mine") == 0


def test_a_seed_that_the_user_edited_outlives_its_removal(tmp_path: Path) -> None:
    owners = {".tunesmith.yaml": "template: ['*']\nseed: ['prompts/*']\n", "other": "1\n"}
    project, _ = plain(tmp_path, {**owners, "prompts/a.txt": "a\n", "prompts/b.txt": "b\n"}, owners)
    (project / "prompts" / "a.txt").write_text("mine\n")
    commit(project)
    assert update(project) == 0
    assert (project / "prompts" / "a.txt").read_text() == "mine\n" and not (project / "prompts" / "b.txt").exists()


def test_a_comment_on_a_stage_that_the_template_drops_is_a_conflict(tmp_path: Path) -> None:
    kept, gone = "stages:\n  a:\n    cmd: a\n", "  b:\n    cmd: b\n"
    last = "  z:\n    cmd: z\n"
    project, _ = plain(tmp_path, {"dvc.yaml": kept + gone + last}, {"dvc.yaml": kept + last})
    replace(project / "dvc.yaml", "  b:", "  # mine\n  b:")
    commit(project)
    assert update(project) == 3 and "# mine" in (project / "dvc.yaml").read_text()


def test_a_repository_with_longer_object_names(shop: Workshop, tmp_path: Path) -> None:
    project = shop.project("0.0.4", tmp_path / "p")
    shutil.rmtree(project / ".git")
    git.run("init", "--quiet", "--object-format=sha256", cwd=project)
    gate = project / "pipeline" / "gate.py"
    gate.write_text(gate.read_text() + "\n\nRELEASE_OF_GATE = 'mine'\n")
    git.start_repository(project, "Generate")
    before = everything(project)
    assert shop.update(project).code == 3
    assert "<<<<<<< yours\n" in gate.read_text() and ">>>>>>> template 0.3.0\n" in gate.read_text()
    assert shop.update(project, "--abort").code == 0 and everything(project) == before


def test_a_file_that_both_added_alike_is_no_conflict(shop: Workshop, tmp_path: Path) -> None:
    project = shop.project("0.0.4", tmp_path / "p")
    (project / "deploy").mkdir()
    (project / "deploy" / "README.md").write_bytes((shop.templates["0.3.0"] / "deploy" / "README.md").read_bytes())
    commit(project)
    assert shop.update(project).code == 0


def test_here_commits_on_the_branch_that_is_checked_out(shop: Workshop, tmp_path: Path) -> None:
    project = shop.project("0.0.4", tmp_path / "p")
    assert shop.update(project, "--here").code == 0
    assert git.run("branch", "--format=%(refname:short)", cwd=project) == "main"
    assert "## 0.3.0" in git.run("log", "-1", "--format=%B", cwd=project)


def test_a_branch_that_exists_gets_a_number(shop: Workshop, tmp_path: Path) -> None:
    project = shop.project("0.0.4", tmp_path / "p")
    git.run("branch", "template/0.3.0", cwd=project)
    assert shop.update(project).code == 0
    assert git.run("branch", "--show-current", cwd=project) == "template/0.3.0-2"


def test_a_detached_head_is_put_back(shop: Workshop, clashing: Path) -> None:
    head = git.run("rev-parse", "HEAD", cwd=clashing)
    git.run("checkout", "--quiet", "--detach", cwd=clashing)
    assert shop.update(clashing).code == 3
    assert shop.update(clashing, "--abort").code == 0
    assert git.run("rev-parse", "HEAD", cwd=clashing) == head
    assert git.run("branch", "--show-current", cwd=clashing) == ""


def test_a_renamed_answer_is_carried_and_a_removed_one_reported(shop: Workshop, tmp_path: Path) -> None:
    project = shop.project("0.0.4", tmp_path / "p")
    text = (project / ANSWERS).read_text()
    text = text.replace("greeting: Hello", "greeting: Good evening") + "mood: merry\n"
    (project / ANSWERS).write_bytes(hand_edits.signed(text.encode()))
    replace(project / "README.md", "Hello", "Good evening")
    commit(project)
    done = shop.update(project, "--preview")
    assert "greeting is now salutation" in done.out and "mood: no longer asked (was merry)" in done.out
    assert shop.update(project).code == 0
    answers = yaml.safe_load((project / ANSWERS).read_text())
    assert answers["salutation"] == "Good evening" and "greeting" not in answers
    assert "Good evening" in (project / "README.md").read_text()


def test_an_answer_that_is_no_longer_allowed_is_refused(shop: Workshop, tmp_path: Path) -> None:
    project = shop.project("0.0.4", tmp_path / "p")
    replace(project / ANSWERS, "hardware: cpu", "hardware: abacus")
    (project / ANSWERS).write_bytes(hand_edits.signed((project / ANSWERS).read_bytes()))
    commit(project)
    done = shop.update(project)
    assert done.code == 2 and "hardware" in done.err and "no longer allowed" in done.err


def test_set_plans_anew_shows_and_merges(shop: Workshop, tmp_path: Path) -> None:
    project = shop.project("0.3.0", tmp_path / "p")
    replace(project / "params.yaml", "max_steps: 96", "max_steps: 500")
    commit(project)
    settings = ("--set", "hardware=h100_sxm", "--set", "method=lora")
    preview = shop.update(project, *settings, "--preview")
    assert preview.code == 5
    assert "hardware: cpu -> h100_sxm" in preview.out and re.search(
        r"plan_compute_dtype: auto -> bf16 \(.*bf16", preview.out
    )
    assert shop.update(project, *settings, "--here").code == 0
    params = yaml.safe_load((project / "params.yaml").read_text())
    assert params["train"]["method"] == "lora" and params["train"]["compute_dtype"] == "bf16"
    assert params["train"]["max_steps"] == 500 and params["cost"]["hardware"] == "h100_sxm"
    answers = yaml.safe_load((project / ANSWERS).read_text())
    assert answers["hardware"] == "h100_sxm" and answers["salutation"] == "Hello"
    assert shop.update(project, *settings, "--preview").code == 0
    assert shop.update(project, "--set", "hardware=cpu", "--set", "method=qlora", "--here").code == 0
    back = yaml.safe_load((project / "params.yaml").read_text())
    assert back["train"]["compute_dtype"] == "auto" and back["train"]["max_steps"] == 500


def test_a_pinned_knob_is_not_planned_anew(shop: Workshop, tmp_path: Path) -> None:
    project = shop.project("0.3.0", tmp_path / "p")
    assert shop.update(project, "--set", "compute_dtype=fp32", "--here").code == 0
    assert shop.update(project, "--set", "hardware=h100_sxm", "--here").code == 0
    assert yaml.safe_load((project / "params.yaml").read_text())["train"]["compute_dtype"] == "fp32"


def test_a_wrong_answer_is_refused_before_anything(shop: Workshop, tmp_path: Path) -> None:
    project = shop.project("0.3.0", tmp_path / "p")
    done = shop.update(project, "--set", "hardware=h100", "--json")
    assert done.code == 2 and done.data["error"] == "SpecError"


def test_a_newer_project_is_refused(shop: Workshop, tmp_path: Path) -> None:
    project = shop.project("0.3.0", tmp_path / "p")
    replace(project / ANSWERS, "_commit: v0.3.0", "_commit: v9.0.0")
    commit(project)
    done = shop.update(project, "--preview")
    assert done.code == 2 and "install tunesmith 9.0.0 or newer" in done.err


@pytest.mark.parametrize("commit_id", ["v0.0.1-3-gabc1234", "v0.0.0", "nonsense"])
def test_a_version_that_the_source_lacks_is_named(commit_id: str, shop: Workshop, tmp_path: Path) -> None:
    project = shop.project("0.3.0", tmp_path / "p")
    replace(project / ANSWERS, "_commit: v0.3.0", f"_commit: {commit_id}")
    commit(project)
    done = shop.update(project)
    assert done.code == 2 and "--source" in done.err


def test_an_older_version_is_no_target(shop: Workshop, tmp_path: Path) -> None:
    project = shop.project("0.0.4", tmp_path / "p")
    done = shop.update(project, "--to", "0.0.2")
    assert done.code == 2 and "0.0.2 is older than the project's, which is 0.0.4" in done.err
    assert shop.update(project, "--to", "0.0.5", "--here").code == 0
    assert recorded(project) == "v0.0.5"


def test_a_newer_release_than_this_command_line_is_only_mentioned(shop: Workshop, tmp_path: Path) -> None:
    git.run("clone", "--quiet", "--bare", str(shop.bundle), str(tmp_path / "source.git"), cwd=tmp_path)
    git.run("tag", "v7.0.0", "v0.3.0", cwd=tmp_path / "source.git")
    project = shop.project("0.0.4", tmp_path / "p")
    done = shop.update(project, "--here", source=tmp_path / "source.git")
    assert done.code == 0 and "template 7.0.0 exists; it needs tunesmith 7.0.0 or newer" in done.err
    assert recorded(project) == "v0.3.0"


def test_a_mirror_is_one_setting(shop: Workshop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = shop.project("0.0.4", tmp_path / "p")
    monkeypatch.setenv("TUNESMITH_TEMPLATE", str(shop.bundle))
    assert shop.update(project, source=None).code == 0
    assert yaml.safe_load((project / ANSWERS).read_text())["_src_path"] == bundle.PUBLIC_URL


@pytest.mark.parametrize("how", ["recorded", "asked for"])
def test_a_source_is_a_url_too(how: str, tmp_path: Path) -> None:
    project, template = plain(tmp_path, {"a": "1\n"}, {"a": "2\n"})
    url = ("git+" if how == "recorded" else "") + template.as_uri()  # copier knows no other way to name one
    if how == "recorded":
        replace(project / ANSWERS, str(template), url)
        commit(project)
    assert update(project, "--here", *(("--source", url) if how == "asked for" else ())) == 0
    assert (project / "a").read_text() == "2\n"
    assert yaml.safe_load((project / ANSWERS).read_text())["_src_path"] == (url if how == "recorded" else str(template))


def test_the_public_address_in_short_is_the_packages_own_bundle(project: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(project, tmp_path / "copy", symlinks=True))
    replace(copy / ANSWERS, f"_src_path: {bundle.PUBLIC_URL}", "_src_path: gh:tunesmith/tunesmith")
    commit(copy)
    assert update(copy, "--set", "monthly_requests=5", "--here") == 0
    assert yaml.safe_load((copy / ANSWERS).read_text())["_src_path"] == "gh:tunesmith/tunesmith"


def test_a_source_that_cannot_be_read_is_named(shop: Workshop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = shop.project("0.0.4", tmp_path / "p")
    monkeypatch.setenv("TUNESMITH_TEMPLATE", str(tmp_path / "nowhere"))
    done = shop.update(project, source=None)
    assert done.code == 2 and "nowhere" in done.err and "TUNESMITH_TEMPLATE" in done.err


def test_what_is_no_project_is_refused(shop: Workshop, tmp_path: Path) -> None:
    assert "not inside a git repository" in shop.update(tmp_path).err
    git.run("init", "--quiet", cwd=tmp_path)
    assert ".copier-answers.yml" in shop.update(tmp_path).err


def test_answers_that_a_commit_removed_can_be_brought_back(small: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (small / ANSWERS).unlink()
    commit(small, "Oops")
    assert update(small) == 2
    command = capsys.readouterr().err.split("`")[1]
    git.run(*command.split()[1:], cwd=small)
    assert (small / ANSWERS).exists()


def test_an_older_git_says_so_and_saves_a_way_back(
    shop: Workshop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The version is made up, copier's update is real."""
    project = shop.project("0.0.4", tmp_path / "p")
    head = git.run("rev-parse", "HEAD", cwd=project)
    monkeypatch.setattr(git, "version", lambda: (2, 30))
    assert shop.update(project, "--preview").code == 5
    done = shop.update(project)
    assert done.code == 0 and "older than 2.38" in done.err and "git reset --hard" in done.err
    assert git.run("rev-parse", "refs/tunesmith/before-update", cwd=project) == head
    assert recorded(project) == "v0.3.0" and (project / "pipeline" / "trend.py").exists()
    assert command.OLDEST_GIT == (2, 38)


def test_the_preview_of_a_finished_update_is_json_too(shop: Workshop, tmp_path: Path) -> None:
    project = shop.project("0.3.0", tmp_path / "p")
    done = shop.update(project, "--preview", "--json")
    assert done.code == 0 and json.loads(done.out)["available"] is False


def branches(project: Path) -> list[str]:
    return git.run("branch", "--format=%(refname:short)", cwd=project).split()


def merged_into_main(project: Path, *merge: str) -> None:
    """The user takes the finished update over and works on."""
    git.run("switch", "--quiet", "-", cwd=project)
    git.under_a_name(("merge", "--quiet", "--no-gpg-sign", *merge, "template/0.3.0"), project)


@pytest.mark.parametrize("merge", [("--ff",), ("--no-ff", "--no-edit")])
def test_a_merged_update_leaves_no_branch_behind(
    merge: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    project, _ = plain(tmp_path, {"a": "1\n"}, {"a": "2\n"})
    assert update(project) == 0
    merged_into_main(project, *merge)
    git.run("branch", "template/mine", cwd=project)
    assert update(project, "--preview") == 0 and "template/0.3.0" in branches(project), "a preview touches nothing"
    assert update(project) == 0
    assert branches(project) == ["main", "template/mine"]
    assert "removed the merged branch template/0.3.0" in capsys.readouterr().err


def test_an_update_with_work_that_is_not_merged_keeps_its_branch(tmp_path: Path) -> None:
    project, _ = plain(tmp_path, {"a": "1\n"}, {"a": "2\n"})
    assert update(project) == 0
    merged_into_main(project, "--ff")
    git.run("switch", "--quiet", "template/0.3.0", cwd=project)
    (project / "later").write_text("mine\n")
    commit(project, "Later")
    git.run("switch", "--quiet", "main", cwd=project)
    assert update(project) == 0
    assert branches(project) == ["main", "template/0.3.0"]


def test_an_abort_removes_no_branch_that_somebody_committed_to(small: Path) -> None:
    assert update(small) == 3
    git.run("checkout", "--quiet", "--ours", ".", cwd=small)
    commit(small, "Resolved by hand")
    git.run("switch", "--quiet", "main", cwd=small)
    assert update(small, "--abort") == 0
    assert branches(small) == ["main", "template/0.3.0"]
    assert git.run("log", "-1", "--format=%s", "template/0.3.0", cwd=small) == "Resolved by hand"


@pytest.mark.parametrize("option", ["--continue", "--abort"])
def test_a_directory_that_is_not_there_is_said_so(
    option: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert update(tmp_path / "missing", option) == 2
    assert "no such directory" in capsys.readouterr().err


@pytest.mark.parametrize("home", ["a.py", "sub/a.py"])
def test_a_change_of_a_file_that_the_user_made_a_link_of_is_a_conflict(home: str, tmp_path: Path) -> None:
    """Also if the template moved the file: its change must not be dropped as that of a deleted one."""
    lines = [f"line {number}\n" for number in range(30)]
    new = "".join(lines).replace("line 5\n", "line five\n")
    project, _ = plain(tmp_path, {"a.py": "".join(lines)}, {home: new})
    (project / "own").mkdir()
    (project / "a.py").rename(project / "own/real.py")
    (project / "a.py").symlink_to("own/real.py")
    commit(project)
    assert update(project) == 3
    unmerged = {line.split("\t")[1]: line.split()[1] for line in git.run("ls-files", "-u", cwd=project).splitlines()}
    assert any("line five" in git.run("cat-file", "blob", oid, cwd=project) for oid in unmerged.values())
    assert (project / "a.py").is_symlink() and (project / "own/real.py").read_text() == "".join(lines)


@pytest.mark.parametrize("deep", [True, False])
def test_answers_that_were_edited_by_hand_are_not_taken_for_the_recorded_ones(
    deep: bool, shop: Workshop, tmp_path: Path
) -> None:
    project = shop.project("0.0.4", tmp_path / "p")
    replace(project / ANSWERS, "\nseed: 42", "\nseed: 8")
    replace(project / ANSWERS, "monthly_requests:", "monthly_request:")
    commit(project)
    if not deep:
        git.run("clone", "--quiet", "--depth", "1", f"file://{project}", str(tmp_path / "clone"), cwd=tmp_path)
        project = tmp_path / "clone"
    before = everything(project)
    done = shop.update(project)
    assert done.code == 2 and "edited by hand" in done.err and everything(project) == before
    if deep:
        assert "seed: 42 -> 8" in done.err and "--set seed=8`" in done.err and "monthly_requests" in done.err
        command = done.err.split("`")[1]
        git.run(*command.split()[1:], cwd=project)
        commit(project, "Put back")
        assert shop.update(project).code == 0


def test_an_address_that_was_edited_by_hand_is_no_edited_answer(shop: Workshop) -> None:
    content = (shop.templates["0.0.4"] / ANSWERS).read_bytes()
    assert b"# sha256 of the answers: " in content and not hand_edits.is_edited(content)
    assert not hand_edits.is_edited(re.sub(rb"_src_path: .*", b"_src_path: elsewhere", content))
    assert not hand_edits.is_edited(content.replace(b"\n", b"\r\n"))
    assert hand_edits.is_edited(content.replace(b"seed: 42", b"seed: 43"))
    assert not hand_edits.is_edited(b"seed: 43\n"), "0.2.0 recorded no hash"
