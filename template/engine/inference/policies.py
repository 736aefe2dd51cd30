"""The prompt policies of the arms: what a model is shown before the question."""

from collections.abc import Mapping, Sequence

from engine.chat.openai_messages import Record
from engine.inference.prompting import (
    Passages,
    Policy,
    choose_shots,
    read_passages,
    read_prompt,
    refuse_given_away,
    shot_pool,
)
from engine.settings.evaluate import EvaluateParams


def base_policies(
    items: Sequence[Record], counts: Mapping[str, int], passages: Passages | None, settings: EvaluateParams
) -> dict[str, Policy]:
    """The prompt policies of the arms without training: with and without examples, with and without retrieval.

    ``counts`` is the number of examples of each policy that shows any.
    """
    knobs = settings.evaluate
    system, pool = read_prompt(knobs.prompt), shot_pool(knobs.shot_selection)
    if knobs.shot_selection == "fixed":  # training records were separated from the benchmark by `curate`
        refuse_given_away(pool, items)

    def shots(name: str) -> dict[str, list[Record]]:
        return choose_shots(pool, items, counts[name], settings.seed, knobs.shot_selection)

    found = {"zero_shot": Policy(system), "few_shot": Policy(system, shots("few_shot"))}
    if passages is not None:
        found |= {"rag": Policy(system, {}, passages), "rag_few_shot": Policy(system, shots("rag_few_shot"), passages)}
    return found


def tuned_policies(settings: EvaluateParams) -> dict[str, Policy]:
    """The system prompt used in training; if the project retrieves, with passages as well."""
    system = read_prompt("system")
    found = {"tuned": Policy(system)}
    if settings.retrieves:
        found["tuned_rag"] = Policy(system, {}, read_passages("test"))
    return found
