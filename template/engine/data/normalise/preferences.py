"""Data that compare answers or judge them: pairs, rankings and labels."""

import math
from contextlib import suppress
from typing import Any

from engine.data.check.reject_reasons import BadRecordError, kind
from engine.data.normalise.dataset_formats import (
    CHOSEN_KEYS,
    COMPLETION_KEYS,
    CONVERSATION_KEYS,
    LABEL_KEYS,
    PROMPT_KEYS,
    REJECTED_KEYS,
    TRUTH,
    Example,
    Reader,
    from_prompt,
    prompt_turns,
    system_turn,
    tools_of,
)
from engine.data.normalise.dialogues import dialogue
from engine.data.normalise.messages import Message, one_key, text_of, turn_message, turns
from engine.data.normalise.repair_policy import Anomalies

_SCORE_KEYS = (
    ("score_chosen", "score_rejected"),
    ("chosen-rating", "rejected-rating"),
    ("chosen_score", "rejected_score"),
)
_OVERALL_KEYS = ("overall_score", "score", "fine-grained_score")


def _from_preference(fields: dict[str, Any], anomalies: Anomalies) -> Example:
    """A chosen and a rejected answer to one prompt, which may be separate or at the beginning of both."""
    if isinstance(fields.get("completions"), list):
        return _from_ranking(fields, anomalies)
    if isinstance(fields.get("responses"), list):
        return _best_and_worst(fields, _numbered(fields, anomalies), anomalies)
    if "rejected_response" in fields and "messages" in fields:
        whole = turns(fields["messages"], "messages", anomalies)
        lost = [Message("assistant", text_of(fields["rejected_response"], "rejected_response", anomalies))]
        return _compared(whole[:-1], whole[-1:], lost, fields)
    chosen = _answer(fields, one_key(fields, CHOSEN_KEYS), anomalies)
    rejected = _answer(fields, one_key(fields, REJECTED_KEYS), anomalies)
    if not chosen or not rejected:
        raise BadRecordError("preference", "chosen or rejected is empty")
    shared = _common(chosen, rejected)
    if shared:  # the prompt is implicit
        prompt = _agreed(chosen[:shared], fields, anomalies)
        return _compared(prompt, chosen[shared:], rejected[shared:], fields)
    if "user" in (chosen[0].role, rejected[0].role):
        raise BadRecordError("preference", "chosen and rejected do not answer the same prompt")
    return _compared(prompt_turns(fields, anomalies), chosen, rejected, fields)


def _compared(prompt: list[Message], chosen: list[Message], rejected: list[Message], fields: dict[str, Any]) -> Example:
    """Raises `BadRecordError` if the two answers cannot be compared."""
    if not prompt or prompt[-1].role not in ("user", "tool"):
        raise BadRecordError("preference", "chosen and rejected do not answer the same prompt")
    for name, answer in (("chosen", chosen), ("rejected", rejected)):
        if not answer or answer[-1].role != "assistant":
            raise BadRecordError("preference", f"`{name}` does not end with an answer")
        if any(turn.role == "assistant" and not turn.content.strip() and not turn.tool_calls for turn in answer):
            raise BadRecordError("empty", f"`{name}` says nothing")
    if [turn.content.strip() for turn in chosen] == [turn.content.strip() for turn in rejected]:
        raise BadRecordError("preference", "chosen and rejected are the same: there is nothing to learn")
    scores = _scores(fields)
    if scores and scores[0] < scores[1]:
        raise BadRecordError("preference", f"the chosen answer scores {scores[0]}, the rejected one {scores[1]}")
    if scores and scores[0] == scores[1]:
        raise BadRecordError("preference", f"a tie: both answers score {scores[0]}")
    tools = tools_of(fields) or (tools_of(fields["input"]) if isinstance(fields.get("input"), dict) else None)
    return Example(prompt + chosen, rejected=rejected, tools=tools, answer_turns=len(chosen))


def _agreed(implicit: list[Message], fields: dict[str, Any], anomalies: Anomalies) -> list[Message]:
    """The prompt that both answers begin with; a separate `prompt` may repeat it, or its first or last question.

    Raises:
        BadRecordError: it says something else, so one of the two is not what was answered.
    """
    system = system_turn(fields, anomalies)
    key = next((key for key in PROMPT_KEYS if fields.get(key)), None)
    if key is not None and not isinstance(fields[key], dict):
        explicit = from_prompt(fields, key, "user", anomalies)
        if len(explicit) == 1:
            explicit = dialogue(explicit[0].content, anomalies) or explicit
        system = system or [turn for turn in explicit if turn.role == "system"]
        said = [turn.content.strip() for turn in explicit if turn.role != "system" and turn.content.strip()]
        asked = [turn.content.strip() for turn in implicit if turn.role != "system"]
        if said not in (asked, asked[:1], asked[-1:]):
            raise BadRecordError("preference", f"`{key}` is not the prompt that chosen and rejected answer")
    return implicit if implicit[0].role == "system" else system + implicit


