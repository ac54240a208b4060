"""Milliseconds of a training step by dimension, beside zuko's continuous flow.

    OMP_NUM_THREADS=1 python -m tests.benchmarks.density.step_speed --dims 2 13 30 64

Batches of 256, two hidden layers of 64, one thread; the median of the CPU time of single steps.
zuko's rows need ``pip install zuko``.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator

import numpy as np
import torch

from odeseries.cnf.bases import NormalBase
from odeseries.cnf.design import Design
from odeseries.cnf.rows import Rows
from odeseries.cnf.training import Schedule, Task
from odeseries.control import Control

BATCH = 256
WARM_UP = 1.0
"""Seconds of steps that are not counted: the first hundred of a process are slower than a fit's."""
ROUNDS = 5


def _task(objective: str, dim: int, divergence: str = "auto", dynamics: str = "fourier") -> Task:
    design = Design(dynamics, {"hidden": 64}, divergence, "rk4")
    flow = design.build(NormalBase(dim), dim, 0, {"n_steps": 4}, 0)
    x = torch.randn(4 * BATCH, dim, generator=torch.Generator().manual_seed(0))
    rows = Rows(x, x[:, :0], torch.ones(len(x)))
    schedule = Schedule(BATCH, 1e-3, 0.0, 1, 0.0, 0.0, 0.0, verbose=False)
    return Task(flow, rows, objective, schedule, 0, Control(), "speed")


def _own(objective: str, dim: int, **params: str) -> Callable[[], object]:
    task = _task(objective, dim, **params)
    batches: Iterator[Rows] = (b for epoch in task._epochs() for b in epoch)
    return lambda: task.loop._step(next(batches))


def _zuko(dim: int, *, exact: bool) -> Callable[[], object]:
    import zuko

    torch.manual_seed(0)
    flow = zuko.flows.CNF(dim, hidden_features=(64, 64), exact=exact)
    optimizer = torch.optim.Adam(flow.parameters(), 1e-3)
    x = torch.randn(BATCH, dim)

    def step() -> None:
        optimizer.zero_grad()
        loss = -flow().log_prob(x).mean()
        loss.backward()
        optimizer.step()

    return step


def _rows(dim: int, *, zuko: bool) -> dict[str, tuple[Callable[[], object], int]]:
    """Steps by name, and how many of each a round has."""
    rows = {
        "matching": (_own("flow_matching", dim), 60),
        "likelihood": (_own("likelihood", dim), 5),
        "hutchinson": (_own("likelihood", dim, divergence="hutchinson"), 4),
    }
    if zuko:
        rows["zuko exact"] = (_zuko(dim, exact=True), 1)
        rows["zuko hutchinson"] = (_zuko(dim, exact=False), 2)
    return rows


def _warm_up(step: Callable[[], object]) -> None:
    began = time.process_time()
    while time.process_time() - began < WARM_UP:
        step()


def _seconds(step: Callable[[], object]) -> float:
    started = time.process_time()
    step()
    return time.process_time() - started


def _medians(rows: dict[str, tuple[Callable[[], object], int]]) -> dict[str, float]:
    """Milliseconds of steps taken in turns, so that a slow moment of the machine is all rows'."""
    taken: dict[str, list[float]] = {name: [] for name in rows}
    for step, _ in rows.values():
        _warm_up(step)
    for _ in range(ROUNDS):
        for name, (step, count) in rows.items():
            taken[name] += [_seconds(step) for _ in range(count)]
    return {name: 1e3 * float(np.median(seconds)) for name, seconds in taken.items()}


def main() -> None:
    """Print a line for every dimension."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dims", nargs="+", type=int, default=[2, 13, 30, 64])
    parser.add_argument("--zuko", action="store_true", help="time zuko too")
    args = parser.parse_args()
    torch.set_num_threads(1)
    for dim in args.dims:
        found = _medians(_rows(dim, zuko=args.zuko))
        print(f"d = {dim}:", ", ".join(f"{k} {v:.2f}" for k, v in found.items()), flush=True)


if __name__ == "__main__":
    main()
