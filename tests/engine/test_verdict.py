"""The verdict's decisions, and how often it would ship a model that is no better."""

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from finished_project import PARAMS, answered_row

from engine.core.display import OTHERS, in_order
from engine.core.errors import ProjectError
from engine.core.params import load
from engine.evaluation.results import Verdict
from engine.evaluation.verdict import Arm, decide
from engine.settings.everything import Everything


@pytest.fixture
def settings(tmp_path: Path) -> Everything:
    (tmp_path / "params.yaml").write_text(PARAMS)
    return load(Everything, tmp_path / "params.yaml")


def arms(groups: list[str | None] | None = None, tokens: dict[str, int] | None = None, **scores: Any) -> dict[str, Arm]:
    built = {}
    for arm, values in scores.items():
        cost = (tokens or {}).get(arm, 100)
        rows = [
            answered_row(id=str(number), group=groups[number] if groups else None, prompt_tokens=cost)
            for number in range(len(values))
        ]
        built[arm] = Arm(rows, [float(value) for value in values])
    return built


def hits(share: float, n: int = 240, seed: int = 1) -> np.ndarray[Any, Any]:
    return np.random.default_rng(seed).random(n) < share


def holds(verdict: Verdict, part: str) -> bool:
    return next(rule.holds for rule in verdict.trace if part in rule.rule)


def test_a_clear_gain_ships(settings: Everything) -> None:
    verdict = decide(arms(zero_shot=hits(0.0), few_shot=hits(0.05), tuned=hits(0.65, seed=2)), settings)
    assert (verdict.decision, verdict.ship, verdict.best_baseline) == ("SHIP TUNED", "tuned", "few_shot")
    assert verdict.test == "exact McNemar" and verdict.p_value < 0.001
    assert verdict.difference.low > 0.4
    assert set(verdict.comparisons) == {"zero_shot", "few_shot"}
    assert all(c.p_holm >= c.p_value for c in verdict.comparisons.values())


def test_tuned_must_beat_the_best_arm_and_not_the_worst(settings: Everything) -> None:
    verdict = decide(arms(zero_shot=hits(0.1), few_shot=hits(0.8, seed=2), tuned=hits(0.5, seed=3)), settings)
    assert (verdict.decision, verdict.ship) == ("USE THE PROMPT", "few_shot")
    assert "made it worse" in verdict.reason
    assert verdict.comparisons["zero_shot"].difference > 0.3


def test_retrieval_that_wins_is_named(settings: Everything) -> None:
    verdict = decide(arms(zero_shot=hits(0.1), rag=hits(0.8, seed=2), tuned=hits(0.3, seed=3)), settings)
    assert (verdict.decision, verdict.ship) == ("USE RAG", "rag")


def test_without_training_retrieval_has_to_beat_the_best_prompt(settings: Everything) -> None:
    arms_of = {"zero_shot": hits(0.05), "few_shot": hits(0.3, seed=2), "rag": hits(0.4, seed=3)}
    verdict = decide(arms(**arms_of, rag_few_shot=hits(0.8, seed=4)), settings)
    assert (verdict.decision, verdict.ship) == ("USE RAG", "rag_few_shot")
    assert (verdict.challenger, verdict.best_baseline) == ("rag_few_shot", "few_shot")
    assert "points below rag_few_shot" in verdict.why_not["few_shot"]
    assert verdict.why_not.keys() == {"zero_shot", "few_shot", "rag"}


def test_without_training_a_prompt_that_is_as_good_wins(settings: Everything) -> None:
    verdict = decide(arms(zero_shot=hits(0.2), few_shot=hits(0.9, seed=2), rag=hits(0.5, seed=3)), settings)
    assert (verdict.decision, verdict.ship) == ("USE THE PROMPT", "few_shot")


def test_without_training_a_draw_stays_open(settings: Everything) -> None:
    verdict = decide(arms(zero_shot=hits(0.5), rag=hits(0.56, seed=2)), settings)
    assert (verdict.decision, verdict.ship) == ("INSUFFICIENT EVIDENCE", None)
    assert "would settle it" in verdict.reason


def test_prompts_alone_are_told_apart_and_the_best_is_used(settings: Everything) -> None:
    verdict = decide(arms(zero_shot=hits(0.3), few_shot=hits(0.6, seed=2), endpoint_zero_shot=hits(0.9)), settings)
    assert (verdict.decision, verdict.ship) == ("USE THE PROMPT", "endpoint_zero_shot")
    useless = decide(arms(zero_shot=hits(0.0), few_shot=hits(0.02, seed=2)), settings)
    assert useless.decision == "COLLECT MORE DATA" and "retrieval" in useless.reason


