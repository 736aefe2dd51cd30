"""What the stage `judge` writes to ``reports/judge.json``."""

from engine.core.interval import Interval
from engine.core.io import Result


class Qualification(Result, frozen=True, kw_only=True):
    """Whether a judge agrees with people on enough items, and every reason why it may not be believed."""

    calibration: str
    qualified: bool
    reasons: list[str]
    items: int
    unparsable: int
    agreement: float


class Preference(Result, frozen=True, kw_only=True):
    """The challenger's answers against the incumbent's, and what their lengths have to do with it."""

    wins: int
    ties: int
    losses: int
    unparsable: int
    win_rate: float | None
    length_coefficient: float
    length_adjusted_win_rate: float | None


class Comparing(Qualification, frozen=True, kw_only=True, omit_defaults=True):
    """A judge of pairs; what it prefers, if it qualifies."""

    kappa: Interval
    swap_consistency: float
    first_position_rate: float | None
    ties: int
    preference: Preference | None = None


class MeanGrade(Result, frozen=True, kw_only=True):
    """An arm's mean grade with its interval; None if too many replies are no grade."""

    mean: float | None
    low: float | None
    high: float | None
    unparsable: int


class Grading(Qualification, frozen=True, kw_only=True, omit_defaults=True):
    """A grader of single answers; the mean grade of every arm, if it qualifies."""

    weighted_kappa: Interval
    bias: float | None  # above 0: kinder than people
    grades: dict[str, int]
    arms: dict[str, MeanGrade] | None = None


class Requests(Result, frozen=True, kw_only=True):
    """What judging took. Tokens are None if a server does not count them."""

    requests: int
    prompt_tokens: int | None
    completion_tokens: int | None


class JudgeReport(Comparing, frozen=True, kw_only=True):
    """Everything that the stage found."""

    model: str
    warning: str | None
    rubric: Grading
    effort: Requests
