"""Coverage of backcasts and interpolations on the bundled data sets, by the default forecaster.

Of each series the first tenth of its span is left out and asked for (a backcast), and of the rest
a quarter of the rows (an interpolation); 90 % intervals should hold 75 to 100 % of them.

    python tests/benchmarks/past_and_between.py
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch

import odeseries as ode
from odeseries.metrics import coverage

STARS = ("asas_243412_V", "asas_217801_V", "macho_1.3444.614_B")
SHARE = 0.1


def covered(series: pd.Series) -> dict[str, float]:
    """Coverage of the 90 % intervals and number of values, of both kinds."""
    start = series.index[0]
    early = series.index < start + SHARE * (series.index[-1] - start)
    gone = ~early & (np.random.default_rng(0).random(len(series)) < 0.25)
    gone[[int(early.sum()), -1]] = False
    model = ode.LatentODEForecaster(random_state=0).fit(series[~early & ~gone])
    out: dict[str, float] = {}
    for name, rows in (("backcast", early), ("interpolation", gone)):
        band = model.predict_interval(series.index[rows], coverage=0.9).to_numpy()
        out[name] = coverage(series[rows].to_numpy(), band[:, 0], band[:, 1])
        out[f"{name} n"] = int(rows.sum())
    return out


def bundled() -> dict[str, pd.Series]:
    """The bundled series without their gaps."""
    data = ode.datasets
    stars = {star: data.load_variable_stars(star) for star in STARS}
    pelts = data.load_lynx_hare()
    named = {
        "co2": data.load_co2(),
        "antarctic_co2": data.load_antarctic_co2(),
        "sunspots": data.load_sunspots(),
        "lynx": pelts[pelts.columns[0]],
        "glucose": data.load_glucose(),
        **stars,
    }
    return {name: series.dropna().sort_index() for name, series in named.items()}


def main() -> None:
    """Print the table."""
    torch.set_num_threads(1)
    rows = {name: covered(series) for name, series in bundled().items()}
    print(pd.DataFrame(rows).T.round(3).to_string())


if __name__ == "__main__":
    main()
