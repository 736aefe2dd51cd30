"""`reports/DATA_CARD.md`: the source of the data, their processing and their use."""

import re
from typing import Any

import yaml

from engine.core.artifacts import COPIER_ANSWERS, DATA_CARD
from engine.core.io import write_text
from engine.data.check.reject_reasons import REASONS
from engine.settings.curate import CurateSettings


def write_card(settings: CurateSettings, report: dict[str, Any]) -> None:
    """Write the card: the same data and settings give the same bytes."""
    said = answers()
    source = _line(said.get("data_source") or "not recorded")
    licence = _line(said.get("licence") or "not recorded")
    rejected = report["rejected"]
    lines = [
        f"# Data of {_line(said.get('project_name') or 'this project')}",
        "",
        f"Source: {source}. Licence: {licence}. File: `{settings.path}`, SHA-256 `{report['raw_sha256']}`.",
        "",
        f"{report['read']:,} records read, {report['kept']:,} kept: {report['train']:,} to train on, "
        f"{report['dev']:,} for dev, {report['test']:,} in the frozen benchmark, version {settings.benchmark_version}.",
        "",
        "## Left out",
        "",
        "| reason | records | meaning |",
        "|---|---|---|",
        *(f"| {reason} | {count:,} | {REASONS[reason]} |" for reason, count in rejected.items()),
        "",
        "`data/curated/rejected.jsonl` lists each one with its place; `repaired.jsonl` lists each repair.",
        "",
        "## Split",
        "",
        "Whole groups and clusters of near duplicates, drawn by hash. No benchmark item has a near duplicate in the "
        f"training data; of a random draw {report['leakage']['random_split_would_leak']:.1%} would have had one.",
        "",
        *_labels(report),
        *_texts(report),
        *_content(report),
        "## Limits",
        "",
        "Personal data and secrets are found by pattern; names and addresses in free text are not. Placeholders made "
        "by `hash` are pseudonyms: who knows the value can recognise it.",
        "",
    ]
    write_text(DATA_CARD, "\n".join(lines))


def _labels(report: dict[str, Any]) -> list[str]:
    balance = report["label_balance"]
    if not balance:
        return []
    text = (
        f"{balance['labels']} labels, as diverse as {balance['effective_labels']} equally frequent ones; the most "
        f"frequent has {balance['largest_share']:.1%} of the records."
    )
    return ["## Balance", "", text, ""]


def _texts(report: dict[str, Any]) -> list[str]:
    asked, said, varied = report["prompt_words"], report["answer_words"], report["diversity"]
    clusters = report["near_duplicate_clusters"]
    text = (
        f"Prompts have {asked['median']:,} words at the median, {asked['p95']:,} at P95, {asked['longest']:,} at most; "
        f"answers {said['median']:,} and {said['p95']:,} (sample of {varied['prompts']:,}). Of the prompts' words "
        f"{varied['distinct_1']:.1%} are different ones. {clusters['count']:,} clusters of near duplicates, the "
        f"largest of {clusters['largest']:,} records."
    )
    return ["## Texts", "", text, ""]


def _content(report: dict[str, Any]) -> list[str]:
    lines = []
    for title, key in (("Repaired", "repaired"), ("Personal data and secrets", "private_data")):
        if report[key]:
            lines.append(f"- {title}: " + ", ".join(f"{name} {count:,}" for name, count in report[key].items()))
    for title, key in (("Findings in answers", "findings"), ("Languages", "languages")):
        if report[key]:
            lines.append(f"- {title}: " + ", ".join(f"{name} {count:,}" for name, count in report[key].items()))
    found = report["contamination"]
    lines.append(
        f"- Training records that contain an evaluation item: {found['records']:,} (policy: {found['policy']})"
    )
    return ["## Content", "", *lines, ""]


def answers() -> dict[str, Any]:
    """What the project was generated from; nothing if that is not recorded."""
    try:
        found = yaml.safe_load(COPIER_ANSWERS.read_text("utf-8"))
    except (FileNotFoundError, yaml.YAMLError):
        return {}
    return found if isinstance(found, dict) else {}


def _line(text: Any) -> str:
    """Text escaped for one line of Markdown."""
    return re.sub(r"([\\`*_{}\[\]<>#|])", r"\\\1", " ".join(str(text).split()))