def test_arms_of_other_models_stand_for_the_approach_of_their_prompt(settings: Everything) -> None:
    for model in OTHERS:
        known = {"zero_shot": hits(0.2), "few_shot": hits(0.3, seed=2), f"{model}few_shot": hits(0.6, seed=3)}
        verdict = decide(arms(**known), settings)
        assert (verdict.decision, verdict.ship) == ("USE THE PROMPT", f"{model}few_shot")
        retrieved = decide(arms(**known, rag=hits(0.5), **{f"{model}rag": hits(0.9, seed=4)}), settings)
        assert (retrieved.decision, retrieved.ship) == ("USE RAG", f"{model}rag")
        assert retrieved.best_baseline == f"{model}few_shot", "retrieval has to beat the best prompt of any model"
        tuned = decide(arms(**known, tuned=hits(0.95, seed=5)), settings)
        assert (tuned.decision, tuned.best_baseline) == ("SHIP TUNED", f"{model}few_shot")
        assert f"the few-shot prompt on {OTHERS[model]} scores" in tuned.reason


def test_arms_are_listed_from_the_simplest_to_the_dearest_model_by_model() -> None:
    listed = [
        *("zero_shot", "few_shot", "endpoint_zero_shot", "endpoint_few_shot", "gguf_zero_shot", "gguf_few_shot"),
        *("rag", "rag_few_shot", "endpoint_rag", "gguf_rag", "gguf_rag_few_shot", "tuned", "tuned_rag"),
    ]
    assert in_order(sorted(listed)) == in_order(reversed(listed)) == listed


def test_tuning_that_loses_leaves_the_choice_between_retrieval_and_prompt(settings: Everything) -> None:
    known = {"zero_shot": hits(0.2), "rag": hits(0.9, seed=2), "tuned": hits(0.3, seed=3)}
    assert decide(arms(**known), settings).decision == "USE RAG"
    open_choice = {"zero_shot": hits(0.86), "rag": hits(0.9, seed=2), "tuned": hits(0.3, seed=3)}
    assert decide(arms(**open_choice), settings).decision == "INSUFFICIENT EVIDENCE"


def test_of_two_tuned_arms_the_better_is_held_to_half_of_alpha(settings: Everything) -> None:
    both = arms(zero_shot=hits(0.2), rag=hits(0.5, seed=2), tuned=hits(0.4, seed=3), tuned_rag=hits(0.9, seed=4))
    verdict = decide(both, settings)
    assert (verdict.decision, verdict.ship, verdict.best_baseline) == ("SHIP TUNED", "tuned_rag", "rag")
    assert any("alpha = 0.025" in rule.detail for rule in verdict.trace)


def test_one_arm_alone_is_refused(settings: Everything) -> None:
    with pytest.raises(ProjectError, match="a single arm"):
        decide(arms(zero_shot=hits(0.5)), settings)


def test_a_gain_too_small_to_matter_keeps_the_prompt(settings: Everything) -> None:
    base = hits(0.9, 4000)
    verdict = decide(arms(few_shot=base, tuned=base | (hits(0.02, 4000, seed=2))), settings)
    assert verdict.decision == "USE THE PROMPT"
    assert holds(verdict, "significant") and not holds(verdict, "still possible")
    assert "ruled out" in verdict.reason


def test_a_noisy_difference_asks_for_more_items(settings: Everything) -> None:
    verdict = decide(arms(few_shot=hits(0.5), tuned=hits(0.56, seed=2)), settings)
    assert (verdict.decision, verdict.ship) == ("INSUFFICIENT EVIDENCE", None)
    assert verdict.required_items > 240
    assert str(verdict.required_items) in verdict.reason


@pytest.mark.parametrize("tuned", [0.0, 0.02])
def test_facts_that_no_arm_knows_are_never_shipped(settings: Everything, tuned: float) -> None:
    verdict = decide(arms(zero_shot=hits(0.0), few_shot=hits(0.01), tuned=hits(tuned, seed=2)), settings)
    assert (verdict.decision, verdict.ship) == ("COLLECT MORE DATA", None)
    assert "tuning is not worth it; use retrieval" in verdict.reason


def test_a_gain_that_leaves_the_model_useless_is_not_shipped(settings: Everything) -> None:
    verdict = decide(arms(few_shot=hits(0.01), tuned=hits(0.12, seed=2)), settings)
    assert (verdict.decision, verdict.ship) == ("COLLECT MORE DATA", None)
    assert holds(verdict, "is significantly better than") and "tuning helps" in verdict.reason


