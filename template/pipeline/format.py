"""Stage `format`: curated records as the trainer reads them, checked against the model's own chat template."""

import sys

from engine.chat.template import ChatTemplate
from engine.chat.template_checks import (
    check_tokens,
    control_tokens,
    holds,
    refuse_control_tokens,
    refuse_truncation,
    refuse_untrainable,
    unread,
)
from engine.chat.template_coverage import refuse_dropped
from engine.core.artifacts import FORMAT_REPORT, FORMATTED
from engine.core.device import quiet
from engine.core.errors import ProjectError, run_stage
from engine.core.io import read_jsonl, write_json, write_jsonl
from engine.core.params import load
from engine.inference.prompting import read_passages, read_prompt
from engine.models.base import base_model
from engine.reporting.format_page.page import write_page
from engine.settings.curate import CurateSettings
from engine.settings.train import TrainParams
from engine.training.formatted_rows import (
    LEFT_OUT,
    SOURCES,
    learnt,
    sampled,
    statistics,
    to_prompt_completion,
    token_lengths,
)


class Settings(TrainParams):
    """What this stage reads of params.yaml."""

    curate: CurateSettings


def main() -> None:
    from transformers import AutoTokenizer

    quiet()
    settings = load(Settings)
    tokenizer = AutoTokenizer.from_pretrained(base_model(settings))
    template = ChatTemplate(tokenizer)
    system, limit = read_prompt("system"), settings.format.max_length
    passages = read_passages("train", "dev") if settings.format.with_passages else None
    policy, tokens = settings.curate.anomalies.special_tokens, control_tokens(tokenizer)
    report = {}
    left_out = []
    samples = []
    for split, source in SOURCES.items():
        records = read_jsonl(source)
        refuse_untrainable(records, str(source))
        asked = [learnt(record, system, passages) for record in records]
        whole = [record | {"messages": turns} for record, (turns, _) in zip(records, asked, strict=True)]
        refuse_dropped(whole, template, str(source))
        held = [holds(record, tokens) if policy != "keep" else None for record in records]
        if policy == "error":
            refuse_control_tokens(records, held, str(source))
        rows = [to_prompt_completion(turns, tools, template) for turns, tools in asked]
        lengths = [token_lengths(turns, tools, template) for turns, tools in asked]
        check_tokens(*sampled(rows, asked), template)
        if settings.format.too_long == "error":
            refuse_truncation(records, lengths, limit)
        fits = [not token and total <= limit for token, (total, _) in zip(held, lengths, strict=True)]
        left_out += [
            {"split": split, "id": record["id"], "line": record["line"], "tokens": total}
            | ({"reason": "special_tokens", "token": token} if token else {"reason": "too_many_tokens"})
            for record, token, (total, _), fit in zip(records, held, lengths, fits, strict=True)
            if not fit
        ]
        kept = [length for length, fit in zip(lengths, fits, strict=True) if fit]
        if not kept:
            where = "format.max_length"
            raise ProjectError(f"no {split} record fits into {limit} tokens", where, "raise it")
        if split == "train":
            samples = [parts for parts, fit in zip(zip(records, asked, lengths, strict=True), fits, strict=True) if fit]
        write_jsonl(FORMATTED / f"{split}.jsonl", (row for row, fit in zip(rows, fits, strict=True) if fit))
        report[split] = statistics(kept, limit) | {"left_out": len(rows) - len(kept)}
        for key, (name, what) in LEFT_OUT.items():
            if count := unread(key, asked, template):
                report[split][name] = count
                print(f"{split}: in {count} rows {what}, which the chat template drops")
    write_jsonl(FORMATTED / "rejected.jsonl", left_out)
    write_json(FORMAT_REPORT, report)
    write_page(samples, report, limit, template)
    train = report["train"]
    shares = f"{train['tokens']} tokens, {train['trained_tokens']} of them trained"
    print(f"train: {train['rows']} rows, {shares}; the longest has {train['longest']}; {len(left_out)} are left out")


if __name__ == "__main__":
    sys.exit(run_stage(main))
