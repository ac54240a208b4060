"""Laws of torchsde's methods behind the package's interface, and their agreement with its own."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from odeseries.errors import SolverError
from odeseries.interfaces import Dynamics, Solver
from odeseries.plugins import get
from odeseries.solvers import row_seeds, solve
from odeseries.solvers.levy import SteppedNoise, Steps
from odeseries.solvers.torchsde import METHODS, Midpoint, Milstein, ReversibleHeun
from tests.sde_problems import (
    Brownian,
    Circle,
    Doomed,
    Geometric,
    OrnsteinUhlenbeck,
    ScalarGeometric,
    StratonovichGeometric,
)

F64 = torch.float64
TIMES = torch.tensor([0.0, 0.3, 0.31, 0.7777, 1.0], dtype=F64)


def geometric(method: type[Solver]) -> Geometric:
    """Geometric Brownian motion in a calculus that the method knows."""
    return Geometric(1) if "ito" in method.sde_types else StratonovichGeometric(1)


class Tilted(Dynamics):
    """Drift and diffusion with a parameter each, neither of them linear."""

    noise_type = "diagonal"

    def __init__(self, sde_type: str) -> None:
        super().__init__(2)
        self.sde_type = sde_type
        self.rates = nn.Parameter(torch.tensor([0.5, 0.8], dtype=F64))

    def forward(self, t: Tensor, state: Tensor, inputs: Tensor | None = None) -> Tensor:
        """Drift."""
        return self.rates[0] * state.sin()

    def diffusion(self, t: Tensor, state: Tensor, inputs: Tensor | None = None) -> Tensor:
        """Diffusion."""
        return self.rates[1] * (0.5 + state.cos())


def gradients(
    dynamics: Dynamics, solver: type[Solver], n_steps: int, gradient: str = "autograd"
) -> list[Tensor]:
    """Gradients to the parameters and to the initial states."""
    y0 = torch.linspace(0.5, 1.5, 8, dtype=F64).reshape(4, 2).requires_grad_()
    options = {"n_steps": n_steps, "seed": 1, "gradient": gradient}
    ys = solve(dynamics, y0, TIMES, solver=solver, **options).ys
    return list(torch.autograd.grad(ys.square().sum(), [dynamics.rates, y0]))


@pytest.mark.parametrize("name", METHODS)
def test_strong_order_on_geometric_brownian_motion(name: str) -> None:
    """Four times the steps divide the error by 4^order, at irregular times too."""
    method = METHODS[name]
    dynamics, y0 = geometric(method), torch.ones(1000, 1, dtype=F64)
    drift = 0.5 - (0.32 if dynamics.sde_type == "ito" else 0)
    errors = []
    for n_steps in (10, 40):
        options = {"n_steps": n_steps, "seed": 5}
        w = solve(Brownian(1), 0 * y0, TIMES, solver="torchsde:euler", **options).ys
        found = solve(dynamics, y0, TIMES, solver=f"torchsde:{name}", **options).ys
        exact = torch.exp(drift * TIMES[:, None] + 0.8 * w)
        errors.append((found - exact)[:, 1].square().mean().sqrt())
    # One noise is a commutative one, for which the reversible method has order 1.
    order = 1.0 if name == "reversible_heun" else method.order
    assert float(torch.log2(errors[0] / errors[1])) / 2 == pytest.approx(order, abs=0.25)


@pytest.mark.parametrize(
    ("own", "theirs"), [("milstein", "srk"), ("stochastic_heun", "midpoint"), ("milstein", "euler")]
)
def test_own_methods_agree_in_law(own: str, theirs: str) -> None:
    """Means and variances of the logarithm agree with theirs and with the right ones."""
    dynamics, y0 = geometric(get("solver", own)), torch.ones(4000, 1, dtype=F64)
    drift = 0.5 - (0.32 if dynamics.sde_type == "ito" else 0)
    for solver, seed in ((own, 0), (f"torchsde:{theirs}", 1)):
        ys = solve(dynamics, y0, TIMES, solver=solver, n_steps=50, seed=seed).ys
        log = ys[:, 1:, 0].clamp(min=1e-3).log()
        t = TIMES[1:]
        assert ((log.mean(0) - drift * t).abs() < 4 * 0.8 * (t / len(y0)).sqrt() + 0.01).all()
        assert ((log.var(0) / (0.64 * t) - 1).abs() < 4 * math.sqrt(2 / len(y0)) + 0.02).all()


def test_row_alone_equals_row_among_forty() -> None:
    """A row's path is that of its key: alone, and with 39 others of other spans."""
    keys = row_seeds(7, range(40))
    times = torch.linspace(1, 3, 40, dtype=F64)[:, None] * TIMES
    times[20:] = times[20:] / 2 + times[20:].square() / 2
    y0 = torch.linspace(-1, 1, 80, dtype=F64).reshape(40, 2)
    options = {"solver": "torchsde:srk", "step": 0.25}
    together = solve(OrnsteinUhlenbeck(2), y0, times, seed=keys, **options).ys
    for i in (3, 33):
        row = slice(i, i + 1)
        alone = solve(OrnsteinUhlenbeck(2), y0[row], times[row], seed=keys[row], **options).ys
        torch.testing.assert_close(alone[0], together[i], rtol=0, atol=1e-12)


@pytest.mark.parametrize("gradient", ["autograd", "adjoint"])
def test_global_generator_is_left_alone(gradient: str) -> None:
    """Neither read nor advanced, there and back."""
    found = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        before = torch.get_rng_state()
        found.append(gradients(Tilted("ito"), Milstein, 4, gradient)[0])
        assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(*found)


