"""Driven oscillators that were measured: silverbox and the vibrations of an F-16.

Norcliffe et al. (2020), sections 5.4 and 5.5: the first 1,000 samples train, the next 4,000 are
forecast, driven by the measured input. Every dynamics is that of a `NeuralODEForecaster`, of the
same number of parameters, trained alike.

    python -m tests.benchmarks.papers.second_order silverbox
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

import odeseries as ode
from odeseries import plugins
from tests.benchmarks.papers.training import count

TRAINED, TOTAL = 1000, 5000
COLUMNS = {"silverbox": ("V1", "V2"), "f16_vibration": ("Acceleration1", "Acceleration2")}
SIZES: dict[str, dict[str, Any]] = {
    # Linear beyond its initial velocities: the signals grow threefold after the trained samples.
    "second_order": {"hidden": 43, "depth": 0},
    "augmented": {"hidden": 22, "depth": 1, "extra_dims": 1},
    "mlp": {"hidden": 33, "depth": 1},
}
SHARED = Path(os.environ.get("ODESERIES_SHARED", Path(__file__).parents[4] / "shared"))


def read(name: str, folder: Path) -> tuple[pd.DataFrame, pd.Series]:
    """Input and output of one of the two sets, a sample a unit of time."""
    frame = pd.read_csv(folder / name / "data.csv.gz", nrows=TOTAL)
    given, measured = COLUMNS[name]
    return frame[[given]], frame[measured]


def forecaster(dynamics: str, seed: int, args: argparse.Namespace) -> ode.NeuralODEForecaster:
    """A forecaster that is trained over stretches of some samples, for a hundred steps."""
    return ode.NeuralODEForecaster(
        args.horizon,
        dynamics=dynamics,
        dynamics_params=SIZES[dynamics],
        solver=args.solver,
        seasonality=None,
        n_rows=12,
        batch_size=128,
        learning_rate=0.04,
        validation_fraction=0.0,
        random_state=seed,
    )


def size(dynamics: str) -> int:
    """Number of parameters of the dynamics."""
    cls = plugins.get("dynamics", dynamics)
    return count(cls(1, n_inputs=1, **SIZES[dynamics]))


def error(model: ode.NeuralODEForecaster, X: pd.DataFrame, y: pd.Series) -> float:
    """Root mean squared error of one forecast over all samples after the trained ones."""
    wrong = model.predict(X[TRAINED:]) - y[TRAINED:]
    return float(np.sqrt((wrong**2).mean()) / y[TRAINED:].std(ddof=0))


def main() -> None:
    """Train each dynamics from some seeds and print its normalised errors."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=list(COLUMNS))
    parser.add_argument("--data", type=Path, default=SHARED / "data")
    parser.add_argument("--horizon", type=float, default=30)
    parser.add_argument("--solver", default="rk4")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", choices=list(SIZES))
    args = parser.parse_args()
    torch.set_num_threads(1)
    X, y = read(args.name, args.data)
    for dynamics in [args.only] if args.only else list(SIZES):
        errors, begun = [], time.process_time()
        for seed in range(args.seeds):
            model = forecaster(dynamics, seed, args).fit(X[:TRAINED], y[:TRAINED])
            errors.append(error(model, X, y))
            print("   ", seed, f"{errors[-1]:.4f}", flush=True)
        print(
            f"{args.name} {dynamics} parameters {size(dynamics)} normalised RMSE "
            f"{' '.join(f'{e:.4f}' for e in errors)}, mean {np.mean(errors):.4f}, "
            f"CPU seconds {time.process_time() - begun:.0f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
