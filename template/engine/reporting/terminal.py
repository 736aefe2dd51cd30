"""The verdict as plain text, 80 columns wide."""

import textwrap

from engine.core.display import (
    ENDPOINT,
    GGUF,
    confidence,
    in_order,
    model_of,
    p_value,
    points,
    requests_band,
    span,
    title,
    usd_band,
)
from engine.evaluation.verdict import SHIP
from engine.reporting.verdict_file import VerdictFile
from engine.settings.evaluate import EvaluateParams

WIDTH = 80


def tell(verdict: VerdictFile, settings: EvaluateParams) -> str:
    """The verdict as plain text, 80 columns wide."""
    headline = "NO VERDICT: a smoke run" if verdict.smoke else f"VERDICT: {verdict.decision}"
    paragraphs = [headline, wrapped(verdict.reason), arms_table(verdict)]
    if not verdict.smoke:
        paragraphs += [wrapped(paired(verdict)), *lost(verdict), *money(verdict), advice(verdict, settings)]
    return "\n" + "\n\n".join([*paragraphs, f"Report: {verdict.report}"]) + "\n"


def arms_table(verdict: VerdictFile) -> str:
    """One line an arm: score, interval, dollars for 1,000 requests."""
    level = f"{confidence(verdict.alpha)} interval"
    lines = [f"  {'arm':<14}{verdict.primary_metric:>16}  {level:<15}  $ per 1,000 requests"]
    for arm in in_order(verdict.arms):
        score = verdict.arms[arm]
        price = usd_band(verdict.cost.usd_per_1000_requests[arm])
        lines.append(f"  {arm:<14}{100 * score.mean:>15.1f}%  {span(score):<15}  {price}")
    return "\n".join(lines)


def paired(verdict: VerdictFile) -> str:
    """The deciding comparison."""
    gap = verdict.difference
    return (
        f"Paired test: {verdict.challenger} - {verdict.best_baseline} = {points(gap.mean, sign=True)} "
        f"{span(gap)}, {verdict.test}, {p_value(verdict.p_value)}, "
        f"{verdict.discordant} of {verdict.items} items differ."
    )


def lost(verdict: VerdictFile) -> list[str]:
    """Why the other arms are not the one to ship."""
    return [wrapped(f"{arm}: {verdict.why_not[arm]}.") for arm in in_order(verdict.why_not)]


def money(verdict: VerdictFile) -> list[str]:
    """Training and break-even, if anything was trained."""
    even = verdict.cost.break_even
    if even is None:
        return []
    text = (
        f"Training cost {usd_band(verdict.cost.training_usd)}; against {even.against} it pays for itself "
        f"after: {requests_band(even.requests)}."
    )
    return [wrapped(text)]


def advice(verdict: VerdictFile, settings: EvaluateParams) -> str:
    """What to do now."""
    ship = verdict.ship
    if ship is None:
        return wrapped("Ship: nothing yet.")
    endpoint, gguf = settings.evaluate.endpoint, settings.evaluate.gguf
    asked = f"asked as in results/baseline/prompts/{ship}.jsonl"
    if model_of(ship) == GGUF and gguf:
        return wrapped(f"Ship: {title(ship)}: {gguf.path} (llama-server -m), {asked}")
    if model_of(ship) == ENDPOINT and endpoint:
        return wrapped(f"Ship: {title(ship)}: {endpoint.model} at {endpoint.base_url}, {asked}")
    where = "models/tuned" if verdict.decision == SHIP else "the untouched base model"
    return wrapped(f"Ship: {title(ship)} ({where}): python -m engine.serving.server --arm {ship}")


def wrapped(text: str) -> str:
    """Text in lines of `WIDTH` columns, indented by two."""
    return textwrap.fill(text, WIDTH, initial_indent="  ", subsequent_indent="  ")
