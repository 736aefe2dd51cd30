"""The split: whole groups, no near duplicate across it, every label tested, stable when rows are added."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from raw_data import distinct_row

from engine.core.errors import ProjectError
from engine.core.text import casefolded
from engine.data import split as split_module
from engine.data.dedup.comparison import Similarity
from engine.data.dedup.near_duplicates import band_keys, clusters, near_pairs
from engine.data.dedup.shingles import Shingles
from engine.data.normalise.messages import Message
from engine.data.normalise.records import Record
from engine.data.record_store import Store
from engine.data.shards import frozen_part
from engine.data.split import Split, draw, leaks

THRESHOLD = 0.7


@pytest.fixture(autouse=True)
def in_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def record(number: int, group: str | None = None, label: str | None = None, prompt: str | None = None) -> Record:
    row = distinct_row(number)
    messages = [Message("user", prompt or row["prompt"]), Message("assistant", row["completion"])]
    return Record(
        id=f"{number * 2654435761 % 2**64:016x}", messages=messages, group=group, label=label, line=number + 1
    )


def split(records: list[Record], test_items: int = 10, dev_items: int = 5) -> Split:
    shingles, everything = shingles_of(records), np.arange(len(records))
    keys = band_keys(shingles.hashes, np.diff(shingles.starts))
    near = clusters(len(records), near_pairs(shingles, keys, everything, THRESHOLD))
    frozen_part(Path("part"), records)
    store = Store([Path("part")], ["raw"])
    return draw(store, Similarity(shingles, THRESHOLD), everything >= 0, near, test_items, dev_items)


def shingles_of(records: list[Record]) -> Shingles:
    return Shingles.of_texts([casefolded(record.prompt) for record in records])


def ids(records: list[Record], indices: list[int]) -> set[str]:
    return {records[index].id for index in indices}


def test_every_record_is_in_one_part() -> None:
    records = [record(number) for number in range(100)]
    parts = split(records)
    assert sorted(parts.train.tolist() + parts.dev + parts.test + list(parts.purged)) == list(range(100))
    assert (len(parts.test), len(parts.dev)) == (10, 5)


def test_a_group_is_never_torn_apart() -> None:
    records = [record(number, group=f"document {number // 5}") for number in range(200)]
    parts = split(records, test_items=20, dev_items=10)
    of = {name: {records[i].group for i in getattr(parts, name)} for name in ("train", "dev", "test")}
    assert (len(of["test"]), len(of["dev"]), len(of["train"])) == (4, 2, 34)
    assert not of["test"] & of["train"] and not of["dev"] & of["train"] and not of["test"] & of["dev"]


def test_near_duplicates_stay_together_without_groups() -> None:
    pairs = [record(n, prompt=distinct_row(n // 2)["prompt"] + " please" * (n % 2)) for n in range(120)]
    parts = split(pairs, test_items=20, dev_items=10)
    assert parts.purged == {}
    assert leaks(shingles_of(pairs), parts.test + parts.dev, parts.train, THRESHOLD) == 0
    assert all(index ^ 1 in parts.test for index in parts.test)


def test_what_is_near_a_test_item_but_in_another_group_is_left_out() -> None:
    """Groups that share near duplicates would chain into one if they were merged; so the near ones are purged."""
    records = [record(n, group=f"template {n % 40}", prompt=distinct_row(n // 2)["prompt"]) for n in range(200)]
    parts = split(records, test_items=20, dev_items=10)
    assert len(parts.test) == 20
    assert parts.purged
    assert leaks(shingles_of(records), parts.test + parts.dev, parts.train, THRESHOLD) == 0
    assert {records[item].group for item in parts.purged.values()} <= {records[i].group for i in parts.test + parts.dev}


def test_every_label_with_enough_groups_is_tested_about_in_its_share() -> None:
    sizes = {"common": 200, "usual": 80, "rare": 4}
    labels = [label for label, size in sizes.items() for _ in range(size)]
    records = [record(number, label=label) for number, label in enumerate(labels)]
    tested = Counter(records[index].label for index in split(records, test_items=40).test)
    assert tested == {"common": 28, "usual": 11, "rare": 1}


def test_more_labels_than_whole_groups_have_room_for() -> None:
    """Then a group gives some of its records, and its other ones are in no part: label coverage without a leak."""
    records = [record(n, group=f"g{n // 8}", label=f"label {n // 32 % 10}") for n in range(640)]
    parts = split(records, test_items=40)
    assert len(parts.test) == 40
    assert len({records[index].label for index in parts.test}) == 10
    held = {records[index].group for index in parts.test}
    assert len(held) == 20
    assert not held & {records[index].group for index in [*parts.train, *parts.dev]}
    assert len(parts.purged) == 20 * 8 - 40


def test_more_labels_than_test_items() -> None:
    records = [record(n, label=f"label {n % 60}") for n in range(300)]
    parts = split(records, test_items=20)
    assert len(parts.test) == 20
    assert len({records[index].label for index in parts.test}) > 10


def test_a_label_with_one_group_is_trained_not_tested_when_its_group_does_not_fit() -> None:
    records = [record(n, group=f"g{n // 3}", label="many") for n in range(300)]
    records += [record(300 + n, group="only", label="single") for n in range(50)]
    parts = split(records, test_items=30)
    assert not any(records[index].label == "single" for index in parts.test)


def test_added_rows_leave_most_of_the_benchmark_as_it_was() -> None:
    before = [record(number) for number in range(300)]
    after = before + [record(number) for number in range(300, 310)]
    old, new = split(before, test_items=40), split(after, test_items=40)
    assert len(ids(before, old.test) & ids(after, new.test)) >= 36


def test_the_order_of_the_rows_does_not_matter() -> None:
    forward = [record(number, label=str(number % 3)) for number in range(200)]
    backward = forward[::-1]
    assert ids(forward, split(forward).test) == ids(backward, split(backward).test)


def test_of_very_many_records_whole_units_stand_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(split_module, "MOST_DRAWN_FROM", 400)
    records = [record(n, group=f"g{n // 4}", label=str(n // 4 % 4)) for n in range(1200)]
    parts = split(records, test_items=40, dev_items=20)
    assert len(parts.test) == 40
    assert Counter(records[index].label for index in parts.test).keys() == {"0", "1", "2", "3"}
    assert not {records[i].group for i in parts.test} & {records[i].group for i in [*parts.train, *parts.dev]}
    assert len(parts.train) + len(parts.dev) + len(parts.test) + len(parts.purged) == 1200


def test_groups_too_large_to_hold_out_are_named() -> None:
    with pytest.raises(ProjectError) as error:
        split([record(number, group=f"g{number % 2}") for number in range(100)])
    assert "only 0 of 10 test items" in str(error.value)
    assert "curate.group_key" in str(error.value)
