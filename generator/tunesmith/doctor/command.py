"""`tunesmith doctor`: runs the rules, shows what they find, repairs what is safe to repair."""

import argparse
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from tunesmith import console
from tunesmith.doctor import drift, environment, ownership, reproducibility, safety
from tunesmith.doctor.rule import FAULT, Checkup, Rule
from tunesmith.errors import FINDINGS
from tunesmith.update.plan import Project

MODULES = (environment, reproducibility, ownership, drift, safety)


@dataclass(frozen=True)
class Finding:
    """What a rule found; ``fixed`` says what --fix did about it."""

    code: str
    level: str
    title: str
    found: list[str]
    why: str
    fix: str
    link: str
    fixed: str = ""


def rules() -> list[type[Rule]]:
    """Every rule, in the order of the modules."""
    return [
        value
        for module in MODULES
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, Rule) and value is not Rule
    ]


def run(options: argparse.Namespace) -> int:
    """4 when a fault is left, 0 otherwise (notes do not count)."""
    project = Project.open(options.directory.resolve())
    checkup = Checkup(project.path, project.root, project.prefix)
    wanted = [rule for rule in rules() if not rule.code.startswith(tuple(options.skip))] if options.skip else rules()
    findings = [finding for rule in wanted if (finding := examine(rule(), checkup, fix=options.fix))]
    left = [finding for finding in findings if finding.level == FAULT and not finding.fixed]
    if options.json:
        console.as_json({"findings": [asdict(finding) for finding in findings], "rules": len(wanted)})
    else:
        _show(findings, len(wanted))
    return FINDINGS if left else 0


def examine(rule: Rule, project: Checkup, *, fix: bool) -> Finding | None:
    """What one rule finds, repaired if that is wanted and safe."""
    found = list(rule.check(project))
    if not found:
        return None
    fixed = rule.repair(project) if fix else ""
    if fixed:
        project = Checkup(project.path, project.root, project.prefix)
        fixed = "" if list(rule.check(project)) else fixed
    return Finding(rule.code, rule.level, rule.title(), found, rule.why, rule.fix, rule.link(), fixed)


def _show(findings: Sequence[Finding], count: int) -> None:
    for finding in findings:
        mark = "fixed" if finding.fixed else f"{finding.level}: this is not true"
        console.line(f"{finding.code} {mark}: {finding.title}")
        for text in finding.found:
            console.line(f"  {text}")
        console.line(f"  done: {finding.fixed}" if finding.fixed else f"  why: {finding.why}\n  fix: {finding.fix}")
        console.line(f"  {finding.link}\n")
    faults = sum(finding.level == FAULT and not finding.fixed for finding in findings)
    notes = sum(finding.level != FAULT for finding in findings)
    console.line(f"{count} rules: {faults} with a fault, {notes} with a note")