def test_the_arm_that_is_shipped_has_to_be_usable_and_not_only_the_best_one(settings: Everything) -> None:
    demanding = settings.model_copy(update={"evaluate": settings.evaluate.model_copy(update={"minimum_effect": 0.2})})
    verdict = decide(arms(few_shot=hits(0.08, 4000), tuned=hits(0.24, 4000, seed=2)), demanding)
    assert (verdict.decision, verdict.ship) == ("COLLECT MORE DATA", None)
    assert holds(verdict, "some arm is usable") and not holds(verdict, "the arm to ship is usable")
    assert "not good enough to ship" in verdict.reason and "minimum_effect" in verdict.reason


def test_few_items_decide_nothing(settings: Everything) -> None:
    verdict = decide(arms(few_shot=np.zeros(29), tuned=np.ones(29)), settings)
    assert verdict.decision == "INSUFFICIENT EVIDENCE" and "29 items" in verdict.reason
    assert decide(arms(few_shot=np.zeros(30), tuned=np.ones(30)), settings).decision == "SHIP TUNED"


def test_a_smoke_run_decides_nothing(settings: Everything) -> None:
    smoke = settings.model_copy(update={"smoke": True})
    verdict = decide(arms(few_shot=np.zeros(240), tuned=np.ones(240)), smoke)
    assert verdict.decision == "INSUFFICIENT EVIDENCE" and "smoke" in verdict.reason


def test_a_handful_of_groups_is_a_handful_of_evidence(settings: Everything) -> None:
    few = [f"{number % 4}" for number in range(240)]
    many = [f"{number % 120}" for number in range(240)]
    scores = {"few_shot": hits(0.1), "tuned": hits(0.7, seed=2)}
    assert decide(arms(few, **scores), settings).decision == "INSUFFICIENT EVIDENCE"
    assert decide(arms(many, **scores), settings).decision == "SHIP TUNED"


def test_graded_scores_use_the_paired_bootstrap(settings: Everything) -> None:
    noise = np.random.default_rng(1).random((2, 240)) / 4
    verdict = decide(arms(few_shot=0.3 + noise[0], tuned=0.5 + noise[1]), settings)
    assert (verdict.decision, verdict.test) == ("SHIP TUNED", "paired bootstrap")


def test_of_two_equal_prompts_the_cheaper_is_the_one_to_beat(settings: Everything) -> None:
    same = hits(0.6)
    tokens = {"zero_shot": 50, "few_shot": 500}
    assert decide(arms(None, tokens, few_shot=same, zero_shot=same, tuned=hits(0.3)), settings).ship == "zero_shot"


def test_arms_that_never_differ_do_not_break_the_arithmetic(settings: Everything) -> None:
    same = hits(0.6)
    verdict = decide(arms(few_shot=same, tuned=same), settings)
    assert verdict.decision == "USE THE PROMPT" and verdict.p_value == 1.0
    free = settings.model_copy(update={"evaluate": settings.evaluate.model_copy(update={"minimum_effect": 0.0})})
    assert decide(arms(few_shot=same, tuned=same), free).ship != "tuned"


def test_arms_of_other_items_are_refused(settings: Everything) -> None:
    mixed = arms(few_shot=hits(0.5), tuned=hits(0.6))
    mixed["few_shot"] = mixed["few_shot"]._replace(rows=mixed["few_shot"].rows[::-1])
    with pytest.raises(ProjectError, match="same items"):
        decide(mixed, settings)


def test_the_verdict_is_the_same_every_time(settings: Everything) -> None:
    study = arms(few_shot=hits(0.5), tuned=hits(0.6, seed=2))
    assert msgspec.json.encode(decide(study, settings)) == msgspec.json.encode(decide(study, settings))


@pytest.mark.parametrize("grouped", [False, True])
def test_a_model_that_is_no_better_is_shipped_in_at_most_one_of_twenty_studies(
    settings: Everything, grouped: bool
) -> None:
    quick = settings.model_copy(update={"evaluate": settings.evaluate.model_copy(update={"bootstrap_samples": 200})})
    generator = np.random.default_rng(8)
    groups = [f"{number // 6}" for number in range(240)] if grouped else None
    shipped = 0
    for _ in range(200):
        # in grouped studies the items of a group share their fate
        draws = [np.repeat(generator.random(40), 6) if grouped else generator.random(240) for _ in range(3)]
        study = arms(groups, zero_shot=draws[0] < 0.5, few_shot=draws[1] < 0.5, tuned=draws[2] < 0.5)
        shipped += decide(study, quick).decision == "SHIP TUNED"
    assert shipped <= 10
