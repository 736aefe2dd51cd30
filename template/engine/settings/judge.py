"""Group `judge`."""

from engine.core.params import Group
from engine.settings.cost import CostSettings
from engine.settings.evaluate import EvaluateParams
from engine.settings.inference import EndpointSettings
from engine.settings.model import ModelParams


class JudgeSettings(Group):
    endpoint: EndpointSettings | None  # the judging model; null: the untouched base model


class JudgeParams(EvaluateParams, ModelParams):
    """What judging answers needs to know; judgements are priced."""

    judge: JudgeSettings
    cost: CostSettings
