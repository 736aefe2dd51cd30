"""What is kept outside DVC is keyed by the code and the packages that made it."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from pipeline import runtime
from pipeline.generation import Generator
from pipeline.runtime import Device, made_by


def test_edited_code_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = []
    monkeypatch.setattr(runtime, "__file__", str(tmp_path / "runtime.py"))
    for code in ("greedy", "sampled", "greedy"):
        (tmp_path / "generation.py").write_text(code)
        keys.append(made_by("generation.py"))
    assert keys[0] == keys[2] != keys[1]


def test_another_package_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    before = made_by("generation.py")
    monkeypatch.setattr(runtime, "versions", lambda: {"torch": "0.0"})
    assert made_by("generation.py") != before


def test_answers_are_known_by_the_code_that_decoded_them(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = object.__new__(Generator)  # the weights do not matter here
    generator.bits = 16
    generator.tokenizer = SimpleNamespace(chat_template="")
    generator.folder, generator.device = Path("weights"), Device("cpu", "a processor", 1, "torch.float32")
    before = generator.identity
    monkeypatch.setattr("pipeline.generation.made_by", lambda *modules: [*made_by(*modules), "edited"])
    assert generator.identity != before
