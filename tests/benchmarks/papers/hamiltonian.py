"""Energies of learned mechanics: spring, pendulum, two bodies.

Greydanus et al. (2019), tables 1 and 2. Systems, noise, numbers of trajectories, starts and
horizons of the test are the paper's. All are learned from states and their derivatives, as in the
paper: states of spring and pendulum are noisy. These two can be learned from noisy states alone,
too, by shooting.

    python -m tests.benchmarks.papers.hamiltonian spring
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from odeseries import solve
from odeseries.dynamics import MLP, Hamiltonian
from odeseries.interfaces import Dynamics
from tests.benchmarks.papers.training import count, train

N_TESTED = 15
RATE = 0.01
Field = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class System:
    """A mechanical system whose energy is known.

    Attributes
    ----------
    energy : callable
        From states (..., dim) to energies (...).
    starts, tests : callable
        Initial states (n, dim) of n trajectories to learn from, and to be foretold.
    span, n_times : float, int
        Of a trajectory to learn from.
    horizon, n_tested : float, int
        Of a trajectory to be foretold.
    n_trained, noise : int, float
        Number of trajectories to learn from, and standard deviation of what blurs their states.
    decay : float
        Weight decay of perceptrons in training.
    hidden : int
        Width of their layers.
    springs : bool
        Whether the learned energy has springs beside its perceptron.
    """

    dim: int
    energy: Callable[[Tensor], Tensor]
    starts: Callable[[int], Tensor]
    tests: Callable[[int], Tensor]
    span: float
    n_times: int
    horizon: float
    n_tested: int
    n_trained: int = 25
    noise: float = 0.1
    decay: float = 3.0
    hidden: int = 64
    springs: bool = True

    def field(self, t: Tensor, state: Tensor) -> Tensor:
        """Hamilton's equations."""
        with torch.enable_grad():
            at = state.detach().requires_grad_()
            (slope,) = torch.autograd.grad(self.energy(at).sum(), at)
        by_position, by_momentum = slope.chunk(2, -1)
        return torch.cat([by_momentum, -by_position], -1)

    def paths(self, field: Field, start: Tensor, span: float, n_times: int) -> Tensor:
        """Solutions by steps short enough to be exact, (n, n_times, dim)."""
        times = torch.linspace(0, span, n_times)
        return solve(field, start, times, n_steps=5 * n_times, on_failure="nan").ys


def on_circles(low: float, high: float) -> Callable[[int], Tensor]:
    """States on circles of random radius, in random directions drawn from a square."""

    def draw(n: int) -> Tensor:
        state = 2 * torch.rand(n, 2) - 1
        radius = low + (high - low) * torch.rand(n, 1)
        return radius * state / state.norm(dim=1, keepdim=True)

    return draw


def off_axes(n: int) -> Tensor:
    """States whose coordinates lie between .2 and 1, or between minus 1 and -.2."""
    state = 1.6 * torch.rand(n, 2) - 0.8
    return state + 0.2 * torch.sign(state)


def near_circular(n: int) -> Tensor:
    """Two bodies (x, x, y, y, and momenta) on orbits that are almost circles."""
    position = 0.5 + torch.rand(n, 2)
    radius = position.norm(dim=1, keepdim=True)
    velocity = torch.stack([-position[:, 1], position[:, 0]], 1) / (2 * radius**1.5)
    velocity = velocity * (1 + 0.05 * torch.randn(n, 1))
    pairs = torch.cat([position, velocity], 1)
    return torch.stack([pairs, -pairs], -1).flatten(1)


def two_body_energy(state: Tensor) -> Tensor:
    """Kinetic energy and gravity of two unit masses."""
    way = torch.stack([state[..., 0] - state[..., 1], state[..., 2] - state[..., 3]], -1)
    return state[..., 4:].square().sum(-1) / 2 - 1 / way.norm(dim=-1)