@pytest.mark.parametrize("method", [Milstein, Midpoint])
def test_adjoint_tends_to_autograd(method: type[Solver]) -> None:
    """The relative difference of the gradients falls with the step, and is small."""
    dynamics = Tilted("ito" if "ito" in method.sde_types else "stratonovich")
    differences = []
    for n_steps in (20, 320):
        exact = gradients(dynamics, method, n_steps)
        adjoint = gradients(dynamics, method, n_steps, "adjoint")
        pairs = zip(exact, adjoint, strict=True)
        differences.append(max(float((a - b).norm() / a.norm()) for a, b in pairs))
    assert differences[1] < differences[0] / 3
    assert differences[1] < 0.01


def test_adjoint_of_the_reversible_method_is_exact() -> None:
    """At any step its gradients are autograd's to rounding."""
    dynamics = Tilted("stratonovich")
    exact = gradients(dynamics, ReversibleHeun, 7)
    adjoint = gradients(dynamics, ReversibleHeun, 7, "adjoint")
    torch.testing.assert_close(adjoint, exact, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("kind", [Brownian, ScalarGeometric, Circle])
def test_noise_of_every_shape(kind: type[Dynamics], name: str) -> None:
    """Inner axes are kept; additive noise goes with either calculus; other misfits are refused."""
    dynamics, method = kind(2), METHODS[name]
    y0 = torch.ones(3, 2, 2, dtype=F64)
    options = {"solver": f"torchsde:{name}", "n_steps": 5, "seed": 0}
    fits = kind is Brownian or dynamics.sde_type in method.sde_types
    if fits and dynamics.noise_type in method.noise_types:
        assert solve(dynamics, y0, TIMES, **options).ys.shape == (3, 5, 2, 2)
    else:
        with pytest.raises(SolverError, match=f"{method.__name__} is a method for"):
            solve(dynamics, y0, TIMES, **options)


def test_areas_have_their_moments() -> None:
    """Increment, integral and area: variances h, h^3 / 3 and h^2 / 4, covariance h^2 / 2."""
    keys, n = row_seeds(0, range(30_000)), 30_000
    steps = Steps.of(torch.tensor([0.0, 1.0], dtype=F64), 2)
    like, forward = torch.zeros(n, 2, dtype=F64), torch.ones(n, dtype=torch.bool)
    noise = SteppedNoise((keys, forward), 2, steps, like, "foster")
    start, end = torch.tensor(0.5), torch.tensor(1.0)
    w, u, area = noise(start, end, return_U=True, return_A=True)
    again = noise(start, end)
    h, error = 0.5, 4 * math.sqrt(2 / n)
    assert torch.equal(w, again)
    assert float(w[:, 0].var() / h) == pytest.approx(1, abs=error)
    assert float(u[:, 0].var() / (h**3 / 3)) == pytest.approx(1, abs=error)
    assert float((w * u)[:, 0].mean() / (h**2 / 2)) == pytest.approx(1, abs=error)
    # The area's law has heavier tails than the normal: its kurtosis is 5.
    assert float(area[:, 0, 1].var() / (h**2 / 4)) == pytest.approx(1, abs=4 * math.sqrt(4 / n))
    assert torch.equal(area, -area.mT)
    assert noise(end, end).abs().max() == 0


def test_failed_row_leaves_the_others_right() -> None:
    """A row that blows up is NaN, the others are as alone, and gradients are finite."""
    dynamics = Doomed(1)
    y0 = torch.full((8, 1), 0.1, dtype=F64)
    y0[5] = 1e200
    keys, healthy = row_seeds(0, range(8)), torch.arange(8) != 5
    options = {"solver": "torchsde:milstein", "step": 0.05, "on_failure": "nan"}
    found = solve(dynamics, y0, TIMES, seed=keys, **options).ys
    alone = solve(dynamics, y0[healthy], TIMES, seed=keys[healthy], **options).ys
    assert found[5].isnan().all()
    torch.testing.assert_close(found[healthy], alone)
    found[healthy].sum().backward()
    assert torch.isfinite(dynamics.rate.grad)


def test_long_spans_repeats_and_rest() -> None:
    """1,200 steps, equal times, a row without a span and one back in time, all in one batch."""
    times = torch.tensor([[0.0, 1.0, 1.0, 1200.0], [2.0, 2.0, 2.0, 2.0], [0.0, -1.0, -1.0, -1200]])
    solution = solve(Brownian(1), torch.zeros(3, 1), times, solver="torchsde:euler", step=1, seed=0)
    assert torch.equal(solution.ys[:, 1], solution.ys[:, 2])
    assert (solution.ys[1] == 0).all()
    assert solution.stats.accepted.tolist() == [1200, 0, 1200]
    assert (solution.ys[[0, 2], 3].abs() < 5 * math.sqrt(1200)).all()
    assert solution.ys[0, 3] != solution.ys[2, 3]
    assert not solution.ys.requires_grad


def test_derivatives_of_the_diffusion_in_inference_mode() -> None:
    """Milstein's method does not become Euler's."""
    options = {"solver": "torchsde:milstein", "n_steps": 4, "seed": 0}
    y0 = torch.ones(3, 1, dtype=F64)
    expected = solve(Geometric(1), y0, TIMES, **options).ys
    with torch.inference_mode():
        found = solve(Geometric(1), y0.clone(), TIMES.clone(), **options).ys
    torch.testing.assert_close(found, expected)
