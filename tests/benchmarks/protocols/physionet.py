"""PhysioNet 2012: the second day of a stay in intensive care from the first.

The protocol of Zhang et al. (2024, t-PatchGNN): the stays of sets a, b and c in random order, 60 %
to train, 20 % to validate, 20 % to test; variables scaled to [0, 1] by the first 80 %; what was
observed before hour 24 is seen, what was observed from there on is asked for; squared errors are
averaged for every variable first, then over the variables.

    python -m tests.benchmarks.protocols.physionet --train 2000
"""

from __future__ import annotations

import argparse

import numpy as np
import pandas as pd
from sklearn.model_selection import train_test_split

from tests.benchmarks.protocols.forecasts import DATA, Timer, made, mean_forecast, parser

SPLIT_SEED = 42
HOURS, HALF_A_MINUTE = 24.0, 1 / 120
DEFAULTS: dict[str, object] = {
    "cutoffs": HOURS - HALF_A_MINUTE,
    "seasonality": None,
    "learning_rate": 0.01,
    "weight_decay": 0.01,
    "batch_size": 16,
    "max_epochs": 3,
}


def read() -> pd.DataFrame:
    """All stays, indexed by stay and hour."""
    folder = DATA / "physionet2012"
    frame = pd.concat([pd.read_csv(folder / f"set-{s}.csv.gz") for s in "abc"])
    frame["time"] = frame["time"] / 60
    return frame.set_index(["series_id", "time"]).astype(float)


def parts(stays: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Stays to train, to validate and to test."""
    seen, test = train_test_split(stays, train_size=0.8, random_state=SPLIT_SEED)
    train, valid = train_test_split(seen, train_size=0.75, shuffle=False)
    return train, valid, test


def scaled(values: pd.DataFrame, seen: np.ndarray) -> pd.DataFrame:
    """Values between the least and the largest of some stays; a constant variable is 0."""
    known = values[of(values, seen)]
    low, span = known.min(), known.max() - known.min()
    return (values - low) / span.where(span > 0, 1.0)


def of(values: pd.DataFrame, stays: np.ndarray) -> np.ndarray:
    """Which rows belong to some stays."""
    return np.asarray(values.index.get_level_values(0).isin(stays))


def squared_errors(found: pd.DataFrame, truth: pd.DataFrame) -> pd.Series:
    """Mean squared error of every variable, in thousandths."""
    return 1e3 * ((found - truth) ** 2).mean()


def errors(given: argparse.Namespace) -> pd.Series:
    """Errors of every variable on the part."""
    values = read()
    train, valid, test = parts(values.index.get_level_values(0).unique().to_numpy())
    values = scaled(values, np.concatenate([train, valid]))
    known = train if given.part == "valid" else np.concatenate([train, valid])
    model = made(given, HOURS, DEFAULTS).fit(values[of(values, known[: given.train])])
    late = values.index.get_level_values(1).to_numpy() >= HOURS
    judged = of(values, valid if given.part == "valid" else test)
    truth, history = values[judged & late], values[judged & ~late]
    found = mean_forecast(model, truth.index, history)
    return squared_errors(found.fillna(values[of(values, known)].mean()), truth)


def main() -> None:
    """Print the error and the variables that make most of it."""
    arguments = parser(__doc__)
    arguments.add_argument("--train", type=int, default=None, help="stays to train on, at most")
    given = arguments.parse_args()
    timer = Timer()
    found = errors(given)
    largest = ", ".join(f"{k} {v:.1f}" for k, v in found.nlargest(6).items())
    print(f"{given.part} {found.mean():.3f}e-3 in {timer}; {largest}")


if __name__ == "__main__":
    main()
