"""The command line: exit codes, JSON, nothing heavy imported for help, no prompt without a terminal."""

import datetime as dt
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import Run

from tunesmith import catalog as catalogue
from tunesmith import commands
from tunesmith.costs import prices
from tunesmith.json_schema import published_schema

HEAVY = ("copier", "jinja2", "jsonschema", "questionary", "numpy", "pydantic", "prompt_toolkit")


@pytest.mark.parametrize(
    "arguments", [["--help"], ["--version"], ["new", "--help"], ["catalog"], ["catalog", "support"], ["schema"]]
)
def test_nothing_heavy_is_imported_to_look_things_up(arguments: list[str]) -> None:
    code = (
        "import sys\nfrom tunesmith.cli import main\n"
        f"try:\n    main({arguments!r})\nexcept SystemExit:\n    pass\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr.splitlines()[-1] == "[]"


@pytest.mark.parametrize(
    "arguments", [["plan", "--defaults"], ["advise", "--defaults", "--sources"], ["catalog", "prices"]]
)
def test_advice_plan_and_prices_open_no_socket(arguments: list[str]) -> None:
    code = (
        "import socket\n"
        "def refuse(*_a, **_k): raise SystemExit('a socket was opened')\n"
        "socket.socket = socket.create_connection = socket.getaddrinfo = refuse\n"
        f"from tunesmith.cli import main\nraise SystemExit(main({arguments!r}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0 and done.stdout, done.stderr


@pytest.mark.parametrize("end", [[], ["--json"]])
def test_a_reader_that_goes_away_is_no_fault_of_ours(end: list[str], tmp_path: Path) -> None:
    spec = tmp_path / "bad.yaml"
    spec.write_text("".join(f"no_such_key_{index}: 1\n" for index in range(3000)))  # more than a pipe holds
    arguments = ["plan", "--spec", str(spec), "--json"] if end else ["schema"]
    code = "import time; time.sleep(1)\nfrom tunesmith.cli import main\n" + f"raise SystemExit(main({arguments!r}))"
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout and process.stderr
    process.stdout.close()
    said = process.stderr.read()
    assert (process.wait(), said) == (2 if end else 0, "")


def test_a_spec_that_is_wrong_is_not_said_to_have_written_nothing_where_nothing_is_written(tunesmith: Run) -> None:
    for verb in ("plan", "advise"):
        done = tunesmith(verb, "--defaults", "--set", "sed=3")
        assert done.returncode == 2 and done.stderr.splitlines()[-1].endswith(
            "prints every key with its allowed values"
        )


def test_a_directory_that_is_not_there_is_said_to_be_none(tunesmith: Run, tmp_path: Path) -> None:
    for verb in (("doctor",), ("update", "--preview"), ("eject",), ("adopt", "--defaults")):
        done = tunesmith(*verb, tmp_path / "nowhere")
        assert done.returncode == 2 and "nowhere: no such directory" in done.stderr, (verb, done.stderr)


def test_without_a_command_the_help_is_printed(tunesmith: Run) -> None:
    done = tunesmith()
    assert done.returncode == 2 and "COMMAND" in done.stdout


def test_the_schema_is_printed_whole(tunesmith: Run) -> None:
    assert json.loads(tunesmith("schema").stdout) == published_schema()


@pytest.mark.parametrize("what", ["models", "hardware", "support", "prices"])
def test_a_catalogue_is_a_table_or_json(what: str, tunesmith: Run) -> None:
    assert tunesmith("catalog", what).stdout
    assert list(json.loads(tunesmith("catalog", what, "--json").stdout)) == [what]


def test_figures_of_models_and_machines_go_stale_too() -> None:
    row = catalogue.load().hardware["l4"]
    read = row.figures["date"]
    assert not commands.stale([row], read + dt.timedelta(days=90))
    assert commands.stale([row], read + dt.timedelta(days=91)) == ["l4"]
    assert not commands.stale([replace(row, figures={"source": "yours", "date": ""})], read + dt.timedelta(days=900))


def test_an_old_price_is_pointed_out(tunesmith: Run) -> None:
    assert ("older than 90 days" in tunesmith("catalog", "prices").stderr) == any(
        row["stale"] for row in json.loads(tunesmith("catalog", "prices", "--json").stdout)["prices"]
    )
    assert prices.OLD_PRICE_DAYS == 90


def test_without_a_terminal_the_missing_answers_are_named(tunesmith: Run, tmp_path: Path) -> None:
    done = tunesmith("new", tmp_path / "p", "--set", "seed=3", "--set", "prompt_measured=true")
    assert done.returncode == 2
    assert "project_name" in done.stderr and "--defaults" in done.stderr
    assert "seed" not in done.stderr and "shipped_before" not in done.stderr  # the tree does not ask it here
    assert not (tmp_path / "p").exists()


def test_problems_come_as_json_too(tunesmith: Run, tmp_path: Path) -> None:
    (tmp_path / "spec.yaml").write_text("seed: 1\nmetod: qlora\n")
    done = tunesmith("new", tmp_path / "p", "--spec", tmp_path / "spec.yaml", "--json")
    assert done.returncode == 2
    (problem,) = json.loads(done.stdout)["problems"]
    assert (problem["key"], problem["line"], problem["nearest"]) == ("metod", 2, "method")


def test_advice_is_given_without_writing_anything(tunesmith: Run, tmp_path: Path) -> None:
    done = tunesmith(
        "advise",
        "--defaults",
        "--set",
        "prompt_measured=true",
        "--set",
        "knowledge_changes=true",
        "--json",
        cwd=tmp_path,
    )
    assert done.returncode == 0
    assert json.loads(done.stdout)["approach"] == "rag"
    assert not list(tmp_path.iterdir())


def test_a_choice_against_the_advice_is_told_but_not_refused(tunesmith: Run, tmp_path: Path) -> None:
    done = tunesmith("new", tmp_path / "p", "--defaults", "--json", "--save-spec", tmp_path / "saved.yaml")
    assert done.returncode == 0
    assert "advice: prompting, not finetune" in done.stderr
    assert json.loads(done.stdout)["advice"]["not_yet"] is True
    assert json.loads(done.stdout)["committed"] is True
    first_line = (tmp_path / "saved.yaml").read_text().splitlines()[0]
    assert first_line == f"# yaml-language-server: $schema={published_schema()['$id']}"
    again = tunesmith("new", tmp_path / "q", "--spec", tmp_path / "saved.yaml")
    assert again.returncode == 0


def test_an_answer_without_effect_is_pointed_out(tunesmith: Run, tmp_path: Path) -> None:
    done = tunesmith("new", tmp_path / "p", "--defaults", "--set", "example=none", "--set", "intents=42")
    assert "intents: has no effect" in done.stderr


def test_data_add_wants_a_project_that_takes_data(tunesmith: Run, tmp_path: Path) -> None:
    project = tmp_path / "example"
    assert tunesmith("new", project, "--defaults", "--set", "example=home_assistant").returncode == 0
    records = tmp_path / "mine.jsonl"
    records.write_text('{"messages": []}\n')
    done = tunesmith("data", "add", records, project)
    assert done.returncode == 2 and "is built by the example home_assistant" in done.stderr
    done = tunesmith("data", "add", tmp_path / "missing.jsonl", project)
    assert done.returncode == 2 and "No such file" in done.stderr
    done = tunesmith("data", "add", records, tmp_path)
    assert done.returncode == 2 and "not a generated project" in done.stderr


def test_data_add_does_not_overwrite_what_dvc_does_not_keep(tunesmith: Run, tmp_path: Path) -> None:
    assert tunesmith("new", tmp_path / "p", "--defaults", "--set", "example=none").returncode == 0
    mine = tmp_path / "p" / "data" / "raw" / "requests.jsonl"
    mine.parent.mkdir(parents=True)
    mine.write_text("mine\n")
    (tmp_path / "new.jsonl").write_text("{}\n")
    done = tunesmith("data", "add", tmp_path / "new.jsonl", tmp_path / "p")
    assert done.returncode == 2 and "already exists" in done.stderr
    assert mine.read_text() == "mine\n"


@pytest.fixture
def own_project(tunesmith: Run, tmp_path: Path) -> Path:
    """A project without data. A script stands in for its environment, and tells what it was asked for."""
    assert tunesmith("new", tmp_path / "p", "--defaults", "--set", "example=none").returncode == 0
    (tmp_path / "p" / "environment.py").write_text("import sys; print('asked:', *sys.argv[1:])\n")
    return tmp_path / "p"


def test_data_add_takes_a_folder_of_shards_whole(tunesmith: Run, tmp_path: Path, own_project: Path) -> None:
    for name in ("a.jsonl", "deep/b.jsonl"):
        (tmp_path / "shards" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "shards" / name).write_text(f"{name}\n")
    done = tunesmith("data", "add", tmp_path / "shards", own_project)
    assert done.returncode == 0 and "2 files, 21 bytes" in done.stdout, done.stderr
    assert "asked: dvc add --quiet data/raw/requests.jsonl" in done.stderr
    raw = own_project / "data" / "raw" / "requests.jsonl"
    assert {path.relative_to(raw).as_posix() for path in raw.rglob("*.jsonl")} == {"a.jsonl", "deep/b.jsonl"}
    (raw.parent / "requests.jsonl.dvc").touch()
    for source in (tmp_path / "shards" / "a.jsonl", tmp_path / "shards"):  # each in place of what was there before
        assert tunesmith("data", "add", source, own_project).returncode == 0
        assert raw.is_dir() == source.is_dir()
    assert sorted(path.name for path in raw.parent.iterdir()) == ["requests.jsonl", "requests.jsonl.dvc"]


def test_data_add_refuses_a_folder_that_holds_what_is_no_data(
    tunesmith: Run, tmp_path: Path, own_project: Path
) -> None:
    shards = tmp_path / "shards"
    (shards / "deep").mkdir(parents=True)
    done = tunesmith("data", "add", shards, own_project)
    assert done.returncode == 2 and f"{shards}: is empty" in done.stderr
    (shards / "deep" / "a.jsonl").write_text("{}\n")
    (shards / "deep" / "b.jsonl").symlink_to("/etc/hostname")
    for name in (".DS_Store", "a.jsonl~", "c.jsonl.part"):
        (shards / name).touch()
    done = tunesmith("data", "add", shards, own_project)
    assert done.returncode == 2
    assert "links, hidden or temporary files: .DS_Store, a.jsonl~, c.jsonl.part, deep/b.jsonl" in done.stderr
    done = tunesmith("data", "add", tmp_path, tmp_path / "p")
    assert done.returncode == 2 and not (own_project / "data" / "raw").exists()


def test_data_add_does_not_copy_a_project_into_itself(tunesmith: Run, own_project: Path) -> None:
    raw = own_project / "data" / "raw" / "requests.jsonl"
    raw.mkdir(parents=True)
    (raw / "a.jsonl").write_text("{}\n")
    (raw.parent / "requests.jsonl.dvc").touch()
    for source in (raw.parent, raw, raw / "a.jsonl"):
        done = tunesmith("data", "add", source, own_project)
        assert done.returncode == 2 and "contain one another" in done.stderr
    assert (raw / "a.jsonl").read_text() == "{}\n"


def test_data_add_speaks_of_the_environment_only_where_there_is_none(
    tunesmith: Run, tmp_path: Path, own_project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PROJECT_VENV", raising=False)  # as `make test` names it
    (tmp_path / "new.jsonl").write_text("{}\n")
    says = "environment is created first"
    assert says in tunesmith("data", "add", tmp_path / "new.jsonl", own_project).stderr
    (own_project / "data" / "raw" / "requests.jsonl.dvc").touch()
    python = own_project / ".venv" / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    python.parent.mkdir(parents=True)
    python.touch()
    assert says not in tunesmith("data", "add", tmp_path / "new.jsonl", own_project).stderr
