"""The answers that copier renders from and a project records: what its spec says, and what was planned for it."""

from typing import Any

from tunesmith.costs.estimate_record import own_machine, record
from tunesmith.planner.plan import Plan
from tunesmith.questions import MACHINE, RECORDED, questions
from tunesmith.spec import Spec


def answers_for(spec: Spec, plan: Plan) -> dict[str, Any]:
    """The copier answers of a spec: what it says, what its plan chose (plan_KEY) and what it pins (pin_KEY).

    Answers to questions that do not matter are left out, because copier would not record them.
    """
    known = {key: choice.value for key, choice in plan.choices.items()} | spec.combined()
    data = {key: value for key, value in spec.answers.items() if questions()[key].applies(known)}
    data[RECORDED] = record(plan)
    if machine := own_machine(plan):
        data[MACHINE] = machine
    data |= {f"plan_{key}": choice.value for key, choice in plan.choices.items()}
    return data | {f"pin_{key}": value for key, value in spec.pins.items()}
