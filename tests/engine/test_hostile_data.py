"""Whatever is in a file: no crash, no hang, no record that is neither kept nor rejected."""

import random
from pathlib import Path

import pytest
from corrupt_files import mutant, seeds
from hypothesis import given, settings
from hypothesis import strategies as st
from raw_data import curate_settings

from engine.core.errors import ProjectError
from engine.core.io import read_jsonl
from engine.data.check.reject_reasons import REASONS, BadRecordError
from engine.data.normalise.strict_json import _slow, parse_object
from engine.data.read.file_formats import container
from engine.data.shards import Piece, build_part


def test_mutated_files_are_read_or_refused_and_every_record_is_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    draw, originals = random.Random(3), seeds()
    read = refused = 0
    for number in range(400):
        Path("data.bin").write_bytes(mutant(draw, originals))
        given = curate_settings(format=draw.choice(["jsonl", "messages", "preference", "sharegpt", "text"]))
        try:
            done = build_part(Path("part"), Piece("data.bin", container(Path("data.bin"))), given)
        except ProjectError:
            refused += 1
            continue
        rejected = read_jsonl(Path("part/rejected.jsonl"))
        kept = read_jsonl(Path("part/records.jsonl"))
        assert done["read"] == len(kept) + len(rejected), number
        assert {row["reason"] for row in rejected} <= REASONS.keys()
        read += done["read"]
    assert read > 400 and refused > 10  # both happen


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=12,
)


def outcome(parse: object, data: bytes) -> tuple[str, object]:
    try:
        return "value", parse(data)  # type: ignore[operator]
    except BadRecordError as bad:
        return "reject", bad.reason


@settings(deadline=None, max_examples=150)
@given(st.dictionaries(st.text(max_size=4), JSON, max_size=4), st.randoms(use_true_random=False), st.booleans())
def test_the_fast_parser_never_says_anything_else_than_the_strict_one(
    value: dict[str, object], draw: random.Random, escaped: bool
) -> None:
    import json

    text = json.dumps(value, ensure_ascii=escaped, separators=draw.choice([(",", ":"), (", ", " : "), (",", ":  ")]))
    data = text.encode("utf-8", "surrogatepass")
    if draw.random() < 0.5 and len(data) > 2:  # put one key in twice, or break something
        at = draw.randrange(1, len(data))
        data = draw.choice(
            [b'{"a":1,' + data[1:], b'{"a":1,"a":2}', data[:at] + data[at + 1 :], data.replace(b":", b"\\u003a", 1)]
        )
    assert outcome(parse_object, data) == outcome(_slow, data)
