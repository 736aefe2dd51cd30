"""`tunesmith demo`: an example project, generated and run to its verdict."""

import argparse
import json
from pathlib import Path
from typing import Any

from tunesmith import console, git, project, resources, runner, spec
from tunesmith.errors import FINDINGS, FileProblem, RunFailed
from tunesmith.intake import target

REPRODUCE = ("dvc", "repro")
SMOKE = ("dvc", "exp", "run", "--temp", "-S", "smoke=true")


def run(options: argparse.Namespace) -> int:
    """Generate, run every stage, show the verdict, commit the results.

    Raises:
        RunFailed: a stage stopped before there was a verdict.
    """
    created = project.create(_example(options.example), target(options))
    if created.committed:
        git.lend_identity(created.path)
    console.note(f"{created.path}: generated; now every stage runs, from the model to the verdict")
    command = SMOKE if options.smoke else REPRODUCE
    code = runner.run(created.path, *command, quiet=options.json)
    verdict = _verdict(created.path)
    if verdict is None:
        if code:
            raise RunFailed(created.path, ["python3", runner.ENVIRONMENT, *command], code)
        _finish_smoke(created.path, as_json=options.json)
        return 0
    if created.committed:
        git.commit_all(created.path, "Run every stage")
    if options.json:
        console.as_json(verdict | {"path": str(created.path)})
    else:
        show(verdict, created.path)
    return FINDINGS if code else 0


def _example(name: str) -> spec.Spec:
    path = resources.examples().get(name)
    if path is None:
        raise FileProblem(
            resources.root() / "examples" / name, "this example has no spec.yaml", "install tunesmith again"
        )
    return spec.validate(spec.from_file(path))


def _verdict(path: Path) -> dict[str, Any] | None:
    written = path / "reports" / "verdict.json"
    if not written.is_file():
        return None
    verdict: dict[str, Any] = json.loads(written.read_text(encoding="utf-8"))
    return verdict


def _finish_smoke(path: Path, *, as_json: bool) -> None:
    """A smoke run leaves the workspace as it was; its gate has printed the verdict."""
    if as_json:
        console.as_json({"path": str(path), "smoke": True})
    else:
        console.line(f"{path}: every stage works. For real numbers:  cd {path}  &&  python3 environment.py dvc repro")


def show(verdict: dict[str, Any], path: Path) -> None:
    """The verdict on the terminal: arms with intervals, the paired test, money, what to ship and why."""
    cost = verdict["cost"]["usd_per_1000_requests"]
    rows = [(arm, _score(score), _usd(cost.get(arm))) for arm, score in verdict["arms"].items()]
    console.line()
    console.table(("arm", f"{verdict['primary_metric']} (95% interval)", "USD per 1,000 requests (low to high)"), rows)
    difference = verdict["difference"]
    interval = f"{difference['low']:+.3f} to {difference['high']:+.3f}"
    test = f"{verdict['test']}, p = {verdict['p_value']:.2g}, {verdict['items']} items"
    console.line()
    console.line(
        f"{verdict['tuned']} against {verdict['best_baseline']}: {difference['mean']:+.3f} ({interval}), {test}"
    )
    console.line(f"{verdict['decision']}. {verdict['reason']}")
    console.line(f"ship: {verdict['ship'] or 'nothing yet'}")
    console.line(f"report: {path / verdict['report']}")


def _score(score: dict[str, float]) -> str:
    return f"{score['mean']:.3f} ({score['low']:.3f} to {score['high']:.3f})"


def _usd(price: dict[str, float] | None) -> str:
    return f"{price['typical']:.4f} ({price['low']:.4f} to {price['high']:.4f})" if price else "-"
