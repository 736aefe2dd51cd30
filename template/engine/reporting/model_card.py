"""The model card: the tuned model's use, scores and limits. It is the same on every run."""

import html
import json
import re
from collections.abc import Sequence
from typing import Any

from engine.core.display import confidence, in_order, p_value, points, tokens
from engine.core.params import needed
from engine.reporting.inputs import Facts
from engine.settings.report import ReportParams


def model_card(facts: Facts) -> str:
    """Markdown with the front matter that model hubs read."""
    name = text(facts.project.get("project_name", "tuned model"))
    return (
        "\n\n".join(
            [
                front_matter(facts),
                f"# {name}",
                text(facts.project.get("description", "")),
                f"**{facts.scores['verdict']['decision']}.** {text(facts.scores['verdict']['reason'])}",
                use(facts),
                evaluation(facts),
                data(facts),
                training(facts.training, facts.settings) if facts.training else retrieval(facts),
                limits(facts),
                usage(facts),
            ]
        ).replace("\n\n\n", "\n\n")
        + "\n"
    )


def front_matter(facts: Facts) -> str:
    """YAML that hubs read. Every JSON string is a valid YAML string."""
    fields = {
        "base_model": facts.settings.model.id,
        "license": str(facts.project.get("licence") or "unknown"),
        "pipeline_tag": "text-generation",
        "library_name": "peft" if facts.settings.train and facts.settings.train.method != "full" else "transformers",
    }
    return "\n".join(["---", *(f"{key}: {json.dumps(value)}" for key, value in fields.items()), "---"])


def use(facts: Facts) -> str:
    """Intended and other uses."""
    knobs = facts.settings.evaluate
    prompt = "system" if facts.settings.trains else knobs.prompt
    return (
        "## Use\n\nFor the task of its benchmark: requests like those it was evaluated on, answered within "
        f"{knobs.max_new_tokens} tokens at temperature 0, with the system prompt in `prompts/{prompt}.txt`. Nothing "
        "else was measured: other tasks, other languages, long conversations and safety are outside of it."
    )


def evaluation(facts: Facts) -> str:
    """Scores of every arm and the paired test."""
    v, primary = facts.scores["verdict"], facts.scores["primary_metric"]
    metrics = list(facts.scores["arms"][facts.challenger])
    rows = [[arm, *(score(values.get(name)) for name in metrics)] for arm, values in facts.scores["arms"].items()]
    return (
        f"## Evaluation\n\n{facts.scores['items']} held-out items, never trained on, the same for every arm; greedy "
        f"decoding; {confidence(v['alpha'])} intervals. The primary metric is {primary}.\n\n"
        f"{grid(['arm', *metrics], rows)}\n\n"
        f"{facts.challenger} against {facts.incumbent}: {points(v['difference']['mean'], sign=True)} "
        f"[{100 * v['difference']['low']:.1f}, {100 * v['difference']['high']:.1f}], {v['test']}, "
        f"{p_value(v['p_value'])}."
    )


def data(facts: Facts) -> str:
    """Source, licence, counts."""
    d = facts.data
    rejected = sum(d["rejected"].values())
    return (
        f"## Data\n\nSource: {text(facts.project.get('data_source') or 'not recorded')}. Licence: "
        f"{text(facts.project.get('licence') or 'not recorded')}. {d['read']:,} lines read, {rejected:,} left out, "
        f"{d['train']:,} to train on and to draw examples from, {d['dev']:,} to choose by, {d['test']:,} to test on. "
        f"No test item has a near duplicate in the training data. SHA-256 of the raw data: `{d['raw_sha256']}`."
    )


def retrieval(facts: Facts) -> str:
    """What takes the place of training."""
    if not facts.retrieval:
        return "## Training\n\nNone: the base model is asked with a prompt."
    r = facts.retrieval
    return (
        f"## Training\n\nNone: {r['depth']} of {r['passages']:,} passages from {r['documents']:,} documents go into "
        f"each prompt (ranking: {r['ranking']}). The answers are only as good and as fresh as the documents."
    )


def training(t: dict[str, Any], settings: ReportParams) -> str:
    """Method, knobs, run record."""
    knobs = needed(settings.train, "train")
    rows = [
        ["method", knobs.method],
        ["rank, alpha", "none" if knobs.method == "full" else f"{knobs.lora_rank}, {knobs.lora_alpha}"],
        ["learning rate", f"{knobs.learning_rate:g}, {knobs.lr_scheduler}"],
        ["batch", f"{knobs.micro_batch_size} x {knobs.gradient_accumulation_steps}"],
        ["steps", str(knobs.max_steps)],
        ["trained parameters", f"{t['trainable_parameters']:,}"],
        ["seed", str(settings.seed)],
        ["computed in", t["compute_dtype"]],
        ["versions", text(", ".join(f"{name} {version}" for name, version in t["versions"].items()))],
        ["tuned weights", f"`{t['tuned_sha256']}`"],
    ]
    return f"## Training\n\n{grid(['', ''], rows)}"


def limits(facts: Facts) -> str:
    """What the numbers do not say."""
    arm = facts.scores["verdict"]["ship"] or facts.challenger
    kept = facts.scores["arms"][arm][facts.scores["primary_metric"]]
    return (
        f"## Limits\n\nBy the primary metric {arm} still loses {100 * (1 - kept['mean']):.1f}% of the benchmark. The "
        "intervals speak of requests drawn like the benchmark's; they do not cover a change in what users ask. The "
        "base model's biases and licence terms carry over."
    )


def usage(facts: Facts) -> str:
    """Tokens of each arm; dollars depend on a machine and its load, so they are in the report."""
    rows = [
        [arm, *(tokens(used[f"{side}_tokens_per_request"], 1) for side in ("prompt", "completion"))]
        for arm, used in ((arm, facts.usage["arms"][arm]) for arm in in_order(facts.usage["arms"]))
    ]
    return (
        f"## Cost\n\nTokens of a request, on average:\n\n{grid(['arm', 'prompt', 'answer'], rows)}\n\nSeconds, memory, "
        "dollars and break-even of the measured run: `reports/report.html`."
    )


def score(value: dict[str, float] | None) -> str:
    """A score with its interval, as a cell."""
    return "" if value is None else f"{100 * value['mean']:.1f}% [{100 * value['low']:.1f}, {100 * value['high']:.1f}]"


def grid(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def text(value: Any) -> str:
    """Text on one line, escaped for Markdown and HTML."""
    flat = html.escape(" ".join(str(value).split()), quote=False)
    return re.sub(r"([\\`*_\[\]|])", r"\\\1", flat)
