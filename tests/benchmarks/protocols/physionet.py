"""PhysioNet 2012: the second day of a stay in intensive care from the first.

The protocol of Zhang et al. (2024, t-PatchGNN), as their code has it: the stays of sets a, b and c
in random order, 60 % to train, 20 % to validate, 20 % to test; variables scaled to [0, 1] by the
least and the largest value in the first 80 %; what was observed before hour 24 is seen, what was
observed from there on is asked for. The metric is the mean over the variables, each counting alike,
of the mean squared error over all observations of a variable in all stays of the part; a variable
without any is left out. So the four descriptors of a stay, which are given at its beginning alone,
have no part in it, mechanical ventilation, which is always 1 and has no error, is one of the 37
variables, and a few dozen values of cholesterol count as much as the heart rate's 60 thousand.

What differs: the order of the stays, which there is that of a folder's listing; stays without any
row are left out; weights that are coded as missing (-1) are blank and do not widen the range.

    python -m tests.benchmarks.protocols.physionet
    python -m tests.benchmarks.protocols.physionet --forecaster combined
    python -m tests.benchmarks.protocols.physionet --forecaster ridge
"""

from __future__ import annotations

import argparse

import numpy as np
import pandas as pd
import torch
from sklearn.linear_model import Ridge
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import FunctionTransformer

import odeseries as ode
from tests.benchmarks.protocols.forecasts import DATA, Timer, made, mean_forecast, params, parser

SPLIT_SEED = 42
N_DRAWS = 500
MOST_WINDOWS = 8192
HOURS, HALF_A_MINUTE = 24.0, 1 / 120
DEFAULTS: dict[str, object] = {
    "cutoffs": HOURS - HALF_A_MINUTE,
    "seasonality": None,
    "learning_rate": 0.02,
    "weight_decay": 0.01,
    "batch_size": 64,
    "max_epochs": 6,
    "n_members": 3,
    "target_transformer": FunctionTransformer(
        inverse_func=np.clip, inv_kw_args={"a_min": 0.0, "a_max": 1.0}
    ),
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


def standard_error(found: pd.DataFrame, truth: pd.DataFrame) -> float:
    """That of the mean of the `squared_errors`, by stays drawn again."""
    squares = (found - truth) ** 2
    stays = squares.groupby(level=0)
    total, count = stays.sum().to_numpy(), stays.count().to_numpy()
    rng = np.random.default_rng(0)
    each = [1 / len(total)] * len(total)
    drawn = rng.multinomial(len(total), each, size=N_DRAWS)
    with np.errstate(invalid="ignore"):
        errors = (drawn @ total) / (drawn @ count)
    return float(1e3 * np.nanmean(errors, axis=1).std(ddof=1))


def day(values: pd.DataFrame, *, second: bool) -> pd.DataFrame:
    """What was observed before hour 24, or from there on."""
    return values[(values.index.get_level_values(1) >= HOURS) == second]


def last(known: pd.DataFrame, history: pd.DataFrame, asked: pd.MultiIndex) -> pd.DataFrame:
    """The last value of the first day; the training mean where there is none."""
    found = history.groupby(level=0).last().reindex(asked.get_level_values(0))
    return found.fillna(known.mean()).set_axis(asked)


def ridge(known: pd.DataFrame, history: pd.DataFrame, asked: pd.MultiIndex) -> pd.DataFrame:
    """A line for every variable, on its own last value and mean of the first day, if any."""
    seen, ahead = day(known, second=False), day(known, second=True)
    found = pd.DataFrame(index=asked, columns=known.columns, dtype=float)
    for name in known:
        there = ahead[name].dropna()
        columns = _of_first_day(seen[name], there.index)
        model = Ridge(1e-3).fit(columns, there)
        found[name] = model.predict(_of_first_day(history[name], asked, seen[name].mean()))
    return found


def _of_first_day(
    seen: pd.Series, asked: pd.MultiIndex, otherwise: float | None = None
) -> np.ndarray:
    """Last value, mean, and whether there are any, of the stay of every row asked."""
    stays = seen.groupby(level=0)
    columns = pd.DataFrame({"last": stays.last(), "mean": stays.mean()})
    columns = columns.reindex(asked.get_level_values(0))
    observed = columns["last"].notna().to_numpy()
    filled = columns.fillna(seen.mean() if otherwise is None else otherwise)
    return np.column_stack([filled, observed])


SIMPLE = {"last": last, "ridge": ridge}


def combined(given: argparse.Namespace) -> ode.AutoForecaster:
    """Latent ODE, forests and boosted trees, averaged by the package's own rule."""
    torch.set_num_threads(1)
    shared = {name: DEFAULTS[name] for name in ("cutoffs", "target_transformer")}
    latent = DEFAULTS | {"n_members": 1, "balance": 0.5} | params(given.params)
    candidates = [
        ode.ForestForecaster(n_trees=20, n_windows=MOST_WINDOWS, summaries=True, seasonality=None),
        ode.BoostedForecaster(seasonality=None),
        ode.LatentODEForecaster().set_params(**latent),
    ]
    return ode.AutoForecaster(
        HOURS, candidates=candidates, **shared, random_state=given.seed, verbose=True
    )


def forecasts(given: argparse.Namespace) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Forecasts of the part, and the truth."""
    values = read()
    train, valid, test = parts(values.index.get_level_values(0).unique().to_numpy())
    values = scaled(values, np.concatenate([train, valid]))
    is_valid = given.part == "valid"
    known = values[
        of(values, (train if is_valid else np.concatenate([train, valid]))[: given.train])
    ]
    judged = values[of(values, valid if is_valid else test)]
    truth, history = day(judged, second=True), day(judged, second=False)
    if given.forecaster in SIMPLE:
        return SIMPLE[given.forecaster](known, history, truth.index), truth
    own = combined(given) if given.forecaster == "combined" else made(given, HOURS, DEFAULTS)
    model = own.fit(known)
    found = mean_forecast(model, truth.index, history)
    return found.fillna(known.mean()), truth


def main() -> None:
    """Print the error, its standard error and the variables that make most of it."""
    arguments = parser(__doc__, more=(*SIMPLE, "combined"))
    arguments.add_argument("--train", type=int, default=None, help="stays to train on, at most")
    given = arguments.parse_args()
    timer = Timer()
    found, truth = forecasts(given)
    errors = squared_errors(found, truth)
    told = f"{errors.mean():.3f}e-3 (standard error {standard_error(found, truth):.2f})"
    largest = ", ".join(f"{k} {v:.1f}" for k, v in errors.nlargest(6).items())
    print(f"{given.forecaster} {given.part} {told} in {timer}; {largest}")


if __name__ == "__main__":
    main()
