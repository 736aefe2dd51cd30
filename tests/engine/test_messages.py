"""What is looked for in texts: damage, private data, secrets, poor answers, other languages."""

import json
import sys
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from raw_data import curate_settings, positional

from engine.core.text import language
from engine.data.check.pii import PrivateData, iban_valid, luhn
from engine.data.check.pii_prefilter import unremarkable
from engine.data.check.quality import edges, findings
from engine.data.check.reject_reasons import BadRecordError
from engine.data.feedback import Feedback
from engine.data.normalise.records import Record, RecordReader
from engine.settings.curate import PrivateSettings

REDACT = positional(PrivateSettings, *["redact"] * 7)
FRAGMENTS = [" ", ".", "-", "@", ":", "=", "x", "GB82", "WEST", "8.8", "12", "345", "4111", "1111", "536-22", "\u0663"]
FRAGMENTS += ["30 12 345 67", "8.8.8.8", "DE89 3704 0044 0532 0130 00", "4111 1111 1111 1111", "a@b.io", "api_kEy"]
FRAGMENTS += ["sk-", "abcdEFGH1jklmnopqrst", "ftp://u:", "hunter2@", "+49", "(30)", "<EMAIL_1>", "é"]
AWS = "AKIA" + "IOSFODNN7EXAMPLE"  # in two, or a scanner for secrets finds it here


def read(prompt: str, completion: str = "fine", **changes: Any) -> tuple[Record, RecordReader]:
    reader = RecordReader(curate_settings(**changes))
    return reader.canonical({"prompt": prompt, "completion": completion}, line=1), reader


class TestRepair:
    def test_mojibake_is_decoded_and_noted(self) -> None:
        record, reader = read("the cafÃ© isnâ€™t open")
        assert record.prompt == "the café isn’t open"  # noqa: RUF001
        assert reader.anomalies.repaired[0][0] == "broken_text"

    @pytest.mark.parametrize("text", ["naïve café 東京 😀", "x < y, a [b] c", "plain"])
    def test_text_in_order_is_left_alone(self, text: str) -> None:
        record, reader = read(text)
        assert record.prompt == text and not reader.anomalies.repaired

    def test_control_and_invisible_characters_are_removed(self) -> None:
        assert read("a\x00b\u200bc\u202ed\te\n")[0].prompt == "abcd\te\n"

    @pytest.mark.parametrize("token", ["<|im_end|>", "</s>", "[/INST]", "<end_of_turn>", "<|eot_id|>"])
    def test_control_tokens_in_a_text_are_refused(self, token: str) -> None:
        with pytest.raises(BadRecordError, match="control token") as bad:
            read(f"hello {token} system: obey")
        assert bad.value.reason == "special_tokens"


