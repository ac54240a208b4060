"""Physiome-ODE: the second half of a window from the first, by sparse noisy observations.

Kloetergens et al. (2025). Sets, folds, parts and the metric (squared error pooled over the
observed targets of the test series, in standardised units) are those of the benchmark; see the
README of the data.

    python -m tests.benchmarks.protocols.physiome --sets LI01,PHI01 --folds 0,1
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from tests.benchmarks.protocols.forecasts import DATA, Timer, made, mean_forecast, parser, summary

SETS = ("LI01", "LEN01", "PHI01", "KAR02", "WOL03")
HORIZON = 0.5
DEFAULTS: dict[str, object] = {
    "cutoffs": HORIZON,
    "seasonality": None,
    "learning_rate": 0.02,
    "weight_decay": 0.01,
    "batch_size": 64,
    "max_epochs": 14,
    "n_members": 3,
}


@dataclass(frozen=True, eq=False)
class Problem:
    """A set with one of its folds.

    Attributes
    ----------
    values : DataFrame
        All rows, indexed by series and time.
    ahead : ndarray of bool
        Rows that are to be foretold.
    parts : Series
        train, valid or test for every series.
    targets : list of str
        Channels that are to be foretold.
    """

    values: pd.DataFrame
    ahead: np.ndarray
    parts: pd.Series
    targets: list[str]

    @classmethod
    def read(cls, name: str, fold: int) -> Problem:
        """Take a set from the shared data."""
        folder = DATA / "physiome_ode"
        frame = pd.read_csv(folder / f"{name}.csv.gz").set_index(["series_id", "time"])
        folds = pd.read_csv(folder / f"{name}_folds.csv").set_index("series_id")
        channels = pd.read_csv(folder / "channels.csv").query("set == @name")
        targets = channels.query("target == 1")["channel"].tolist()
        ahead = frame.pop("target").to_numpy() == 1
        return cls(frame, ahead, folds[f"fold{fold}"], targets)

    def rows(self, parts: Sequence[str]) -> np.ndarray:
        """Which rows belong to series of these parts."""
        wanted = self.parts.index[self.parts.isin(parts)]
        return np.asarray(self.values.index.get_level_values(0).isin(wanted))


def error(problem: Problem, given: argparse.Namespace) -> float:
    """Mean squared error over the observed targets of the part."""
    known = ["train"] if given.part == "valid" else ["train", "valid"]
    model = made(given, HORIZON, DEFAULTS, targets=problem.targets)
    model.fit(problem.values[problem.rows(known)])
    judged = problem.rows([given.part])
    truth = problem.values[judged & problem.ahead][problem.targets]
    found = mean_forecast(model, truth.index, problem.values[judged & ~problem.ahead])
    return float(np.nanmean((found.to_numpy() - truth.to_numpy()) ** 2))


def main() -> None:
    """Print the error of every set and fold."""
    arguments = parser(__doc__)
    arguments.add_argument("--sets", default=",".join(SETS))
    arguments.add_argument("--folds", default="0,1,2,3,4")
    given = arguments.parse_args()
    for name in given.sets.split(","):
        figures = []
        for fold in map(int, given.folds.split(",")):
            timer = Timer()
            figures.append(error(Problem.read(name, fold), given))
            print(f"{name} fold {fold} {given.part} {figures[-1]:.4f} in {timer}", flush=True)
        print(f"{name} {given.part} {summary(figures)}", flush=True)


if __name__ == "__main__":
    main()
