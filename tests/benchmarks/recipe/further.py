"""More tasks by the protocol of the benchmark, and averages of the same candidates by other rules.

Run from the folder of the benchmark, with this repository on the path; one task at a time:

    PYTHONPATH=$REPOSITORY OMP_NUM_THREADS=1 \
        python -m tests.benchmarks.recipe.further sea --seed 0

Every candidate of `AutoForecaster` is fitted to its end; the scores are those of each one alone,
and of averages whose members and weights are chosen by what was held out of the training data.
"""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from odeseries.combining import Judged, Standing, combined
from odeseries.forecasters import auto
from odeseries.panel import Float64
from tests.benchmarks.seeds import model_class

DAY = 24.0
Weights = dict[str, float]
Rule = Callable[[Mapping[str, Judged], Mapping[str, Standing]], Weights]

tasks = importlib.import_module("tasks")


def passengers() -> Any:
    """Air passengers, 60 % of the months, two years ahead."""
    frame = tasks.tidy(tasks.read("air_passengers/data.csv"), ["value"])
    frame = tasks.thin(frame, 0.6)
    frame["time"] /= 12
    return tasks.single("passengers", frame, "yr", ["value"], 2.0, 8)


def sea() -> Any:
    """Temperature of the sea, a fifth of the last 120 days, two days ahead."""
    frame = tasks.tidy(tasks.read("sea_surface_temperature/data.csv.gz"), ["sst"])
    frame = frame[frame["series_id"] == frame["series_id"].iloc[0]]
    frame = frame.groupby(["series_id", "time"], as_index=False).mean()
    late = frame[frame["time"] > frame["time"].max() - 120 * DAY]
    return tasks.single("sea", tasks.thin(late, 0.2), "h", ["sst"], 2 * DAY, 12)


def transformer() -> Any:
    """ETTh1, four columns, 30 % of the first 100 days, one day ahead."""
    frame = tasks.read("etth1/ETTh1.csv").assign(series_id="ett")
    since = pd.to_datetime(frame["date"]) - pd.Timestamp("2016-07-01")
    channels = ["HUFL", "MUFL", "LUFL", "OT"]
    frame = tasks.tidy(frame.assign(time=since / pd.Timedelta(hours=1)), channels)
    early = frame[frame["time"] < 100 * DAY]
    return tasks.single("transformer", tasks.thin(early, 0.3), "h", channels, DAY, 12)


def greenland() -> Any:
    """The oxygen isotope of the GISP2 core, 2 % of the span ahead."""
    frame = tasks.paleo("gisp2_d18o").groupby(["series_id", "time"], as_index=False).mean()
    span = frame["time"].max() - frame["time"].min()
    return tasks.single("greenland", frame, "yr", ["value"], 0.02 * span, 12)


def quakes() -> Any:
    """Magnitudes and depths of earthquakes, 2 % of the span ahead."""
    channels = ["mag", "depth_km"]
    frame = tasks.tidy(tasks.read("usgs_earthquakes/data.csv"), channels)
    frame = frame.groupby(["series_id", "time"], as_index=False).mean()
    span = frame["time"].max() - frame["time"].min()
    return tasks.single("quakes", frame, "day", channels, 0.02 * span, 8)


def parkinsons() -> Any:
    """Scores of 42 patients, 60 days from day 100."""
    channels = ["motor_UPDRS", "total_UPDRS"]
    frame = tasks.tidy(tasks.read("parkinsons_telemonitoring/sessions.csv.gz"), channels)
    frame = frame[frame["time"] >= 0]
    return tasks.panel("parkinsons", frame, "day", channels, 60.0, lambda _: 100.0)


def lynx() -> Any:
    """Lynx and hare, ten years ahead."""
    channels = ["lynx", "hare"]
    frame = tasks.tidy(tasks.read("lynx_hare/data.csv"), channels)
    return tasks.single("lynx", frame, "yr", channels, 10.0, 24)


TASKS: dict[str, Callable[[], Any]] = {
    one.__name__: one for one in (passengers, sea, transformer, greenland, quakes, parkinsons, lynx)
}


def changed(weight: float, limit: float) -> Rule:
    """The package's rule, with another weight of linear equations and limit of lags."""

    def rule(judged: Mapping[str, Judged], known: Mapping[str, Standing]) -> Weights:
        own = dict(known)
        own |= {name: Standing(weight=weight) for name in known if name == "linear_sde"}
        own |= {name: Standing(limit=limit) for name in known if name == "baseline (lags)"}
        return combined(judged, own)[0]

    return rule


RULES: dict[str, Rule] = {
    "as it is": lambda judged, known: combined(judged, known)[0],
    "all alike, within 2": changed(1.0, 2.0),
    "lags within 1.3": changed(1.0, 1.3),
    "linear equation twice": changed(2.0, 2.0),
    "linear equation three times, lags within 1.3": changed(3.0, 1.3),
}


def compared(task: Any, seed: int) -> dict[str, dict[str, float]]:
    """Scores of every candidate and rule; of a task of one unit."""
    found: dict[str, Any] = {}

    def all_alike(judged: Any, known: Any) -> tuple[Weights, float]:
        found.update(judged=judged, known=known)
        return dict.fromkeys(judged, 1 / len(judged)), 1.0

    auto.combined = all_alike
    model = model_class("tests.benchmarks.field:Auto", seed)()
    model.limits = lambda train: {}
    (unit,) = task.units()
    model.fit(unit.train.copy(), unit)
    names = list(model.model.weights_.index)
    shares = {name: {name: 1.0} for name in names}
    shares |= {name: rule(found["judged"], found["known"]) for name, rule in RULES.items()}
    scores = importlib.import_module("scores")
    kinds = {name: scores.Scorer(task.channels, scale_parts=False) for name in shares}
    for scorer in kinds.values():
        scorer.start_part(unit.train)
    for q in unit.queries:
        each = stacked(model, names, q, unit)
        for name, scorer in kinds.items():
            weights = np.array([shares[name].get(n, 0.0) for n in names])
            scorer.add(q.query, np.tensordot(weights, each, 1))
    return {name: scorer.result() for name, scorer in kinds.items()}


def stacked(model: Any, names: list[str], q: Any, unit: Any) -> Float64:
    """Quantiles of a query by each candidate alone, (n, rows, channels, levels)."""
    out = []
    for name in names:
        alone = [float(other == name) for other in names]
        model.model.weights_ = pd.Series(alone, index=names)
        out.append(model.forecast(q.history.copy(), q.query[[unit.id, unit.time]].copy()))
    return np.stack(out)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("task", choices=TASKS)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    for name, scores in compared(TASKS[args.task](), args.seed).items():
        print(f"{args.task} | {name} | {scores['scrps']:.4f} | {scores['cov80']:.2f}")


if __name__ == "__main__":
    main()
