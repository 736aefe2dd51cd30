"""What is odd about a record but can be repaired: each kind has a policy in params.yaml; each repair is recorded."""

from msgspec import Struct

from engine.core.errors import ProjectError
from engine.data.check.reject_reasons import BadRecordError
from engine.settings.curate import AnomalySettings

# The reason under which a record is left out when the policy is `drop`.
_REASONS = {
    "same_role": "roles",
    "system_not_first": "roles",
    "leading_assistant": "roles",
    "trailing_user": "roles",
    "not_text": "schema",
}


class Repair(Struct, frozen=True):
    """One thing that was changed in a record."""

    source: str
    line: int
    anomaly: str
    detail: str


class Anomalies:
    """The policies, and what was repaired in the record at hand."""

    def __init__(self, policies: AnomalySettings) -> None:
        self.policies: dict[str, str] = policies.model_dump()
        self.repaired: list[tuple[str, str]] = []

    def repair(self, anomaly: str, detail: str) -> bool:
        """Whether to fix it (true) or to keep the record as it is (false).

        Raises:
            BadRecordError: the policy is to drop the record.
            ProjectError: the policy is to stop.
        """
        policy = self.policies[anomaly]
        if policy == "drop":
            raise BadRecordError(_REASONS.get(anomaly, anomaly), f"{detail} (curate.anomalies.{anomaly})")
        if policy == "error":
            where = f"curate.anomalies.{anomaly} is `error`"
            raise ProjectError(
                f"a record has an anomaly: {detail}", where, "fix the record, or set repair, drop or keep"
            )
        if policy == "repair":
            self.repaired.append((anomaly, detail))
            return True
        return False