SYSTEMS = {
    "spring": System(
        2, lambda s: s.square().sum(-1), on_circles(0.1, 1.0), off_axes, 3.0, 30, 20.0, 100
    ),
    "pendulum": System(
        2,
        lambda s: 3 * (1 - torch.cos(s[..., 0])) + s[..., 1] ** 2,
        on_circles(1.3, 2.3),
        off_axes,
        3.0,
        45,
        20.0,
        100,
    ),
    "two_body": System(
        8,
        two_body_energy,
        near_circular,
        near_circular,
        20.0,
        50,
        25.0,
        500,
        n_trained=800,
        noise=0.0,
        decay=0.0,
        hidden=200,
        springs=False,
    ),
}
PAPER = {"spring": 3.8e-4, "pendulum": 2.5e-2, "two_body": 3.9e-5}


def observed(system: System) -> tuple[Tensor, Tensor]:
    """States to learn from, blurred, and their derivatives: (n_trained, n_times, dim)."""
    paths = system.paths(system.field, system.starts(system.n_trained), system.span, system.n_times)
    return paths + system.noise * torch.randn_like(paths), system.field(torch.zeros(1), paths)


def split(dynamics: Dynamics) -> tuple[list[Tensor], list[Tensor]]:
    """Parameters of perceptrons, and all others."""
    layers = [m for m in dynamics.modules() if isinstance(m, nn.Linear)]
    inside = [p for layer in layers for p in layer.parameters()]
    known = {id(p) for p in inside}
    return inside, [p for p in dynamics.parameters() if id(p) not in known]


def fit_by_states(dynamics: Dynamics, system: System, n_steps: int) -> None:
    """Learn from noisy states: their starts are learned with the field."""
    seen, _ = observed(system)
    times = torch.linspace(0, system.span, system.n_times)
    starts = nn.Parameter(seen[:, 0].clone())

    def loss(step: int) -> Tensor:
        return (solve(dynamics, starts, times, n_steps=15).ys - seen).square().mean()

    inside, others = split(dynamics)
    train([*others, starts], loss, n_steps, RATE, decayed=inside, decay=system.decay)


def fit_by_derivatives(dynamics: Dynamics, system: System, n_steps: int) -> None:
    """Learn from states and their derivatives, 200 of them a step."""
    states, slopes = (x.flatten(0, 1) for x in observed(system))
    zero = torch.zeros(1)

    def loss(step: int) -> Tensor:
        some = torch.randint(len(states), (200,))
        return (dynamics(zero, states[some]) - slopes[some]).square().mean()

    inside, others = split(dynamics)
    rate = RATE if system.noise else 0.3 * RATE
    train(others, loss, n_steps, rate, decayed=inside, decay=system.decay)


def energy_error(dynamics: Dynamics, system: System) -> float:
    """Mean squared difference of the energies along foretold and true paths."""
    torch.manual_seed(1000)
    start = system.tests(N_TESTED)
    with torch.no_grad():
        path = system.paths(dynamics, start, system.horizon, system.n_tested)
    difference = system.energy(path) - system.energy(start)[:, None]
    return float(difference.square().mean())


def main() -> None:
    """Train both fields and print their errors."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=list(SYSTEMS))
    parser.add_argument("--learn", choices=["derivatives", "states"], default="derivatives")
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--decay", type=float)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    args = parser.parse_args()
    torch.set_num_threads(1)
    system = SYSTEMS[args.name]
    if args.decay is not None:
        system = replace(system, decay=args.decay)
    fit = fit_by_derivatives if args.learn == "derivatives" else fit_by_states
    for cls in (Hamiltonian, MLP):
        found, begun = [], time.process_time()
        for seed in args.seeds:
            torch.manual_seed(seed)
            more = {"springs": system.springs} if cls is Hamiltonian else {}
            dynamics = cls(system.dim, hidden=system.hidden, **more)
            fit(dynamics, system, args.steps)
            found.append(energy_error(dynamics, system))
        each = " ".join(f"{error:.2e}" for error in found)
        print(
            f"{args.name} from {args.learn}, {cls.__name__} parameters {count(dynamics)} energy "
            f"error {each}, mean {sum(found) / len(found):.2e}, the paper's "
            f"{PAPER[args.name]:.1e}, CPU seconds {time.process_time() - begun:.0f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
