"""Arms, scores and intervals as words, the same in the verdict, the report and on the terminal."""

from collections.abc import Iterable

from engine.core.interval import Interval, Range

TITLES = {
    "zero_shot": "the zero-shot prompt",
    "few_shot": "the few-shot prompt",
    "rag": "retrieval",
    "rag_few_shot": "retrieval with examples",
    "tuned": "the tuned model",
    "tuned_rag": "the tuned model with retrieval",
}
ENDPOINT = "endpoint_"  # begins the name of an arm that a server answers
GGUF = "gguf_"  # begins the name of an arm that llama.cpp answers from a file
OTHERS = {ENDPOINT: "the endpoint's model", GGUF: "the GGUF file's model"}  # models that this project cannot serve


def model_of(arm: str) -> str:
    """What begins the name of an arm of another model, see `OTHERS`; empty for this project's own."""
    return next((prefix for prefix in OTHERS if arm.startswith(prefix)), "")


def title(arm: str) -> str:
    """An arm in words."""
    if model := model_of(arm):
        return f"{title(arm.removeprefix(model))} on {OTHERS[model]}"
    return TITLES.get(arm, arm.replace("_", " "))


def family(arm: str) -> str:
    """The approach of an arm: ``prompt``, ``rag`` or ``tuned``, in the order of what they cost."""
    if arm.startswith("tuned"):
        return "tuned"
    return "rag" if arm.removeprefix(model_of(arm)).startswith("rag") else "prompt"


def in_order(arms: Iterable[str]) -> list[str]:
    """Arms as every table lists them: the simplest first, tuned last; of one approach, this project's model first."""
    approaches, models, policies = ["prompt", "rag", "tuned"], ["", *OTHERS], list(TITLES)

    def place(arm: str) -> tuple[int, int, int, str]:
        model = model_of(arm)
        policy = arm.removeprefix(model)
        known = policies.index(policy) if policy in policies else len(policies)
        return approaches.index(family(arm)), models.index(model), known, arm

    return sorted(arms, key=place)


def tokens(value: float | None, digits: int = 0) -> str:
    """A number of tokens; a server may not count them."""
    return "unknown" if value is None else f"{value:,.{digits}f}"


def points(value: float, *, sign: bool = False) -> str:
    """A share as percentage points."""
    return f"{100 * value:{'+' if sign else ''}.1f} points"


def percent(interval: Interval) -> str:
    """A score with its interval in per cent."""
    return f"{100 * interval.mean:.1f}% {span(interval)}"


def span(interval: Interval) -> str:
    """The interval without its mean, in percent."""
    return f"[{100 * interval.low:.1f}, {100 * interval.high:.1f}]"


def confidence(alpha: float) -> str:
    """The level of the intervals: 95% for alpha 0.05."""
    return f"{100 * (1 - alpha):g}%"


def usd(amount: float) -> str:
    """Dollars: cents from one dollar on, two digits below (a request costs a fraction of a cent)."""
    return f"${amount:,.2f}" if amount >= 1 else f"${amount:.2g}"


def usd_band(band: Range | None) -> str:
    """Typical dollars with the interval, if there is one, or "unknown"."""
    if band is None or band.low is None or band.typical is None or band.high is None:
        return "unknown"
    if band.low == band.high:
        return usd(band.typical)
    return f"{usd(band.typical)} [{usd(band.low)}, {usd(band.high)}]"


def requests_band(requests: Range | str) -> str:
    """A break-even as words: how many requests, "never", or that it may never come."""
    if isinstance(requests, str):
        return requests
    low, typical, high = requests.low, requests.typical, requests.high
    if typical is None:
        return f"at least {low:,.0f} requests, perhaps never"
    if high is None:
        return f"about {typical:,.0f} requests, at least {low:,.0f}, perhaps never"
    return f"{typical:,.0f} requests [{low:,.0f}, {high:,.0f}]"


def p_value(p: float) -> str:
    """A p-value with two digits; below one in ten thousand the size says no more."""
    return "p < 0.0001" if p < 0.0001 else f"p = {p:.2g}"
