"""The smallest rung that meets the bar: ``tunesmith tool ladder`` runs evals/ladder.yaml as DVC experiments.

Each rung is one ``dvc exp run`` in a folder of its own, from the committed state; one that was run before is not run
again. The results stay experiments (`dvc exp show`, `dvc exp apply NAME`) and become reports/ladder.html.
"""

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from engine.core import strict_yaml
from engine.core.artifacts import DVC_LOCK, LADDER, LADDER_PAGE, MEASURED_LADDER, PARAMS
from engine.core.display import percent
from engine.core.errors import ProjectError, run_stage
from engine.core.interval import Interval
from engine.core.io import read_json, sha256_bytes, sha256_json, write_json, write_text
from engine.core.params import Fraction, Group, load
from engine.settings.evaluate import EvaluateParams
from project_tools.git_revisions import read_at
from project_tools.ladder_page import ladder_page

SCORES, COST, TRAINING = (f"reports/{name}.json" for name in ("scores", "measured/cost", "measured/train"))


class Ladder(Group):
    """What evals/ladder.yaml says."""

    bar: Fraction
    rungs: dict[str, dict[str, Any]]  # name -> the knobs of params.yaml that it sets


class Rung(NamedTuple):
    """What a rung scored, and what a month of it costs: training once, and the requests of a month."""

    name: str
    experiment: str
    arm: str
    score: Interval
    trained_parameters: int | None
    usd: float | None

    @property
    def usd_per_point(self) -> float | None:
        """Dollars for each percentage point of the score."""
        return None if self.usd is None or self.score.mean <= 0 else self.usd / (100 * self.score.mean)


def main() -> None:
    settings, ladder = load(EvaluateParams), read_ladder()
    if not git("ls-files", COST):
        raise ProjectError("the project's own run is not committed", COST, "`dvc repro`, then commit its results")
    rungs = []
    for name, knobs in ladder.rungs.items():
        experiment = (
            f"ladder-{name}-{sha256_json([knobs, *(sha256_bytes(p.read_bytes()) for p in (PARAMS, DVC_LOCK))])[:8]}"
        )
        if experiment not in dvc("exp", "list", "--name-only").split():
            print(f"{name}: {', '.join(f'{key} {value}' for key, value in knobs.items())}", flush=True)
            run(experiment, name, knobs)
        rungs.append(read_rung(name, experiment))
        print(f"{name}: {percent(rungs[-1].score)}", flush=True)
    found = conclusion(rungs, ladder.bar)
    metric = settings.evaluate.primary_metric
    write_json(MEASURED_LADDER, {"bar": ladder.bar, "conclusion": found, "metric": metric, "rungs": rows(rungs)})
    write_text(LADDER_PAGE, ladder_page(read_json(MEASURED_LADDER)))
    print(f"{found}\nwrote {MEASURED_LADDER} and {LADDER_PAGE}; apply a rung with `dvc exp apply NAME`")


def read_ladder() -> Ladder:
    """The rungs to try. Raises `ProjectError` if the file is not as it should be."""
    ladder = strict_yaml.checked(strict_yaml.mapping(LADDER), Ladder)
    if not ladder.rungs:
        raise ProjectError("the ladder has no rungs", str(LADDER), "add one")
    return ladder


def run(experiment: str, name: str, knobs: Mapping[str, Any]) -> None:
    """One experiment, in a folder of its own, up to the stage before the gate: DVC keeps none that a gate refuses."""
    sets = [word for key, value in knobs.items() for word in ("-S", f"{key}={written(value)}")]
    command = [sys.executable, "-m", "dvc", "exp", "run", "--temp", "--name", experiment, *sets, "report"]
    if subprocess.run(command, check=False).returncode:
        raise ProjectError(f"the rung {name} failed", f"{LADDER}: rungs.{name}", "fix the error that DVC prints above")


def written(value: Any) -> str:
    """A value as ``dvc exp run -S`` reads it."""
    return value if isinstance(value, str) else json.dumps(value)


def read_rung(name: str, experiment: str) -> Rung:
    """What an experiment left behind."""
    scores, cost = (show(experiment, path) for path in (SCORES, COST))
    arm = scores["verdict"]["challenger"]
    trained = show(experiment, TRAINING)["trainable_parameters"] if cost["training"] else None
    prices = [cost["arms"][arm]["usd_per_month"], *([cost["training"]["usd"]] if cost["training"] else [])]
    usd = None if None in prices else round(sum(price["typical"] for price in prices), 6)
    score = Interval(**scores["arms"][arm][scores["primary_metric"]])
    return Rung(name, experiment, arm, score, trained, usd)


def conclusion(rungs: Sequence[Rung], bar: float) -> str:
    """Which rung to take, in a sentence. The rungs are in the order of their size."""
    enough = [rung for rung in rungs if rung.score.low >= bar]
    if enough:
        return f"{enough[0].name} is the smallest rung that is shown to reach {bar:.0%}: {percent(enough[0].score)}."
    best = max(rungs, key=lambda rung: rung.score.mean)
    return f"No rung is shown to reach {bar:.0%}; the best is {best.name} with {percent(best.score)}."


def rows(rungs: Sequence[Rung]) -> list[dict[str, Any]]:
    """Every rung for the report; ``pareto``: none scores as much for less, or more for as little."""
    return [
        {
            **rung._asdict(),
            "score": msgspec.structs.asdict(rung.score),
            "usd_per_point": rung.usd_per_point,
            "pareto": rung.usd is not None and not any(dominates(other, rung) for other in rungs),
        }
        for rung in rungs
    ]


def dominates(one: Rung, other: Rung) -> bool:
    """Whether ``one`` is at least as good and as cheap, and better in one of the two."""
    if one.usd is None or other.usd is None:
        return False
    gains = (one.score.mean - other.score.mean, other.usd - one.usd)
    return min(gains) >= 0 and max(gains) > 0


def show(revision: str, path: str) -> Any:
    """A result as an experiment has it."""
    found = read_at(path, revision)
    if found is None:
        raise ProjectError("the experiment did not finish", f"{revision}: {path}", f"dvc exp rm {revision}")
    return found


def dvc(*arguments: str) -> str:
    """What a command of DVC prints."""
    return said([sys.executable, "-m", "dvc", *arguments])


def git(*arguments: str) -> str:
    """What a command of git prints."""
    return said(["git", *arguments])


def said(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ProjectError(done.stderr.strip(), " ".join(command[-3:]), "run it by hand and fix the error")
    return done.stdout


if __name__ == "__main__":
    sys.exit(run_stage(main))