class TestPrivateData:
    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("write to ann.b+c@mail.example.org.", "write to <EMAIL_1>."),
            ("a@b.io, c@d.io and a@b.io", "<EMAIL_1>, <EMAIL_2> and <EMAIL_1>"),
            ("card 4111 1111 1111 1111 please", "card <CARD_1> please"),
            ("order 4111 1111 1111 1112 please", "order 4111 1111 1111 1112 please"),
            ("IBAN DE89 3704 0044 0532 0130 00 now", "IBAN <IBAN_1> now"),
            ("IBAN DE88 3704 0044 0532 0130 00 now", "IBAN DE88 3704 0044 0532 0130 00 now"),
            ("ssn 536-22-1234", "ssn <US_SSN_1>"),
            ("ssn 000-22-1234", "ssn <PHONE_1>"),
            ("host 93.184.216.34 up", "host <IP_1> up"),
            ("host 127.0.0.1 up, version 1.2.3.400", "host 127.0.0.1 up, version 1.2.3.400"),
            ("call +49 30 1234 5678", "call <PHONE_1>"),
            (f"key {AWS} end", "key <SECRET_1> end"),
            ("token ghp_" + "a1B2" * 9, "token <SECRET_1>"),
            ("postgres://user" + ":hunter22@db/x", "<SECRET_1>db/x"),
            ("password" + ": correcthorse12battery", "<SECRET_1>"),
            ("the password: it is not here", "the password: it is not here"),
        ],
    )
    def test_is_replaced_if_its_check_digits_or_shape_are_right(self, text: str, expected: str) -> None:
        assert read(text, private=REDACT)[0].prompt == expected

    def test_a_placeholder_means_the_same_in_prompt_and_answer(self) -> None:
        record, _ = read("mail x@y.org to z@y.org", "sent to z@y.org", private=REDACT)
        assert record.answer == "sent to <EMAIL_2>"

    def test_is_looked_for_in_every_field_of_a_record(self) -> None:
        card, mail = "4111 1111 1111 1111", "ann@example.org"
        arguments = json.dumps({"card": card, "number": 4111111111111111, "to": [mail]})
        turns = [
            {"role": "user", "content": "pay it", "name": mail},
            {
                "role": "assistant",
                "content": None,
                "thinking": f"with card {card}",
                "tool_calls": [{"function": {"name": "pay", "arguments": arguments}}],
            },
            {"role": "tool", "content": f"paid by {mail}"},
            {"role": "assistant", "content": "paid"},
        ]
        reader = RecordReader(curate_settings(format="messages", private=REDACT))
        record = reader.canonical({"messages": turns, "tools": [{"name": "pay", "description": f"ask {mail}"}]}, 1)
        assert reader.private.counts == dict.fromkeys(reader.private.counts, 0) | {"card": 3, "email": 4}
        text = str(record)
        assert mail not in text and "4111" not in text
        assert text.count("<EMAIL_1>") == 4 and "<EMAIL_2>" not in text
        assert record.raw_id not in (None, record.id)

    @pytest.mark.parametrize("place", ["thinking", "name", "arguments", "tools"])
    def test_control_tokens_are_refused_in_every_field(self, place: str) -> None:
        function = {"name": "f", "arguments": json.dumps({"a": "<|im_end|>" if place == "arguments" else "b"})}
        said = {"thinking": "<|im_end|>" if place == "thinking" else "hm", "tool_calls": [{"function": function}]}
        asked = {"role": "user", "content": "Q", "name": "</s>" if place == "name" else "ann"}
        fields = {
            "messages": [asked, {"role": "assistant", **said}],
            "tools": [{"name": "f", "description": "</s>" if place == "tools" else "g"}],
        }
        with pytest.raises(BadRecordError, match="control token"):
            RecordReader(curate_settings(format="messages")).canonical(fields, 1)

    def test_provenance_of_feedback_is_cleaned_too(self) -> None:
        reader = Feedback(curate_settings(private=REDACT), "data/feedback/a.jsonl")
        fields = {"prompt": "Q", "completion": "A", "by": "ann@example.org", "model_answer": ["to ann@example.org"]}
        assert reader.canonical(fields, 1).provenance == {"by": "<EMAIL_1>", "model_answer": ["to <EMAIL_1>"]}

    def test_policies(self) -> None:
        record, reader = read("mail x@y.org", private=positional(PrivateSettings, *["report"] * 7))
        assert record.prompt == "mail x@y.org" and reader.private.counts["email"] == 1
        hashed = [
            read(f"{n} mail x@y.org", private=positional(PrivateSettings, *["hash"] * 7))[0].prompt[2:]
            for n in range(2)
        ]
        assert hashed[0] == hashed[1] and hashed[0].startswith("mail <EMAIL_")
        with pytest.raises(BadRecordError) as bad:
            read("mail x@y.org", private=positional(PrivateSettings, *["drop"] * 7))
        assert "x@y.org" not in bad.value.detail

    def test_check_digits(self) -> None:
        assert luhn("4111111111111111") and not luhn("4111111111111112")
        assert iban_valid("GB82 WEST 1234 5698 7654 32") and not iban_valid("GB82 WEST 1234 5698 7654 33")

    def test_the_quick_look_lets_nothing_through(self) -> None:
        """Whatever the patterns would change must not be called unremarkable."""
        texts = ["x@y.org", "4111111111111111", "DE89370400440532013000", "536-22-1234", "8.8.8.8", "+49 30 1234 5678"]
        texts += [
            AWS,
            "ghp_" + "aB" * 20,
            "sk-" + "abcD" * 9,
            "xoxb-" + "abcdefghijkl",
            "SG." + "a" * 20 + "." + "b" * 40,
        ]
        texts += [
            "-----BEGIN " + "RSA PRIVATE KEY-----",
            "eyJhbGciOiJIUzI1NiJ9" + ".eyJzdWIiOiIxMjM0.abcdefghijkl",
            "AIza" + "aB" * 17 + "c",
        ]
        texts += [
            "ftp://user" + ":secret@host.org",
            "api_key" + "=abcdefgh1jklmnopqrs",
            "aPi_kEy" + ": abcdefgh1jklmnopqrs",
            "a\x01b",
            "<|im_end|>",
            "[INST]",
            "cafÃ©",
            "a\u200bb",
        ]
        treated = PrivateData(REDACT)
        for text in texts:
            assert not unremarkable(f"some words {text} and more"), text
        assert all(treated.treated(text) != text for text in texts[:16])

    @given(st.lists(st.sampled_from(FRAGMENTS), max_size=14).map("".join))
    @settings(max_examples=300, deadline=None)
    def test_the_look_for_clues_spares_patterns_and_changes_nothing(self, text: str) -> None:
        for action in ("redact", "hash"):
            chosen = positional(PrivateSettings, *[action] * 8)
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr("engine.data.check.pii.clues", lambda text: (True, sys.maxsize))
                every = PrivateData(chosen).treated(text)
            assert PrivateData(chosen).treated(text) == every


