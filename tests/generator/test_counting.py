"""Tokens of the user's raw data, counted by the model's own tokenizer before a stage runs, or by characters."""

import csv
import gzip
import io
import json
import os
import struct
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
from conftest import Run

from tunesmith import catalog
from tunesmith.errors import FileProblem
from tunesmith.planner import plan as planner
from tunesmith.questions import defaults
from tunesmith.tokens import count, gguf_tokenizer, sample, tokenize_script

CATALOGUE = catalog.load()
# One token a word: prompts of three words, answers of one.
WORDS = ["one", "two", "three", "yes", "[user]", "[assistant]", "[system]", "unknown"]
TEMPLATE = "{% for m in messages %}[{{ m['role'] }}] {{ m['content'] }}\n{% endfor %}"


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """`make test` names the environment of generated projects, which has every package."""
    monkeypatch.delenv("PROJECT_VENV", raising=False)


def tokenizer_json() -> str:
    vocabulary = {word: place for place, word in enumerate(WORDS)}
    special = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    return json.dumps(
        {
            "version": "1.0", "truncation": None, "padding": None, "normalizer": None,
            "added_tokens": [{"id": vocabulary[word], "content": word, **special} for word in WORDS if "[" in word],
            "pre_tokenizer": {"type": "WhitespaceSplit"}, "post_processor": None, "decoder": None,
            "model": {"type": "WordLevel", "vocab": vocabulary, "unk_token": "unknown"},
        }
    )  # fmt: skip


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "tokenizer.json").write_text(tokenizer_json())
    (folder / "tokenizer_config.json").write_text(json.dumps({"chat_template": TEMPLATE}))
    return folder


def record(words: int = 3) -> dict[str, str]:
    return {"prompt": " ".join(["one", "two", "three"] * words)[: 14 * words - 1], "completion": "yes"}


def written(path: Path, records: list[dict[str, Any]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in records))
    return path


