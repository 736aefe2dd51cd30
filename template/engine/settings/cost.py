"""Group `cost`."""

from typing import Annotated

from pydantic import Field

from engine.core.params import Group, Params, PositiveInt
from engine.settings.train import FormatSettings, TrainSettings


class CostSettings(Group):
    hardware: str  # a row of prices.yaml
    monthly_requests: PositiveInt
    utilisation: Annotated[float, Field(gt=0, le=1)]  # share of a rented hour that serves requests
    hosted_model: str  # a row of prices.yaml, under hosted
    retrainings_per_year: Annotated[float, Field(ge=0)]
    staff_usd_per_month: Annotated[float, Field(ge=0)]  # who looks after servers of your own; 0 leaves it out


class CostParams(Params):
    """What pricing needs to know; a project without training lacks two of the groups."""

    cost: CostSettings
    format: FormatSettings | None = None
    train: TrainSettings | None = None
