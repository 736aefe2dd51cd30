"""Fits the constants of schemas/catalog/frameworks.yaml to published peaks, and judges them on models not seen.

``python benchmarks/fit_memory.py --write`` renews the catalogue's ``fitted`` lines. The fit is a small coordinate
descent on the absolute logarithm of estimate / measured, drawn towards the constants of all frameworks together, so
that a framework with few rows does not learn its own noise. Plain Python, on the package's default dependencies.
"""

import argparse
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from anchor_rows import DATA, GIB, Anchor, NoEstimate, anchor, read, setup, unit_bytes

from tunesmith import package_data
from tunesmith.planner.memory import estimate
from tunesmith.planner.training_setup import Profile, Setup
from tunesmith.planner.training_setup import profiles as profiles_of_catalogue

# Constant: (start, lowest, highest, width of the prior).
CONSTANTS = {
    "overhead_gib": (1.0, 0.0, 5.0, 1.0),
    "activations": (1.0, 0.6, 1.6, 0.25),
    "quantised_activations": (0.5, 0.0, 1.5, 0.5),
    "fragmentation": (0.2, 0.0, 1.0, 0.3),
}
PRIOR_WEIGHT = 0.5  # in rows: how much one prior width of deviation costs
# Rows of one model err together, so the quantiles of a few models are too narrow for the next: what is called P10 and
# P90 is the 5 % and 95 % quantile of the models left out, which the benchmark finds to hold 90 % of unseen rows.
BAND_QUANTILES = (0.05, 0.95)


@dataclass(frozen=True)
class Sample:
    """A usable row: ``peak`` in GiB, measured."""

    anchor: Anchor
    setup: Setup
    peak: float


def samples(rows: Iterable[Mapping[str, str]]) -> list[Sample]:
    """Rows of quality A on one device whose setup is modelled."""
    found = []
    for row in rows:
        if row["quality"] != "A" or row["num_gpus"] != "1":
            continue
        try:
            read_row = anchor(dict(row))
            found.append(Sample(read_row, setup(read_row), float(row["peak_gb"]) * unit_bytes(dict(row)) / GIB))
        except NoEstimate:
            continue
    return found


@cache
def anchors() -> tuple[Sample, ...]:
    """The samples of the project's own yardstick."""
    return tuple(samples(read(DATA / "measured_memory.csv")))


def fit_all(data: Sequence[Sample]) -> dict[str, Profile]:
    """Every profile with the constants that fit ``data`` best; the band is left as it was."""
    profiles = profiles_of_catalogue()
    pooled = _fit(data, profiles, {name: start for name, (start, *_) in CONSTANTS.items()}, 0.1)
    fitted = {}
    for family in dict.fromkeys(profile.family for profile in profiles.values()):
        own = [sample for sample in data if profiles[sample.anchor.framework].family == family]
        constants = _fit(own, profiles, pooled, PRIOR_WEIGHT) if own else pooled
        members = [key for key, profile in profiles.items() if profile.family == family]
        fitted |= {key: replace(profiles[key], fitted_rows=len(own), **constants) for key in members}
    return fitted


def _fit(
    data: Sequence[Sample], profiles: Mapping[str, Profile], prior: Mapping[str, float], weight: float
) -> dict[str, float]:
    """Coordinate descent from the prior with halving steps."""
    constants = dict(prior)
    best = _loss(data, profiles, constants, prior, weight)
    for step in (0.5, 0.25, 0.12, 0.06, 0.03):
        improved = True
        while improved:
            improved = False
            for name, (_, low, high, width) in CONSTANTS.items():
                for sign in (1, -1):
                    tried = dict(constants)
                    tried[name] = round(min(max(tried[name] + sign * step * width, low), high), 4)
                    loss = _loss(data, profiles, tried, prior, weight)
                    if loss < best - 1e-9:
                        best, constants, improved = loss, tried, True
    return constants


def _loss(
    data: Sequence[Sample],
    profiles: Mapping[str, Profile],
    constants: Mapping[str, float],
    prior: Mapping[str, float],
    weight: float,
) -> float:
    tuned = {key: replace(profile, **constants) for key, profile in profiles.items()}
    error = sum(abs(math.log(ratio(sample, tuned[sample.anchor.framework]))) for sample in data)
    drawn = sum(((constants[name] - prior[name]) / CONSTANTS[name][3]) ** 2 for name in CONSTANTS)
    return error + weight * 0.1 * drawn


def ratio(sample: Sample, profile: Profile) -> float:
    """measured / estimated."""
    return sample.peak / estimate(sample.anchor.shape, sample.setup, profile).typical


def leave_one_out(data: Sequence[Sample], by: str = "model") -> list[tuple[Sample, float]]:
    """measured / estimated of each sample, by constants that saw no row of its model (or framework family)."""
    profiles = profiles_of_catalogue()

    def group(sample: Sample) -> str:
        return sample.anchor.model if by == "model" else profiles[sample.anchor.framework].family

    judged = []
    for name in dict.fromkeys(group(sample) for sample in data):
        tuned = fit_all([sample for sample in data if group(sample) != name])
        judged += [(sample, ratio(sample, tuned[sample.anchor.framework])) for sample in data if group(sample) == name]
    return judged


def with_bands(profiles: Mapping[str, Profile], judged: Sequence[tuple[Sample, float]]) -> dict[str, Profile]:
    """The profiles with P10 and P90 of measured / estimated, as the models left out showed them."""
    everything = [value for _, value in judged]
    banded = {}
    for key, profile in profiles.items():
        own = [value for sample, value in judged if profiles[sample.anchor.framework].family == profile.family]
        # The wider of a framework's own band and that of all: no framework was measured with more than eight models.
        ends = [(quantile(own or everything, at), quantile(everything, at)) for at in BAND_QUANTILES]
        low, high = min(ends[0]), max(ends[1])
        if not own:  # nobody measured it, so how far one framework strays from another is what counts
            low, high = UNSEEN_BAND
        banded[key] = replace(profile, low=round(min(low, 0.95), 3), high=round(max(high, 1.05), 3))
    return banded


UNSEEN_BAND = (0.75, 1.36)  # the P90 over frameworks left out whole, research of 2026-11-22 on a larger collection


def quantile(values: Sequence[float], at: float) -> float:
    """Linear interpolation between the order statistics."""
    ordered = sorted(values)
    place = at * (len(ordered) - 1)
    low = math.floor(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (place - low) * (ordered[high] - ordered[low])


def write(profiles: Mapping[str, Profile], path: Path) -> None:
    """Renew the ``fitted`` lines of the catalogue, leaving everything else as it is written."""
    text = path.read_text(encoding="utf-8")
    for key, profile in profiles.items():
        values = ", ".join(f"{name}: {getattr(profile, name):.3g}" for name in (*CONSTANTS, "low", "high"))
        line = f"    fitted: {{rows: {profile.fitted_rows}, {values}}}"
        text = re.sub(rf"(\n  {key}:\n(?:    .*\n)*?)    fitted: .*", lambda found, line=line: found[1] + line, text)
    path.write_text(text, encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="renew schemas/catalog/frameworks.yaml")
    options = parser.parse_args()
    data = anchors()
    profiles = with_bands(fit_all(data), leave_one_out(data))
    for key, profile in profiles.items():
        shown = "  ".join(f"{name} {getattr(profile, name):.3g}" for name in (*CONSTANTS, "low", "high"))
        print(f"{key:16} {profile.fitted_rows:3} rows  {shown}")
    if options.write:
        write(profiles, package_data.schema_file("catalog", "frameworks.yaml"))


if __name__ == "__main__":
    main()