def _scores(fields: dict[str, Any]) -> tuple[float, float] | None:
    for keys in _SCORE_KEYS:
        chosen, rejected = (_number(fields.get(key), key) for key in keys)
        if chosen is not None and rejected is not None:
            return chosen, rejected
    return None


def _number(value: Any, key: str) -> float | None:
    """A number, which in a table is text; none for nothing and for NaN, which pandas writes for it."""
    if value is None or value == "":
        return None
    if isinstance(value, int | float | str) and not isinstance(value, bool):
        with suppress(ValueError):
            return None if math.isnan(float(value)) else float(value)
    raise BadRecordError("schema", f"`{key}` is {kind(value)}, not a number")


def _answer(fields: dict[str, Any], key: str, anomalies: Anomalies) -> list[Message]:
    """An answer as text, as one turn, or as a conversation that ends with it."""
    value = fields[key]
    if isinstance(value, dict):
        return [turn_message(value, key, anomalies)]
    if isinstance(value, list):
        return turns(value, key, anomalies)
    text = text_of(value, key, anomalies)
    if text.lstrip("\n").startswith("Human:"):  # Anthropic's HH strings hold the whole conversation
        return dialogue(text, anomalies)
    return [Message("assistant", text)]


def _common(chosen: list[Message], rejected: list[Message]) -> int:
    """How many first turns two conversations share; none if they are answers alone."""
    count = 0
    for left, right in zip(chosen[:-1], rejected[:-1], strict=False):
        if left != right:
            break
        count += 1
    return count


def _from_ranking(fields: dict[str, Any], anomalies: Anomalies) -> Example:
    """UltraFeedback: several scored answers; the best is chosen and the worst rejected."""
    scored: list[tuple[float, str]] = []
    for answer in fields["completions"]:
        scores = answer if isinstance(answer, dict) else {}
        score = next((score for key in _OVERALL_KEYS if (score := _number(scores.get(key), key)) is not None), None)
        if score is None:
            raise BadRecordError("schema", "an answer in `completions` has no number in `overall_score`")
        scored.append((score, text_of(answer.get("response"), "response", anomalies)))
    return _best_and_worst(fields, scored, anomalies)


def _numbered(fields: dict[str, Any], anomalies: Anomalies) -> list[tuple[float, str]]:
    """``responses`` with their ``scores``, or with their ``ranks``, of which 1 is the best."""
    key = one_key(fields, ("scores", "ranks"))
    texts = [text_of(text, "responses", anomalies) for text in fields["responses"]]
    numbers = [_number(number, key) for number in fields[key]] if isinstance(fields[key], list) else []
    found = [number for number in numbers if number is not None]
    if not len(numbers) == len(found) == len(texts):
        raise BadRecordError("schema", f"`{key}` is not one number for each of `responses`")
    sign = -1.0 if key == "ranks" else 1.0
    return [(sign * number, text) for number, text in zip(found, texts, strict=True)]


def _best_and_worst(fields: dict[str, Any], scored: list[tuple[float, str]], anomalies: Anomalies) -> Example:
    if len(scored) < 2:
        raise BadRecordError("preference", f"{len(scored)} answers: at least two are needed to compare them")
    best, worst = max(scored, key=lambda pair: pair[0]), min(scored, key=lambda pair: pair[0])
    ordered = {"score_chosen": best[0], "score_rejected": worst[0]}
    chosen, rejected = [Message("assistant", best[1])], [Message("assistant", worst[1])]
    return _compared(prompt_turns(fields, anomalies), chosen, rejected, fields | ordered)


def _from_kto(fields: dict[str, Any], anomalies: Anomalies) -> Example:
    """An answer and whether it is a good one."""
    key = one_key(fields, LABEL_KEYS)
    desirable = TRUTH.get(str(fields[key]).strip().lower())
    if desirable is None:
        raise BadRecordError("schema", f"field `{key}` is {kind(fields[key])}, not a truth value")
    for conversation in ("messages", *CONVERSATION_KEYS):
        if isinstance(fields.get(conversation), list):
            whole = system_turn(fields, anomalies) + turns(fields[conversation], conversation, anomalies)
            return Example(whole, desirable=desirable, tools=tools_of(fields))
    completion = one_key(fields, COMPLETION_KEYS)
    answer = from_prompt(fields, completion, "assistant", anomalies)
    prompt = prompt_turns({key: value for key, value in fields.items() if key != completion}, anomalies)
    return Example(prompt + answer, desirable=desirable, tools=tools_of(fields))


PREFERENCE: dict[str, Reader] = {
    "preference": _from_preference,
    "kto": _from_kto,
}
