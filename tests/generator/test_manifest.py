"""Who owns what: every emitted file has one owner, and nobody else's file has any."""

from pathlib import Path

import pytest
from conftest import Run

from tunesmith import codegen
from tunesmith.manifest import NAME, Manifest, Owner
from tunesmith.questions import Question
from tunesmith.update import list_merge, yaml_merge
from tunesmith.update.answers import Carried, asked
from tunesmith.update.yaml_merge import Kept, Policy


@pytest.fixture(scope="module", params=["none", "home_assistant", "facts"])
def rendered(request: pytest.FixtureRequest, tunesmith: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("owned") / "project"
    done = tunesmith("new", path, "--defaults", "--set", f"example={request.param}")
    assert done.returncode == 0, done.stderr
    return path


def test_every_emitted_file_has_an_owner(rendered: Path) -> None:
    manifest = Manifest.read((rendered / NAME).read_text())
    files = [path.relative_to(rendered).as_posix() for path in rendered.rglob("*") if path.is_file()]
    emitted = [path for path in files if not path.startswith(".git/")]
    assert [path for path in emitted if manifest.owner(path) is Owner.USER] == []
    assert {manifest.owner(path) for path in ("dvc.yaml", "pipeline/train_sft.py", "engine/core/io.py")} == {
        Owner.TEMPLATE
    }
    assert {manifest.owner(path) for path in ("params.yaml", "prompts/system.txt")} == {Owner.SEED}
    assert manifest.owner("src/mine.py") is Owner.USER


def test_a_manifest_that_cannot_be_read_gives_everything_to_the_template() -> None:
    assert Manifest.read("- [").owner("params.yaml") is Owner.TEMPLATE


def test_a_renamed_question_falls_back_to_its_former_answers() -> None:
    question = Question("new", "", "", "", "", "string", "x", was=("old", "older"))
    assert codegen._default(question) == "{{ old | default(older | default('x')) }}"


PARAMS = b"a: 1 # one\nb:\n  c: 2\n  d: 3\n\n# about e\ne: 5\n"


def test_each_parameter_follows_whoever_changed_it() -> None:
    user = b"a: 7 # one\nb:\n  c: 2\n  mine: true\n  d: 3 # my reason\n\n# about e\ne: 6\n"
    new = b"a: 1 # uno\nb:\n  c: 2\n  d: 4\n  f: 9 # new\n\n# about e\ne: 8\n"
    merged = yaml_merge.merge(PARAMS, user, new, Policy.YOURS)
    assert merged is not None
    assert merged[0] == b"a: 7 # one\nb:\n  c: 2\n  mine: true\n  d: 4 # my reason\n  f: 9 # new\n\n# about e\ne: 6\n"
    assert merged[1] == [Kept("e", 6, 8)]


def test_a_removed_parameter_goes_unless_the_user_set_it() -> None:
    new = b"b:\n  d: 3\n"
    assert yaml_merge.merge(PARAMS, PARAMS + b"z: 1\n", new, Policy.YOURS) == (b"b:\n  d: 3\nz: 1\n", [])
    tuned = yaml_merge.merge(PARAMS, PARAMS.replace(b"c: 2", b"c: 9"), new, Policy.YOURS)
    assert tuned == (b"b:\n  c: 9\n  d: 3\n", [Kept("b.c", 9, None)])


@pytest.mark.parametrize("user", [b"a: &x 1\nb: *x\n", b"- a\n", b"a: 1\na: 2\n", b"a: [\n", b"\xff"])
def test_what_is_no_plain_mapping_is_left_to_git(user: bytes) -> None:
    assert yaml_merge.merge(PARAMS, user, PARAMS + b"f: 1\n", Policy.YOURS) is None


def test_lists_are_merged_as_sets() -> None:
    old, user = b"a==1\nb==1\nc==1\n", b"a==1\nmine==5\nc==1\n"
    assert list_merge.merge("locks/x.txt", old, user, b"a==2\nb==1\nc==2\nd==1\n") == b"a==2\nmine==5\nc==2\nd==1\n"
    assert list_merge.merge("locks/x.txt", old, b"a==3\nb==1\nc==1\n", b"a==2\nb==1\nc==1\n") is None, "both bumped it"
    assert list_merge.merge("x.py", b"x = 1\n", b"x = 2\n", b"x = 3\n") is None, "no list"


def test_a_comment_of_the_users_outlives_the_parameter_below_it() -> None:
    mine = PARAMS.replace(b"  c: 2\n", b"  # why c is 2\n  c: 2\n").replace(b"# about e\n", b"# about e\n# mine\n")
    merged = yaml_merge.merge(PARAMS, mine, b"a: 1 # one\nb:\n  d: 3\n", Policy.YOURS)
    assert merged == (b"a: 1 # one\nb:\n  # why c is 2\n  d: 3\n# mine\n", [])
    assert yaml_merge.merge(PARAMS, mine, b"a: 1 # one\nb:\n  d: 3\n", Policy.NOBODY) is None, "somebody decides"


TOML = b'dependencies = [\n  "a==1",\n  "b==1",\n]\n'
BUMPED = TOML.replace(b"==1", b"==2")


@pytest.mark.parametrize(
    ("path", "old", "user", "new", "merged"),
    [
        ("pyproject.toml", TOML, TOML.replace(b"]", b'  "mine"\n]'), BUMPED, BUMPED.replace(b"]", b'  "mine",\n]')),
        (
            "pyproject.toml",
            TOML,
            TOML.replace(b'"a==1",', b'"a==1", # mine'),
            BUMPED,
            BUMPED.replace(b'"a==2",', b'"a==2", # mine'),
        ),
        (
            "pyproject.toml",
            b'x = ["a==1", "b"]\n',
            b'x = ["a==1", "b", "mine"]\n',
            b'x = ["a==2"]\n',
            b'x = ["a==2", "mine"]\n',
        ),
        (
            "locks/x.txt",
            b"a==1\nb==1\n",
            b"a==1\n# mine\nmine==2\nb==1\n",
            b"a==2\nb==2\n",
            b"a==2\n# mine\nmine==2\nb==2\n",
        ),
        ("locks/x.txt", b"a==1\nb==1\n", b"a==1  # mine\nb==1\n", b"a==2\nb==2\n", b"a==2  # mine\nb==2\n"),
    ],
    ids=["no comma", "a comment behind", "one line", "a comment above", "a comment in a lock"],
)
def test_dependency_lists_as_people_write_them(path: str, old: bytes, user: bytes, new: bytes, merged: bytes) -> None:
    assert list_merge.merge(path, old, user, new) == merged


def test_new_questions_are_asked_until_no_answer_opens_another() -> None:
    schema = {
        "properties": {
            "first": {"default": False},
            "second": {"default": 1, "x-when": {"first": True}},
            "third": {"default": 2, "x-when": {"second": 5}},
            "knob": {"default": 3, "x-knob": "planner"},
        }
    }
    said = {"first": True, "second": 5, "third": 7}
    carried = asked(Carried({}), schema, lambda key, default: said[key], "answers")
    assert carried.answers == said and carried.added == said
    assert asked(Carried({}), schema, lambda key, default: default, "answers").answers == {"first": False}