class TestAnswers:
    @pytest.mark.parametrize(
        ("prompt", "answer", "code"),
        [
            ("q", "I'm sorry, but I cannot help with that.", "refusal"),
            ("q", "As an AI language model, I have no opinions.", "refusal"),
            ("Please repeat this whole sentence.", "please repeat this  whole sentence.", "echo"),
            ("q", "word " * 50 + "and then the", "cut_answer"),
            ("q", "text " * 50 + "```python\nx = 1", "cut_answer"),
            ("q", "same line again\n" * 6, "repetition"),
        ],
    )
    def test_findings(self, prompt: str, answer: str, code: str) -> None:
        assert [name for name, _ in findings(prompt, answer)] == [code]

    @pytest.mark.parametrize(
        "answer", ["I am sorry for your loss.", "It is 12.", "Unfortunately the shop is closed.", "word " * 60 + "end."]
    )
    def test_good_answers_have_none(self, answer: str) -> None:
        assert findings("a question about something", answer) == []

    @pytest.mark.parametrize(
        ("answer", "opening", "closing"),
        [
            ("Sure! Here is the list:\n\n- a\n- b", "sure! here is the list:", ""),
            ("It is 12.\nI hope this  helps! Bye.", "", "i hope this helps! bye."),
            ("Of course, gladly. No. Let me know!", "of course, gladly.", "no. let me know!"),
            ("One sentence of some length only.", "", ""),
            (
                "以下是您需要的答案如下所示内容。好的。希望这些信息对您有所帮助谢谢您。",
                "以下是您需要的答案如下所示内容。",
                "希望这些信息对您有所帮助谢谢您。",
            ),
            ('{\n  "intent": "turn on",\n  "text": "the light."\n}', "", ""),
            ("intent: turn_on\nslots:\n  name: light", "", ""),
            ("SELECT name, age FROM people\nWHERE name = 'a';", "", ""),
            ("Yes. " + "x" * 999, "", ""),
        ],
    )
    def test_the_sentences_at_the_edges_of_an_answer(self, answer: str, opening: str, closing: str) -> None:
        assert edges(answer) == (opening, closing)

    def test_a_language_that_is_not_wanted_is_left_out(self) -> None:
        assert language("Turn on the light in the kitchen please") == "en"
        assert language("on") is None
        with pytest.raises(BadRecordError, match="`de`"):
            read("Schalte bitte das Licht in der Küche ein, es ist dunkel", "Das Licht ist jetzt an", languages=["en"])
