"""What a plain field can't do, and an augmented one can: paths that cross.

Dupont et al. (2019), section 4 and 5: the map of -1 to 1 and of 1 to -1, and a disc within a ring
that are to be separated by a plane after the flow. Trained and evaluated by adaptive steps, so
that no path jumps over another. Evaluations are counted before and after training, on the same
points, at a tolerance at which their number tells of the field and not of the shortest solve.

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
TOLERANCE, COUNTED = 1e-3, 1e-5
INNER, GAP, OUTER = 0.5, 1.0, 1.5


def flowed(dynamics: Dynamics, x: Tensor) -> Tensor:
    """States at time 1."""
    lifted = dynamics.lift(x)
    return solve(dynamics, lifted, TIMES, solver="dopri5", rtol=TOLERANCE, atol=TOLERANCE).ys[:, 1]


@torch.no_grad()
def work(dynamics: Dynamics, x: Tensor) -> float:
    """Mean number of evaluations of a row."""
    lifted = dynamics.lift(x)
    stats = solve(dynamics, lifted, TIMES, solver="dopri5", rtol=COUNTED, atol=COUNTED).stats
    return float(stats.nfe.float().mean())


def crossing(make: Callable[[int], Dynamics], n_steps: int) -> tuple[float, float, float]:
    """Mean squared error of the map x to -x at -1 and 1, and evaluations before and after."""
    dynamics = make(1)
    x = torch.tensor([[-1.0], [1.0]])
    before = work(dynamics, x)

    def loss(step: int) -> Tensor:
        return (dynamics.read(flowed(dynamics, x)) + x).square().mean()

    train(dynamics.parameters(), loss, n_steps, 0.01)
    return float(loss(n_steps).detach()), before, work(dynamics, x)


def rings(n: int) -> tuple[Tensor, Tensor]:
    """Points of a disc (label 0) and of a ring around it (label 1, twice as many)."""
    labels = (torch.arange(n) % 3 > 0).float()
    low = torch.where(labels > 0, GAP, 0.0)
    high = torch.where(labels > 0, OUTER, INNER)
    radius = torch.sqrt(low**2 + (high**2 - low**2) * torch.rand(n))
    angle = 2 * torch.pi * torch.rand(n)
    return radius[:, None] * torch.stack([torch.cos(angle), torch.sin(angle)], 1), labels


def spheres(make: Callable[[int], Dynamics], n_steps: int) -> tuple[float, float, float]:
    """Accuracy on 3,000 further points, and evaluations on 300 of them before and after."""
    dynamics = make(2)
    out = nn.Linear(dynamics.state_dim, 1)
    x, labels = rings(3000)
    new, right = rings(3000)
    before = work(dynamics, new[:300])

    def loss(step: int) -> Tensor:
        some = torch.randint(len(x), (64,))
        score = out(flowed(dynamics, x[some]))[:, 0]
        return functional.binary_cross_entropy_with_logits(score, labels[some])

    train([*dynamics.parameters(), *out.parameters()], loss, n_steps, 0.01)
    with torch.no_grad():
        found = out(flowed(dynamics, new))[:, 0] > 0
    return float((found == right.bool()).float().mean()), before, work(dynamics, new[:300])


def main() -> None:
    """Fit both maps with both fields and print what came out."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", choices=["crossing", "spheres"])
    args = parser.parse_args()
    torch.set_num_threads(1)
    makers: dict[str, Callable[[int], Dynamics]] = {
        "augmented": lambda dim: Augmented(dim, extra_dims=2, hidden=32),
        "mlp": lambda dim: MLP(dim, hidden=33),
    }
    tasks = {"crossing": crossing, "spheres": spheres}
    for title in [args.only] if args.only else list(tasks):
        task = tasks[title]
        for name, make in makers.items():
            begun, found = time.process_time(), []
            for seed in range(args.seeds):
                torch.manual_seed(seed)
                found.append(task(make, args.steps))
            errors = " ".join(f"{value:.5f}" for value, _, _ in found)
            growths = [after / before for _, before, after in found]
            size = count(make(1 if title == "crossing" else 2))
            print(
                f"{title} {name} parameters {size}: {errors}, evaluations x "
                f"{' '.join(f'{g:.2f}' for g in growths)}, mean {sum(growths) / len(found):.2f}, "
                f"CPU seconds {time.process_time() - begun:.0f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
