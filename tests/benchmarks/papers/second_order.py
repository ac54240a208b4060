"""Driven oscillators that were measured: silverbox and the vibrations of an F-16.

Norcliffe et al. (2020), sections 5.4 and 5.5: the first 1,000 samples train, the next 4,000 are
forecast, driven by the measured input.

    python -m tests.benchmarks.papers.second_order silverbox --data FOLDER
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from odeseries import solve
from odeseries.driving import Driven, InputPath
from odeseries.dynamics import MLP, Augmented, SecondOrder
from odeseries.interfaces import Dynamics
from tests.benchmarks.papers.training import count, train

TRAINED, TOTAL, SEGMENT = 1000, 5000, 25
RIDGE = 1e-3
"""Penalty on the squares of all parameters, the same for all; outputs have variance 1."""
COLUMNS = {"silverbox": ("V1", "V2"), "f16_vibration": ("Acceleration1", "Acceleration2")}


@dataclass(frozen=True)
class Series:
    """Input and output, (TOTAL, 1), centred and scaled by the first TRAINED samples."""

    inputs: Tensor
    outputs: Tensor

    @classmethod
    def read(cls, name: str, folder: Path) -> Series:
        """Read one of the two sets."""
        frame = pd.read_csv(folder / name / "data.csv.gz", nrows=TOTAL)
        scaled = []
        for column in COLUMNS[name]:
            x = frame[column].to_numpy()
            scaled.append((x - x[:TRAINED].mean()) / x[:TRAINED].std())
        inputs, outputs = (torch.tensor(x, dtype=torch.float32)[:, None] for x in scaled)
        return cls(inputs, outputs)


def make(name: str, hidden: int) -> Dynamics:
    """A dynamics of one output and one input."""
    if name == "second_order":
        return SecondOrder(1, n_inputs=1, hidden=hidden, depth=1 if hidden else 0)
    if name == "augmented":
        return Augmented(1, n_inputs=1, hidden=hidden, extra_dims=1, depth=1 if hidden else 0)
    return MLP(1, n_inputs=1, hidden=hidden, depth=1 if hidden else 0)


def simulated(dynamics: Dynamics, start: Tensor, inputs: Tensor) -> Tensor:
    """States under inputs (batch, n, 1), one sample after another, from the starts."""
    clock = torch.arange(inputs.shape[1], dtype=torch.float32)
    driven = Driven(dynamics, InputPath(clock.expand(len(inputs), -1), inputs))
    return solve(driven, start, clock, step=1.0, on_failure="nan").ys


def fit(dynamics: Dynamics, series: Series, n_steps: int) -> None:
    """Multiple shooting: segments from states of their own, which are to meet."""
    cuts = range(0, TRAINED, SEGMENT)
    # Every segment ends where the next one starts.
    inputs = torch.stack([series.inputs[i : i + SEGMENT + 1] for i in cuts])
    outputs = torch.stack([series.outputs[i : i + SEGMENT + 1] for i in cuts])
    starts = nn.Parameter(dynamics.lift(outputs[1:, 0]).detach())

    def loss(step: int) -> Tensor:
        first = dynamics.lift(outputs[:1, 0])
        states = simulated(dynamics, torch.cat([first, starts]), inputs)
        error = (dynamics.read(states) - outputs).square().mean()
        size = sum(p.square().sum() for p in dynamics.parameters())
        return error + (states[:-1, -1] - starts).square().mean() + RIDGE * size

    train([*dynamics.parameters(), starts], loss, n_steps, 0.02)


@torch.no_grad()
def errors(dynamics: Dynamics, series: Series) -> tuple[float, float]:
    """Normalised RMSE over the first samples and over those after them."""
    start = dynamics.lift(series.outputs[:1])
    path = dynamics.read(simulated(dynamics, start, series.inputs[None]))[0]
    out = []
    for part in (slice(TRAINED), slice(TRAINED, TOTAL)):
        wrong = (path[part] - series.outputs[part]).square().mean().sqrt()
        out.append(float(wrong / series.outputs[part].std()))
    return out[0], out[1]


def main() -> None:
    """Train each dynamics from three seeds and print its errors."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=list(COLUMNS))
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only")
    args = parser.parse_args()
    torch.set_num_threads(1)
    series = Series.read(args.name, args.data)
    widths = {"second_order": 16, "augmented": 22, "mlp": 33}
    for linear in (False, True):
        for name, hidden in widths.items():
            if args.only and name != args.only:
                continue
            found, begun = [], time.perf_counter()
            for seed in range(args.seeds):
                torch.manual_seed(seed)
                dynamics = make(name, 0 if linear else hidden)
                fit(dynamics, series, args.steps)
                found.append(errors(dynamics, series))
                print("   ", seed, found[-1], flush=True)
            seen, ahead = np.mean(found, 0)
            print(
                f"{args.name} {name} {'linear' if linear else 'perceptron'} "
                f"parameters {count(dynamics)} train {seen:.4f} forecast {ahead:.4f} "
                f"seconds {time.perf_counter() - begun:.0f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