def shim(environment: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project's environment whose Python is this one, in a process of its own."""
    (environment / "bin").mkdir(parents=True)
    monkeypatch.setenv("PROJECT_VENV", str(environment))
    (environment / "bin/python").write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    (environment / "bin/python").chmod(0o755)
    return environment


def counted(model: Path, data: Path, **changes: object) -> Any:
    answers = defaults() | {"model": "custom", "dataset_format": "jsonl", "system_prompt": ""} | changes
    return count.of_data(CATALOGUE, answers, {"model_source": "path", "model_id": str(model)}, data, [])[0]


def test_each_row_is_as_long_as_the_chat_template_and_the_tokenizer_make_it(model: Path, tmp_path: Path) -> None:
    data = written(tmp_path / "raw.jsonl", [record(1), record(2), record(3)])
    found = counted(model, data)
    assert found.lengths == (3 + 3, 6 + 3, 9 + 3)  # words, two roles and the answer
    assert found.exact and "counted by the tokenizer in" in found.source and "3 records of raw.jsonl" in found.source
    assert counted(model, data, system_prompt="one two").lengths == (9, 12, 15)  # and the system turn


def test_retrieved_passages_are_added_and_said(model: Path, tmp_path: Path) -> None:
    data = written(tmp_path / "raw.jsonl", [record(1)])
    found = counted(model, data, approach="rag_finetune", passages=2, chunk_words=100)
    assert found.lengths == (306,) and "passages taken as 300 tokens" in found.source


SAME = [
    ("alpaca", {"instruction": "one", "input": "two three", "output": "yes"}),
    ("sharegpt", {"conversations": [{"from": "human", "value": "one two three"}, {"from": "gpt", "value": "yes"}]}),
    ("messages", {"messages": [{"role": "user", "content": "one two three"}, {"role": "assistant", "content": "yes"}]}),
    ("jsonl", {"question": "one two three", "answer": "yes"}),
    ("jsonl", {"prompt": [{"role": "user", "content": "one two three"}], "completion": "yes"}),
]


@pytest.mark.parametrize(("form", "row"), SAME, ids=[f"{form}-{place}" for place, (form, _) in enumerate(SAME)])
def test_every_shape_of_a_record_is_counted(form: str, row: dict[str, Any], model: Path, tmp_path: Path) -> None:
    data = written(tmp_path / "raw.jsonl", [row, {"what": "is this"}])
    found = counted(model, data, dataset_format=form)
    assert found.lengths == (6,) and "1 records were not understood" in found.source


def test_tools_calls_and_thinking_are_counted(model: Path, tmp_path: Path) -> None:
    plain = SAME[2][1]
    answer = {"role": "assistant", "content": None, "thinking": "one two", "tool_calls": [{"name": "yes"}]}
    rows = [plain, plain | {"tools": '["one", "two"]'}, {"messages": [plain["messages"][0], answer]}]
    found = counted(model, written(tmp_path / "raw.jsonl", rows), dataset_format="messages")
    assert found.lengths == (6, 6 + 2, 6 - 1 + 2 + 2)  # words of the thinking and of the call instead of one answer's


@pytest.mark.parametrize(
    ("form", "line"),
    [
        ("messages", '{"messages": [{"role": "user", "content": null}, {"role": "assistant", "content": 5}]}'),
        ("messages", '{"messages": [{"role": "user", "content": {"a": 1}}, {"role": "assistant", "content": ["x"]}]}'),
        ("messages", '{"messages": [["user", "x"]]}'),
        ("alpaca", '{"instruction": 5, "output": {"a": 1}}'),
        ("alpaca", '{"instruction": "a", "history": [5], "output": "b"}'),
        ("jsonl", '{"prompt": "a", "completion": "\\ud800"}'),
        ("jsonl", "[" * 100_000),
        ("jsonl", "5"),
    ],
)
def test_a_record_that_is_no_conversation_in_text_is_left_out(
    form: str, line: str, model: Path, tmp_path: Path
) -> None:
    good = {"alpaca": SAME[0][1], "messages": SAME[2][1], "jsonl": record(1)}[form]
    data = written(tmp_path / "raw.jsonl", [good])
    data.write_text(f"{data.read_text()}{line}\n")
    found = counted(model, data, dataset_format=form)
    assert found.lengths == (6,) and "1 records were not understood" in found.source


def test_what_is_no_plain_file_is_not_waited_for(model: Path, tmp_path: Path) -> None:
    for place in (tmp_path, Path("/dev/zero")):
        with pytest.raises(FileProblem, match="is not a regular file"):
            counted(model, place)


def test_every_container_is_counted_alike(model: Path, tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [record(1), record(2)]
    lines = "".join(json.dumps(row) + "\n" for row in rows).encode()
    table = io.StringIO()
    writer = csv.DictWriter(table, ["prompt", "completion"])
    writer.writeheader()
    writer.writerows(rows)
    files = {
        "a.jsonl": lines,
        "a.json": json.dumps(rows, indent=1).encode(),
        "a.jsonl.gz": gzip.compress(lines),
        "a.csv": table.getvalue().encode(),
    }
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
        assert counted(model, tmp_path / name).lengths == (6, 9), name


def table_file(path: Path, rows: list[dict[str, Any]], piece: int = 1000) -> Path:
    """The rows as Parquet, as an Arrow file or stream, or as lines that Zstandard packed, by the file's suffix."""
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    table = pyarrow.Table.from_pylist(rows)
    if path.suffix == ".parquet":
        parquet.write_table(table, path, row_group_size=piece, use_dictionary=False, compression="none")
    elif path.suffix == ".zst":
        lines = "".join(json.dumps(row) + "\n" for row in rows).encode()
        packed = pytest.importorskip("zstandard").ZstdCompressor()
        path.write_bytes(packed.compress(lines[:40]) + packed.compress(lines[40:]))  # two frames
    else:
        new = pyarrow.ipc.new_file if path.suffix == ".arrow" else pyarrow.ipc.new_stream
        with pyarrow.OSFile(str(path), "wb") as file, new(file, table.schema) as writer:
            writer.write_table(table, max_chunksize=piece)
    return path


TABLES = ["a.parquet", "a.arrow", "a.arrows", "a.jsonl.zst"]


@pytest.mark.parametrize("name", TABLES)
def test_tables_and_packed_lines_are_counted_as_lines_are(name: str, model: Path, tmp_path: Path) -> None:
    rows = [record(1), record(2), record(3)]
    found = counted(
        model,
        table_file(tmp_path / name, [row | {"picture": b"\xff"} for row in rows] if "zst" not in name else rows, 2),
    )
    assert found.lengths == (6, 9, 12) and found.exact, found.source
    turns = [{"messages": [{"role": "user", "content": "one"}, {"role": "assistant", "content": "yes"}]}]
    found = counted(model, table_file(tmp_path / name, turns), dataset_format="messages")
    assert found.lengths == (4,) and found.exact
    found = counted(model, table_file(tmp_path / name, [turns[0] | {"tools": "two three"}]), dataset_format="messages")
    assert found.lengths == (6,), "with its tools"
    with pytest.raises(FileProblem, match="no record has"):
        counted(model, table_file(tmp_path / name, [{"other": "one"}]))


@pytest.mark.parametrize(
    ("name", "piece"), [("a.parquet", 500), ("a.parquet", 60_000), ("a.arrow", 500), ("a.arrows", 500)]
)
def test_of_a_large_table_a_sample_is_decoded(name: str, piece: int, model: Path, tmp_path: Path) -> None:
    rows = [record(1 + place // 10_000) | {"padding": "x" * 99} for place in range(60_000)]
    data = table_file(tmp_path / name, rows, piece)
    assert data.stat().st_size > sample.WHOLE_BYTES
    found = counted(model, data)
    assert found == counted(model, data) and not found.exact and 1000 < len(found.lengths) < 3000
    mean = sum(found.lengths) / len(found.lengths)
    how, about = (
        ("from its beginning", 6) if name == "a.arrows" else ("evenly spaced", 13.5)
    )  # 3 to 18 words, three more
    assert how in found.source and mean == pytest.approx(about, rel=0.02)


@pytest.mark.parametrize("name", TABLES)
def test_a_damaged_table_is_refused_where_it_was_named(name: str, model: Path, tmp_path: Path) -> None:
    data = table_file(tmp_path / name, [record(place % 5 + 1) for place in range(3000)])
    content = data.read_bytes()
    data.write_bytes(content[:20] + bytes(len(content) // 2))
    with pytest.raises(FileProblem):
        counted(model, data)


@pytest.mark.parametrize("start", [b"PAR1", b"ARROW1", b"\xff\xff\xff\xff", b"\x28\xb5\x2f\xfd"])
def test_without_the_package_for_a_container_the_plan_says_in_one_line_what_to_do(
    start: bytes, tunesmith: Run, tmp_path: Path
) -> None:
    for name in ("pyarrow", "zstandard", "compression"):
        (tmp_path / f"{name}.py").write_text("raise ImportError\n")
    data = tmp_path / "raw.bin"
    data.write_bytes(start + bytes(40))
    for verb in ("plan", "advise"):
        path = f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
        done = tunesmith(verb, "--defaults", "--data", data, cwd=tmp_path, PYTHONPATH=path)
        (line,) = (line for line in (done.stdout + done.stderr).splitlines() if str(data) in line)
        assert done.returncode == 0 and "is counted with the package" in line and "tunesmith[tables]" in line
        assert "token counts are taken from the spec" in line


@pytest.mark.parametrize("name", TABLES)
def test_the_python_of_the_projects_environment_reads_what_this_one_cannot(
    name: str, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = table_file(tmp_path / name, [record(1), record(2)])
    environment = shim(tmp_path / "environment", monkeypatch)
    for package in ("pyarrow", "zstandard", "compression"):
        monkeypatch.setitem(sys.modules, package, None)
    assert counted(model, data).lengths == (6, 9)
    data.write_bytes(data.read_bytes()[:10] + bytes(40))
    with pytest.raises(FileProblem, match="cannot be read"):
        counted(model, data)
    (environment / "bin/python").write_text("#!/bin/sh\nexit 1\n")
    answers = defaults() | {"model": "custom", "dataset_format": "jsonl"}
    rows, note = count.of_data(CATALOGUE, answers, {"model_source": "path", "model_id": str(model)}, data, [])
    assert rows is None and "cannot either" in note


def test_a_large_file_is_sampled_evenly_always_alike_with_a_band(model: Path, tmp_path: Path) -> None:
    data = tmp_path / "large.jsonl"
    with data.open("w") as handle:  # short ones first: the beginning alone would mislead
        for place in range(60_000):
            handle.write(json.dumps(record(1 + place // 10_000)) + "\n")
    assert data.stat().st_size > sample.WHOLE_BYTES
    found, again = counted(model, data), counted(model, data)
    assert found == again and not found.exact and "evenly spaced" in found.source
    mean = sum(found.lengths) / len(found.lengths)
    # Places are spaced by bytes, so long rows are met more often than short ones; the band of a sample covers chance.
    assert 500 < len(found.lengths) <= sample.CONVERSATIONS and 10 < mean < 19
    assert found.band.low < 1 < found.band.high < 1.1
    made = planner.plan(
        CATALOGUE,
        defaults() | {"model": "qwen3-8b", "hardware": "l4"},
        {"max_length": 512},
        rows_counted=found,
        prices={},
    )
    assert made.setup.length == 512  # a longer row may lie between those that were looked at
    assert made.tokens.low < made.tokens.typical < made.tokens.high


def test_a_plan_takes_the_counted_rows(model: Path, tmp_path: Path) -> None:
    data = written(tmp_path / "raw.jsonl", [record(1)] * 9 + [record(50)])
    pins = {"max_length": 64, "max_steps": 10, "micro_batch_size": 2, "gradient_accumulation_steps": 4}
    answers = defaults() | {"model": "qwen3-8b", "hardware": "l4"}
    before = planner.plan(CATALOGUE, answers, pins, prices={})
    made = planner.plan(CATALOGUE, answers, pins, rows_counted=counted(model, data), prices={})
    assert made.tokens.typical == made.tokens.low == made.tokens.high == 10 * 8 * 6
    assert "1 of 10 rows are longer than max_length: 64" in made.tokens.source
    assert made.setup.length == 6 and made.memory.typical < before.memory.typical
    assert before.tokens.typical == 10 * 8 * 32


def test_without_the_package_characters_are_counted_and_the_way_to_better_is_said(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    found = counted(model, written(tmp_path / "raw.jsonl", [record(4)] * 3))
    assert "tokens per character" in found.source and "pip install 'tunesmith[tokens]'" in found.source
    assert not found.exact and found.band == (0.8, 1.0, pytest.approx(1.4))
    assert set(found.lengths) == {14 + 1 + 2 * count.TURN_TOKENS}


def test_the_python_of_the_projects_environment_counts_where_this_one_cannot(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment = shim(tmp_path / "environment", monkeypatch)
    data = written(tmp_path / "raw.jsonl", [record(1)])

    def missing(*_: object) -> list[int]:
        raise ImportError

    monkeypatch.setattr(tokenize_script, "lengths", missing)
    assert counted(model, data).lengths == (6,)
    (environment / "bin/python").write_text("#!/bin/sh\nexit 1\n")
    assert "cannot either" in counted(model, data).source


def test_a_hub_model_is_counted_by_its_pinned_revision_in_the_cache(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    data = written(tmp_path / "data/raw/requests.jsonl", [record(1)])
    answers = defaults() | {"model": "qwen3-8b", "dataset_format": "jsonl", "system_prompt": ""}
    absent, _ = count.of_data(CATALOGUE, answers, {"model_revision": "a" * 40}, data, [])
    assert absent is not None
    assert f"`hf download Qwen/Qwen3-8B tokenizer.json tokenizer_config.json --revision {'a' * 40}`" in absent.source
    snapshots = tmp_path / "hub/models--Qwen--Qwen3-8B/snapshots"
    (snapshots / ("a" * 40)).mkdir(parents=True)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (snapshots / ("a" * 40) / name).write_text((model / name).read_text())
    found, _ = count.of_data(CATALOGUE, answers, {"model_revision": "a" * 40}, None, [tmp_path])
    assert found is not None and found.lengths == (6,)
    other, _ = count.of_data(CATALOGUE, answers, {"model_revision": "b" * 40}, data, [])
    assert other is not None and "not in this machine's hub cache" in other.source


CHAT = "{% for m in messages %}<|im_start|>{{ m.content }}{{ eos_token }}{% endfor %}"


def gguf(kind: str = "gpt2") -> bytes:
    """The head of a GGUF file with a byte-pair tokenizer that knows ``ab`` and one special token."""

    def text(value: str) -> bytes:
        return struct.pack("<Q", len(value.encode())) + value.encode()

    def array(values: list[Any], inner: int) -> bytes:
        items = b"".join(text(value) if inner == 8 else struct.pack("<i", value) for value in values)
        return struct.pack("<IQ", inner, len(values)) + items

    tokens = ["<|im_start|>", "<|im_end|>", "a", "b", "ab", "Ċ"]
    entries = [
        ("general.name", 8, text("tiny")),
        ("general.size", 4, struct.pack("<I", 7)),
        ("tokenizer.ggml.model", 8, text(kind)),
        ("tokenizer.ggml.tokens", 9, array(tokens, 8)),
        ("tokenizer.ggml.token_type", 9, array([3, 3] + [1] * (len(tokens) - 2), 5)),
        ("tokenizer.ggml.merges", 9, array(["a b"], 8)),
        ("tokenizer.ggml.eos_token_id", 4, struct.pack("<I", 1)),
        ("tokenizer.chat_template", 8, text(CHAT)),
    ]
    body = b"".join(text(key) + struct.pack("<I", form) + value for key, form, value in entries)
    return struct.pack("<4sIQQ", b"GGUF", 3, 0, len(entries)) + body


@pytest.mark.parametrize("place", ["PROJECT_CACHE", "PROJECT_VENV", "project/.cache"])
def test_the_package_model_is_counted_out_of_its_wheel(
    place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It lies in the cache; projects up to 0.2.0 have it in their environment."""
    monkeypatch.delenv("PROJECT_CACHE", raising=False)
    cache = tmp_path / place
    if "/" not in place:
        monkeypatch.setenv(place, str(cache))
    (cache / "wheels").mkdir(parents=True)
    with zipfile.ZipFile(cache / "wheels/tiny_model-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("tiny/model.gguf", gguf())
    pins = {"model_source": "package", "model_id": "tiny-model==1.0", "model_file": "tiny/model.gguf"}
    answers = defaults() | {"model": "custom", "dataset_format": "jsonl", "system_prompt": ""}
    data = written(tmp_path / "raw.jsonl", [{"prompt": "abab", "completion": "b"}])
    found, _ = count.of_data(CATALOGUE, answers, pins, data, [tmp_path / "project"])
    assert found is not None and found.lengths == (2 + 2 + 1 + 2,)  # ab ab, b, and two turns' borders
    assert "tiny_model-1.0" in found.source
    elsewhere, _ = count.of_data(CATALOGUE, answers, pins | {"model_id": "other==1.0"}, data, [])
    assert elsewhere is not None and "`python3 environment.py` in the project installs it" in elsewhere.source


@pytest.mark.parametrize("content", [b"", b"GGUF", b"PK\x03\x04" + bytes(40), gguf()[:200], gguf("llama")])
def test_a_file_without_such_a_tokenizer_is_refused(content: bytes) -> None:
    with pytest.raises(gguf_tokenizer.NoTokenizer):
        gguf_tokenizer.tokenizer(io.BytesIO(content))


@pytest.mark.parametrize(
    "settings",
    [
        [1],
        {},
        {"chat_template": 5},
        {"chat_template": [5]},
        {"chat_template": "{%"},
        {"chat_template": "{{ raise_exception('no system turn') }}"},
        {"chat_template": "{{ messages.__class__.__mro__ }}"},
    ],
)
def test_a_chat_template_that_does_not_take_the_rows_is_said(settings: object, model: Path, tmp_path: Path) -> None:
    (model / "tokenizer_config.json").write_text(json.dumps(settings))
    found = counted(model, written(tmp_path / "raw.jsonl", [record(1)]))
    assert "counted by the tokenizer" in found.source and "as in ChatML" in found.source
    assert 4 <= found.lengths[0] <= 8


def test_a_template_in_a_file_of_its_own_is_taken(model: Path, tmp_path: Path) -> None:
    (model / "tokenizer_config.json").unlink()
    (model / "chat_template.jinja").write_text(TEMPLATE)
    assert counted(model, written(tmp_path / "raw.jsonl", [record(1)])).lengths == (6,)
    named = [{"name": "tools", "template": "x"}, {"name": "default", "template": TEMPLATE}]
    (model / "chat_template.jinja").unlink()
    (model / "tokenizer_config.json").write_text(json.dumps({"chat_template": named}))
    assert counted(model, written(tmp_path / "raw.jsonl", [record(1)])).lengths == (6,)


@pytest.mark.parametrize("written_as", ["{}", "[", "null"])
def test_a_tokenizer_that_cannot_be_read_is_said(written_as: str, model: Path, tmp_path: Path) -> None:
    (model / "tokenizer.json").write_text(written_as)
    found = counted(model, written(tmp_path / "raw.jsonl", [record(1)]))
    assert "tokens per character" in found.source and f"{model} cannot be read" in found.source


@pytest.mark.parametrize("content", [b"\xff\xfeno utf-8", b"", b"{}\n", b"\x1f\x8bcut"])
def test_a_named_file_that_cannot_be_counted_is_refused_and_a_found_one_left_aside(
    content: bytes, model: Path, tmp_path: Path
) -> None:
    data = tmp_path / "data/raw/requests.jsonl"
    data.parent.mkdir(parents=True)
    data.write_bytes(content)
    with pytest.raises(FileProblem):
        counted(model, data)
    answers = defaults() | {"model": "custom", "dataset_format": "jsonl"}
    rows, note = count.of_data(CATALOGUE, answers, {"model_source": "path", "model_id": str(model)}, None, [tmp_path])
    assert rows is None and str(data) in note and "token counts are taken from the spec" in note


def test_a_spec_beside_its_data_and_a_project_with_raw_data_are_counted(
    tunesmith: Run, model: Path, tmp_path: Path
) -> None:
    spec = tmp_path / "spec.yaml"
    spec.write_text(
        f"model: custom\nmodel_source: path\nmodel_id: {model}\ndataset_format: jsonl\n"
        "approach: finetune\nsystem_prompt: one\n"
    )
    assert "no data counted yet" in tunesmith("plan", "--spec", spec).stdout
    written(tmp_path / "data/raw/requests.jsonl", [record(1)] * 3)
    for verb in (["plan"], ["advise", "--sources"]):
        said = tunesmith(*verb, "--spec", spec)
        assert "counted by the tokenizer in" in said.stdout, said.stderr
    made = tmp_path / "made"
    assert tunesmith("new", made, "--spec", spec).returncode == 0
    data = written(made / "data/raw/requests.jsonl", [record(2)] * 3)
    counts = json.loads(tunesmith("plan", made, "--json").stdout)["training"]["tokens"]
    assert counts["lengths"] == [11, 11, 11] and "requests.jsonl" in counts["source"]
    data.write_text("{}\n")
    assert "token counts are taken from the spec" in tunesmith("plan", made).stderr
    assert tunesmith("plan", made, "--data", data).returncode == 2
