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

KNOWN, TRAINED, TOTAL = 800, 1000, 5000
COLUMNS = {"silverbox": ("V1", "V2"), "f16_vibration": ("Acceleration1", "Acceleration2")}
# One position, and stretches of 30 samples; two, whose oscillations take longer to fade.
POSITIONS, HORIZONS = ({"silverbox": a, "f16_vibration": b} for a, b in ((1, 2), (30.0, 120.0)))
# Linear beyond its initial velocities: the signals grow threefold after the trained samples.
LINEAR = {1: {"hidden": 43, "depth": 0}, 2: {"hidden": 24, "depth": 0}}
OTHERS: dict[str, dict[str, Any]] = {
    "augmented": {"hidden": 22, "depth": 1, "extra_dims": 1},
    "mlp": {"hidden": 33, "depth": 1},
}
SHARED = Path(os.environ.get("ODESERIES_SHARED", Path(__file__).parents[4] / "shared"))


def read(name: str, folder: Path) -> tuple[pd.DataFrame, pd.Series]:
    """Input and output of one of the two sets, a sample a unit of time."""
    frame = pd.read_csv(folder / name / "data.csv.gz", nrows=TOTAL)
    given, measured = COLUMNS[name]
    return frame[[given]], frame[measured]


def sizes(dynamics: str, n_positions: int) -> dict[str, Any]:
    """Hyperparameters of a dynamics."""
    return LINEAR[n_positions] if dynamics == "second_order" else OTHERS[dynamics]


def forecaster(dynamics: str, seed: int, args: argparse.Namespace) -> ode.NeuralODEForecaster:
    """A forecaster that is trained over stretches of some samples, for a hundred steps."""
    n_positions = args.positions or POSITIONS[args.name]
    return ode.NeuralODEForecaster(
        args.horizon or HORIZONS[args.name],
        dynamics=dynamics,
        dynamics_params=sizes(dynamics, n_positions),
        extra_dims=n_positions - 1 if dynamics == "second_order" else 0,
        feedthrough=args.feedthrough,
        solver=args.solver,
        seasonality=None,
        n_rows=12,
        batch_size=128,
        learning_rate=args.rate,
        validation_fraction=0.0,
        random_state=seed,
    )


def size(dynamics: str, n_positions: int) -> int:
    """Number of parameters of the dynamics."""
    cls = plugins.get("dynamics", dynamics)
    dim = n_positions if dynamics == "second_order" else 1
    return count(cls(dim, n_inputs=1, **sizes(dynamics, n_positions)))


def error(model: ode.NeuralODEForecaster, X: pd.DataFrame, y: pd.Series) -> float:
    """Normalised root mean squared error of one forecast over all of some samples."""
    wrong = model.predict(X) - y
    return float(np.sqrt((wrong**2).mean()) / y.std(ddof=0))


def main() -> None:
    """Train each dynamics from some seeds and print its normalised errors."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=list(COLUMNS))
    parser.add_argument("--data", type=Path, default=SHARED / "data")
    parser.add_argument("--horizon", type=float)
    parser.add_argument("--positions", type=int, choices=list(LINEAR))
    parser.add_argument("--feedthrough", action="store_true")
    parser.add_argument("--rate", type=float, default=0.04)
    parser.add_argument("--solver", default="rk4")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", choices=["second_order", *OTHERS])
    parser.add_argument(
        "--part",
        choices=("valid", "test"),
        default="test",
        help="valid: train on the first 800 samples and judge by the next 200",
    )
    args = parser.parse_args()
    torch.set_num_threads(1)
    X, y = read(args.name, args.data)
    n, end = (KNOWN, TRAINED) if args.part == "valid" else (TRAINED, TOTAL)
    for dynamics in [args.only] if args.only else ["second_order", *OTHERS]:
        errors, begun = [], time.process_time()
        for seed in range(args.seeds):
            model = forecaster(dynamics, seed, args).fit(X[:n], y[:n])
            errors.append(error(model, X[n:end], y[n:end]))
            print("   ", seed, f"{errors[-1]:.4f}", flush=True)
        print(
            f"{args.name} {args.part} {dynamics} parameters "
            f"{size(dynamics, args.positions or POSITIONS[args.name])} normalised RMSE "
            f"{' '.join(f'{e:.4f}' for e in errors)}, mean {np.mean(errors):.4f}, "
            f"CPU seconds {time.process_time() - begun:.0f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
