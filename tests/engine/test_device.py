"""What is kept outside DVC is keyed by the code and the packages that made it."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from engine.core.device import Device, place
from engine.core.errors import ProjectError
from engine.inference.transformers_backend import Generator


@pytest.mark.parametrize(("started", "devices"), [("1", 2), ("2", 1), ("4", 2)])
def test_a_run_that_was_started_for_another_number_of_devices_stops(
    monkeypatch: pytest.MonkeyPatch, started: str, devices: int
) -> None:
    monkeypatch.setenv("WORLD_SIZE", started)
    with pytest.raises(ProjectError, match=f"train.devices is {devices}, but {started} processes") as stopped:
        place(devices)
    assert stopped.value.where == "params.yaml: train.devices" and "dvc.yaml" in stopped.value.fix


def test_each_process_has_a_card_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("LOCAL_RANK", "1")
    taken: list[int] = []
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    monkeypatch.setattr("torch.cuda.set_device", taken.append)
    assert place(2) == 1 and taken == [1]
    assert Device("cuda", "a card", 1, "torch.bfloat16").place == "cuda:1"
    monkeypatch.setattr("torch.cuda.device_count", lambda: 1)
    with pytest.raises(ProjectError, match="this machine has 1"):
        place(2)


def test_answers_are_known_by_the_code_that_decoded_them(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = object.__new__(Generator)  # the weights do not matter here
    generator.bits = 16
    generator.tokenizer = SimpleNamespace(chat_template="")
    generator.folder, generator.device = Path("weights"), Device("cpu", "a processor", 1, "torch.float32")
    before = generator.identity
    generator.device = Device("cpu", "a processor", 2, "torch.float32")
    assert generator.identity != before, "what it took with one thread is not what it takes with two"
    generator.device = Device("cpu", "a processor", 1, "torch.float32")
    with monkeypatch.context() as edited:
        edited.setattr("engine.inference.transformers_backend.code_key", lambda module: "edited")
        assert generator.identity != before
    monkeypatch.setattr("engine.inference.transformers_backend.versions", lambda: {"torch": "0.0"})
    assert generator.identity != before
