"""The plugins' forecasters beside the built-in ones and the last value, on bundled series.

Run with the plugins installed, or their folders on the path:

    OMP_NUM_THREADS=1 python tests/benchmarks/plugins/forecasters.py --data sunspots
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import numpy as np
import pandas as pd
import torch
from odeseries_cde import NeuralCDEForecaster
from odeseries_gruode import GRUField, GRUODEForecaster
from odeseries_vdp import VanDerPol

import odeseries as ode
from odeseries.metrics import crps_from_quantiles

LEVELS = [round(0.05 * i, 2) for i in range(1, 20)]
DATA: dict[str, tuple[Any, Any, int]] = {
    "sunspots": (ode.datasets.load_sunspots, 10.0, 9),
    "antarctic_co2": (ode.datasets.load_antarctic_co2, 20000.0, 8),
    "star": (lambda: ode.datasets.load_variable_stars("asas_243412_V"), 30.0, 8),
}
MODELS: dict[str, tuple[type[ode.BaseForecaster], dict[str, Any]]] = {
    "latent_ode (built in)": (ode.LatentODEForecaster, {}),
    "latent_ode, vdp:vdp": (
        ode.LatentODEForecaster,
        {"dynamics": VanDerPol, "dynamics_params": {"strength": 1.0}},
    ),
    "ode_rnn, mlp (built in)": (ode.ODERNNForecaster, {}),
    "ode_rnn, gruode:gru": (ode.ODERNNForecaster, {"dynamics": GRUField}),
    "gruode:gruode": (GRUODEForecaster, {}),
    "cde:cde": (NeuralCDEForecaster, {}),
}


def last_value(data: pd.Series, table: pd.DataFrame) -> np.ndarray:
    """The value last observed before every cutoff."""
    places = data.index.searchsorted(table["cutoff"], side="right") - 1
    return data.to_numpy()[places]


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", choices=DATA, default="sunspots")
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--models", nargs="+", default=list(MODELS), choices=MODELS)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.set_num_threads(1)
    load, horizon, n_splits = DATA[args.data]
    data = load()
    cv = ode.TimeSplit(horizon, n_splits=n_splits)
    for i, name in enumerate(args.models):
        cls, params = MODELS[name]
        began = time.process_time()
        model = cls(horizon, max_epochs=args.epochs, random_state=args.seed, **params)
        table = ode.backtest(model, data, cv=cv, alpha=LEVELS, refit=False)
        spent = time.process_time() - began
        truth = table["truth"].to_numpy()
        if i == 0:
            error = float(np.abs(truth - last_value(data, table)).mean())
            print(f"{args.data}: {len(table)} forecasts from {n_splits} cutoffs", flush=True)
            print(f"{'last value':26} MAE {error:8.3f}  CRPS {error:8.3f}", flush=True)
        mae = float(np.abs(truth - table[0.5]).mean())
        crps = float(crps_from_quantiles(truth, table[LEVELS].to_numpy(), LEVELS).mean())
        print(f"{name:26} MAE {mae:8.3f}  CRPS {crps:8.3f}  {spent:6.1f} CPU s", flush=True)


if __name__ == "__main__":
    main()
