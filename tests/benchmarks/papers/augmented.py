"""What a plain field can't do, and an augmented one can: paths that cross.

Dupont et al. (2019), section 4 and 5: the map of -1 to 1 and of 1 to -1, and a disc within a ring
that are to be separated by a plane after the flow. Trained and evaluated by adaptive steps, so
that no path jumps over another.

    python -m tests.benchmarks.papers.augmented
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from odeseries import solve
from odeseries.dynamics import MLP, Augmented
from odeseries.interfaces import Dynamics
from tests.benchmarks.papers.training import count, train

TIMES = torch.tensor([0.0, 1.0])
TOLERANCE = 1e-3
INNER, GAP, OUTER = 0.5, 1.0, 1.5


def flowed(dynamics: Dynamics, x: Tensor) -> tuple[Tensor, float]:
    """States at time 1 and the mean number of evaluations of a row."""
    solution = solve(
        dynamics, dynamics.lift(x), TIMES, solver="dopri5", rtol=TOLERANCE, atol=TOLERANCE
    )
    return solution.ys[:, 1], float(solution.stats.nfe.float().mean())


def crossing(make: Callable[[int], Dynamics], n_steps: int) -> tuple[float, float]:
    """Mean squared error of the map x to -x at -1 and 1, and the growth of evaluations."""
    dynamics = make(1)
    x = torch.tensor([[-1.0], [1.0]])
    work: list[float] = []

    def loss(step: int) -> Tensor:
        state, nfe = flowed(dynamics, x)
        work.append(nfe)
        return (dynamics.read(state) + x).square().mean()

    train(dynamics.parameters(), loss, n_steps, 0.01)
    return float(loss(n_steps).detach()), work[-1] / work[0]


def rings(n: int) -> tuple[Tensor, Tensor]:
    """Points of a disc (label 0) and of a ring around it (label 1, twice as many)."""
    labels = (torch.arange(n) % 3 > 0).float()
    low = torch.where(labels > 0, GAP, 0.0)
    high = torch.where(labels > 0, OUTER, INNER)
    radius = torch.sqrt(low**2 + (high**2 - low**2) * torch.rand(n))
    angle = 2 * torch.pi * torch.rand(n)
    return radius[:, None] * torch.stack([torch.cos(angle), torch.sin(angle)], 1), labels


def spheres(make: Callable[[int], Dynamics], n_steps: int) -> tuple[float, float]:
    """Accuracy on 3,000 further points, and the growth of evaluations."""
    dynamics = make(2)
    out = nn.Linear(dynamics.state_dim, 1)
    x, labels = rings(3000)
    work: list[float] = []

    def loss(step: int) -> Tensor:
        some = torch.randint(len(x), (64,))
        state, nfe = flowed(dynamics, x[some])
        work.append(nfe)
        return functional.binary_cross_entropy_with_logits(out(state)[:, 0], labels[some])

    train([*dynamics.parameters(), *out.parameters()], loss, n_steps, 0.01)
    x, labels = rings(3000)
    with torch.no_grad():
        found = out(flowed(dynamics, x)[0])[:, 0] > 0
    tenth = max(n_steps // 10, 1)
    growth = sum(work[-tenth:]) / sum(work[:tenth])
    return float((found == labels.bool()).float().mean()), growth


def main() -> None:
    """Fit both maps with both fields and print what came out."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--seeds", type=int, default=3)
    args = parser.parse_args()
    torch.set_num_threads(1)
    makers: dict[str, Callable[[int], Dynamics]] = {
        "augmented": lambda dim: Augmented(dim, extra_dims=2, hidden=32),
        "mlp": lambda dim: MLP(dim, hidden=33),
    }
    for title, task in {"crossing": crossing, "spheres": spheres}.items():
        for name, make in makers.items():
            begun, found = time.perf_counter(), []
            for seed in range(args.seeds):
                torch.manual_seed(seed)
                found.append(task(make, args.steps))
            errors = " ".join(f"{value:.5f}" for value, _ in found)
            growth = sum(ratio for _, ratio in found) / len(found)
            size = count(make(1 if title == "crossing" else 2))
            print(
                f"{title} {name} parameters {size}: {errors}, evaluations x {growth:.2f}, seconds "
                f"{time.perf_counter() - begun:.0f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
