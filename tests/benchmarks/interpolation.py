"""Interpolation of hidden rows by the default forecaster, against climatology and the line.

Of CO2 and three light curves 30 % of the rows and one block of six months are hidden and asked for.

    python tests/benchmarks/interpolation.py
"""

from __future__ import annotations

import time

import numpy as np
import pandas as pd
import torch

import odeseries as ode
from odeseries.metrics import LEVELS, coverage, crps_from_quantiles

STARS = ("asas_243412_V", "asas_217801_V", "macho_1.3444.614_B")
HALF_YEAR = 182.6


def hidden(times: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Which rows are hidden; the first and the last never are."""
    start = rng.uniform(times[0] + HALF_YEAR, times[-1] - 2 * HALF_YEAR)
    block = (times >= start) & (times < start + HALF_YEAR)
    chosen = block | (rng.random(len(times)) < 0.3)
    chosen[[0, -1]] = False
    return chosen


def scores(name: str, series: pd.Series, days: np.ndarray) -> dict[str, float | str]:
    """Scores of the hidden rows."""
    gone = hidden(days, np.random.default_rng(0))
    seen, truth = series[~gone], series[gone].to_numpy()
    started = time.perf_counter()
    model = ode.LatentODEForecaster(random_state=0).fit(seen)
    seconds = time.perf_counter() - started
    quantiles = model.predict_quantiles(series.index[gone], alpha=LEVELS).to_numpy()
    line = np.interp(days[gone], days[~gone], seen.to_numpy())
    plain = np.broadcast_to(np.quantile(seen, LEVELS), quantiles.shape)
    return {
        "series": name,
        "hidden": int(gone.sum()),
        "crps": crps_from_quantiles(truth, quantiles).mean(),
        "crps climatology": crps_from_quantiles(truth, plain).mean(),
        "mae": np.abs(truth - quantiles[:, 49]).mean(),
        "mae line": np.abs(truth - line).mean(),
        "cov 90 %": coverage(truth, quantiles[:, 4], quantiles[:, 94]),
        "fit s": seconds,
    }


def main() -> None:
    """Print the table."""
    torch.set_num_threads(1)
    co2 = ode.datasets.load_co2().dropna()
    days = (co2.index - co2.index[0]) / pd.Timedelta("1D")
    rows = [scores("co2", co2, days.to_numpy())]
    for star in STARS:
        curve = ode.datasets.load_variable_stars(star)
        rows.append(scores(star, curve, curve.index.to_numpy()))
    print(pd.DataFrame(rows).to_string(index=False, float_format=lambda v: f"{v:.4f}"))


if __name__ == "__main__":
    main()
