"""Seconds of stochastic solves by method and kind of times: the package's own and torchsde's.

Run as ``python tests/benchmarks/sde_speed.py``. Every row is the median of some runs of one
training step, forward and backward, of the built-in ``sde`` dynamics on one thread. The variance
of Brownian motion in the middle of the first step is reported beside it: torchsde called directly
interpolates linearly there, and gives half of what is right.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import torch
import torchsde
from torch import Tensor

from odeseries.dynamics import SDE
from odeseries.interfaces import Dynamics
from odeseries.solvers import solve

BATCH, DIM, N_TIMES, N_STEPS, RUNS = 64, 8, 30, 50, 5


class Walk(Dynamics):
    """dX = dW."""

    noise_type = "diagonal"

    def forward(self, t: Tensor, state: Tensor, inputs: Tensor | None = None) -> Tensor:
        """Stand still."""
        return torch.zeros_like(state)

    def diffusion(self, t: Tensor, state: Tensor, inputs: Tensor | None = None) -> Tensor:
        """Take the noise as it is."""
        return torch.ones_like(state)


class Direct(torch.nn.Module):
    """A dynamics as torchsde wants it."""

    noise_type, sde_type = "diagonal", "ito"

    def __init__(self, dynamics: Dynamics) -> None:
        super().__init__()
        self.dynamics = dynamics

    def f(self, t: Tensor, y: Tensor) -> Tensor:
        """Drift."""
        return self.dynamics(t, y)

    def g(self, t: Tensor, y: Tensor) -> Tensor:
        """Diffusion."""
        return self.dynamics.diffusion(t, y)


Method = Callable[[Dynamics, Tensor, Tensor], Tensor]


def ours(solver: str) -> Method:
    """A method behind ``solve``."""
    return lambda dynamics, y0, times: (
        solve(dynamics, y0, times, solver=solver, n_steps=N_STEPS, seed=0).ys
    )


def direct(method: str) -> Method:
    """Call torchsde on the union of all times, as it must be for private ones."""

    def called(dynamics: Dynamics, y0: Tensor, times: Tensor) -> Tensor:
        union, where = torch.unique(times, return_inverse=True)
        path = torchsde.sdeint(Direct(dynamics), y0, union, method=method, dt=1 / N_STEPS)
        rows = torch.arange(len(y0))[:, None].expand_as(where.expand(len(y0), -1))
        return path[where.expand(len(y0), -1), rows]

    return called


METHODS = {
    "euler_maruyama": ours("euler_maruyama"),
    "milstein": ours("milstein"),
    "torchsde:euler": ours("torchsde:euler"),
    "torchsde:milstein": ours("torchsde:milstein"),
    "torchsde:srk": ours("torchsde:srk"),
    "torchsde itself, euler": direct("euler"),
    "torchsde itself, milstein": direct("milstein"),
    "torchsde itself, srk": direct("srk"),
}


def seconds(method: Method, times: Tensor) -> float:
    """Median of some training steps."""
    torch.manual_seed(0)
    dynamics, y0, taken = SDE(DIM), torch.randn(BATCH, DIM), []
    for _ in range(RUNS):
        start = time.perf_counter()
        method(dynamics, y0, times).square().mean().backward()
        taken.append(time.perf_counter() - start)
    return statistics.median(taken)


def variance(method: Method) -> float:
    """Of Brownian motion in the middle of its first step, relative to the right one."""
    middle = 0.5 / N_STEPS
    times = torch.tensor([0.0, middle, 1.0], dtype=torch.float64)
    with torch.no_grad():
        path = method(Walk(1), torch.zeros(20_000, 1, dtype=torch.float64), times)
    return float(path[:, 1].var()) / middle


def main() -> None:
    """Print the table."""
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(0)
    private = torch.rand(BATCH, N_TIMES, generator=generator, dtype=torch.float64).sort(1).values
    private[:, 0], private[:, -1] = 0, 1
    print(f"batch {BATCH}, dim {DIM}, {N_TIMES} times, {N_STEPS} steps, torch {torch.__version__}")
    print(f"{'method':28}{'shared s':>10}{'private s':>11}{'variance':>10}")
    for name, method in METHODS.items():
        shared, own = seconds(method, private[0]), ""
        if not name.startswith("torchsde:"):
            own = f"{seconds(method, private):.3f}"
        print(f"{name:28}{shared:10.3f}{own:>11}{variance(method):10.3f}", flush=True)


if __name__ == "__main__":
    main()
