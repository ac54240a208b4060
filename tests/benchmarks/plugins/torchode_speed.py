"""CPU time, work and error of torchode's methods beside the package's own, on private times.

OMP_NUM_THREADS=1 python tests/benchmarks/plugins/torchode_speed.py
"""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
from odeseries_torchode import Dopri5, Tsit5
from torch import Tensor, nn

import odeseries as ode

ROWS, N_TIMES, SPAN = 64, 50, 10.0
METHODS: dict[str, str | type[ode.Solver]] = {
    "dopri5 (built in)": "dopri5",
    "torchode:dopri5": Dopri5,
    "tsit5 (built in)": "tsit5",
    "torchode:tsit5": Tsit5,
}


class Net(nn.Module):
    """A learned field of two layers."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(2, 32), nn.Tanh(), nn.Linear(32, 2))

    def forward(self, t: Tensor, state: Tensor) -> Tensor:
        """Turn, and be bent a little."""
        turn = torch.stack([state[..., 1], -state[..., 0]], -1)
        out: Tensor = turn + 0.1 * self.net(state)
        return out


def oscillators(t: Tensor, state: Tensor) -> Tensor:
    """Van der Pol's, each row of a strength of its own, from gentle to abrupt."""
    strength = torch.linspace(0.1, 8.0, len(state), dtype=state.dtype)
    x, v = state.unbind(-1)
    return torch.stack([v, strength * (1 - x**2) * v - x], -1)


def measured(
    field: Callable[[Tensor, Tensor], Tensor], solver: str | type[ode.Solver], backward: bool
) -> tuple[float, float, float, float]:
    """CPU seconds (best of three), mean evaluations and steps of a row, largest error."""
    rng = torch.Generator().manual_seed(0)
    y0 = (torch.rand(ROWS, 2, generator=rng, dtype=torch.float64) + 0.5).requires_grad_(backward)
    times = SPAN * torch.rand(ROWS, N_TIMES, generator=rng, dtype=torch.float64).sort(1).values
    times[:, 0] = 0.0
    with torch.no_grad():
        right = ode.solve(field, y0, times, solver="dopri5", rtol=1e-11, atol=1e-12).ys
    best = float("inf")
    for _ in range(3):
        began = time.process_time()
        solution = ode.solve(field, y0, times, solver=solver, rtol=1e-5, atol=1e-6)
        if backward:
            solution.ys.sum().backward()
        best = min(best, time.process_time() - began)
    stats = solution.stats
    error = float((solution.ys.detach() - right).abs().max())
    steps = (stats.accepted + stats.rejected).double().mean()
    return best, float(stats.nfe.double().mean()), float(steps), error


def main() -> None:
    """Print a table."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    cases = {
        "Van der Pol, forward": (oscillators, False),
        "network, forward": (Net().double(), False),
        "network, with gradients": (Net().double(), True),
    }
    for case, (field, backward) in cases.items():
        print(case)
        for name, solver in METHODS.items():
            seconds, nfe, steps, error = measured(field, solver, backward)
            print(
                f"  {name:18} {seconds:7.3f} CPU s {nfe:8.1f} nfe {steps:7.1f} steps {error:8.1e}"
            )


if __name__ == "__main__":
    main()
