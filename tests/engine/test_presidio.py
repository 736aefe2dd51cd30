"""Private data by Presidio. Runs where it is installed, without a language model and without a network."""

import importlib.util
from collections.abc import Callable

import pytest
from raw_data import positional
from test_messages import AWS, read

from engine.core.errors import ProjectError
from engine.data.check.pii import PrivateData
from engine.data.check.presidio import finder
from engine.data.check.reject_reasons import BadRecordError
from engine.settings.curate import PrivateSettings

INSTALLED = importlib.util.find_spec("presidio_analyzer") is not None
needs_presidio = pytest.mark.skipif(not INSTALLED, reason="Presidio is not installed")


@needs_presidio
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("write to ann.b+c@mail.example.org, see example.org", "write to <EMAIL_1>, see example.org"),
        ("card 4111 1111 1111 1111 for order 4111 1111 1111 1112", "card <CARD_1> for order 4111 1111 1111 1112"),
        ("IBAN DE89 3704 0044 0532 0130 00 now", "IBAN <IBAN_1> now"),
        ("call (415) 555-2671 by 2024-01-31", "call <PHONE_1> by 2024-01-31"),
        ("ssn 536-22-1234", "ssn <US_SSN_1>"),
        ("NHS 943 476 5919, DEA BB1388568", "NHS <IDENTIFIER_1>, DEA <IDENTIFIER_2>"),
        ("hosts 127.0.0.1, ::1 and 2001:db9::1", "hosts 127.0.0.1, ::1 and <IP_1>"),
        (f"key {AWS} end", "key <SECRET_1> end"),
        ("turn on light 3 at 12:30", "turn on light 3 at 12:30"),
    ],
)
def test_finds_by_its_patterns(text: str, expected: str) -> None:
    redact = positional(PrivateSettings, *["redact"] * 8)
    record, reader = read(text, private=redact, pii_engine="presidio")
    assert record.prompt == expected
    assert sum(reader.private.counts.values()) == expected.count("<")


@needs_presidio
def test_what_may_be_two_things_has_the_stricter_policy() -> None:
    private = positional(PrivateSettings, "report", "redact", *["report"] * 6)
    number = "415-555-2671"  # its last digit is also the check digit of an NHS number
    assert read(f"call {number}", private=private, pii_engine="presidio")[0].prompt == "call <PHONE_1>"


@needs_presidio
def test_policies_are_the_same() -> None:
    reports = positional(PrivateSettings, *["report"] * 8)
    record, reader = read("NHS 943 476 5919", private=reports, pii_engine="presidio")
    assert record.prompt == "NHS 943 476 5919" and reader.private.counts["identifier"] == 1
    with pytest.raises(BadRecordError, match="column 5 of a text: identifier"):
        read("NHS 943 476 5919", private=positional(PrivateSettings, *["drop"] * 8), pii_engine="presidio")


@pytest.mark.skipif(INSTALLED, reason="Presidio is installed")
@pytest.mark.parametrize("ask", [finder, lambda: PrivateData(positional(PrivateSettings, *["report"] * 8), "presidio")])
def test_that_is_not_installed_says_how_to_install_it(ask: Callable[[], object]) -> None:
    with pytest.raises(ProjectError, match="Presidio is not installed") as error:
        ask()
    assert "environment.py pip install" in error.value.fix
