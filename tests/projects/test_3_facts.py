"""The example about facts with the real model: from one command to the verdict that retrieval wins."""

from pathlib import Path

from .conftest import Project, run_demo


def test_retrieval_beats_the_best_prompt_where_facts_are_looked_up(tmp_path: Path, project: Project) -> None:
    made, printed = run_demo(tmp_path / "facts", "facts")
    verdict = made.read("reports/verdict.json")
    assert verdict["decision"] == "USE RAG" and verdict["ship"] in ("rag", "rag_few_shot") and "USE RAG" in printed
    assert verdict["items"] == 120 and verdict["p_value"] < 0.05 and verdict["difference"]["low"] > 0.05
    retrieval = made.read("reports/retrieval.json")
    assert retrieval["rankings"]["fused"]["mrr"] >= max(retrieval["rankings"][one]["mrr"] for one in ("bm25", "dense"))
    assert made.read("reports/serve.json")["arm"] == verdict["ship"]
