"""Laws of leapfrog: energy, symplecticity, order for any field in two halves, rows, failures."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from odeseries.dynamics import Hamiltonian, SecondOrder
from odeseries.errors import SolverError
from odeseries.interfaces import Solver
from odeseries.solvers import solve
from tests.ode_problems import kepler
from tests.problems import PROBLEMS, ROTATION, SEASONAL, Problem
from tests.test_solvers import largest_error, private_times

F64 = torch.float64
LEAPFROG = {"solver": "leapfrog"}
ECCENTRICITY = 0.3


def spring(t: Tensor, y: Tensor) -> Tensor:
    """Of period 2 pi."""
    return torch.cat([y[..., 1:], -y[..., :1]], -1)


def damped(t: Tensor, y: Tensor) -> Tensor:
    """A spring that loses energy and is driven."""
    q, p = y.chunk(2, -1)
    return torch.cat([p, torch.cos(t) - q - 0.3 * p], -1)


def product(t: Tensor, y: Tensor) -> Tensor:
    """Hamilton's equations of (q^2 + 1) (p^2 + 1) / 2, which does not separate."""
    q, p = y.chunk(2, -1)
    return torch.cat([p * (q**2 + 1), -q * (p**2 + 1)], -1)


def spring_energy(y: Tensor) -> Tensor:
    """Kinetic and potential."""
    return y.square().sum(-1) / 2


def kepler_energy(y: Tensor) -> Tensor:
    """The same of a planet."""
    return y[..., 2:].square().sum(-1) / 2 - 1 / y[..., :2].norm(dim=-1)


def product_energy(y: Tensor) -> Tensor:
    """Of ``product``."""
    return (y[..., 0] ** 2 + 1) * (y[..., 1] ** 2 + 1) / 2


ORBIT = (1 - ECCENTRICITY, 0.0, 0.0, math.sqrt((1 + ECCENTRICITY) / (1 - ECCENTRICITY)))
CONSERVATIVE = [
    pytest.param(spring, (1.0, 0.0), spring_energy, 2 * math.pi / 100, id="spring"),
    pytest.param(kepler, ORBIT, kepler_energy, 2 * math.pi / 200, id="kepler"),
    pytest.param(product, (1.0, 1.0), product_energy, 3.1 / 100, id="product"),
]
Field = Callable[[Tensor, Tensor], Tensor]


def energy_errors(
    field: Field, start: tuple[float, ...], energy: Field, step: float, n_steps: int
) -> Tensor:
    """Relative errors of the energy at the start and after every step."""
    times = step * torch.arange(n_steps + 1, dtype=F64)
    with torch.no_grad():
        y0 = torch.tensor([start], dtype=F64)
        ys = solve(field, y0, times, **LEAPFROG, step=step, max_steps=n_steps + 1).ys[0]
    return energy(ys) / energy(ys[0]) - 1


def drift(errors: Tensor) -> float:
    """Change over the whole run of the line fitted to the errors."""
    place = torch.linspace(-0.5, 0.5, len(errors), dtype=F64)
    return float((place * errors).sum() / place.square().sum())


@pytest.mark.parametrize(("field", "start", "energy", "step"), CONSERVATIVE)
def test_energy_stays(field: Field, start: tuple[float, ...], energy: Field, step: float) -> None:
    """Within 1e-3 over 1,000 steps; the fitted line rises by less than a tenth of that."""
    errors = energy_errors(field, start, energy, step, 1000)
    assert float(errors.abs().max()) < 1e-3
    assert abs(drift(errors)) < 1e-4


@pytest.mark.slow
@pytest.mark.parametrize(("field", "start", "energy", "step"), CONSERVATIVE)
def test_energy_stays_for_ten_thousand_steps(
    field: Field, start: tuple[float, ...], energy: Field, step: float
) -> None:
    """Ten times as long, and the line is ten times as flat."""
    errors = energy_errors(field, start, energy, step, 10_000)
    assert float(errors.abs().max()) < 1e-3
    assert abs(drift(errors)) < 2e-5


def test_a_step_is_kick_drift_kick() -> None:
    """Of the planet, written out."""
    h, y = 0.05, torch.tensor([ORBIT], dtype=F64)
    q, p = y.chunk(2, -1)
    for _ in range(7):
        p = p + h / 2 * kepler(torch.zeros(1), torch.cat([q, p], -1))[..., 2:]
        q = q + h * p
        p = p + h / 2 * kepler(torch.zeros(1), torch.cat([q, p], -1))[..., 2:]
    found = solve(kepler, y, torch.tensor([0.0, 7 * h], dtype=F64), **LEAPFROG, n_steps=7).ys
    torch.testing.assert_close(found[:, -1], torch.cat([q, p], -1), rtol=1e-14, atol=1e-14)


@pytest.mark.parametrize(("field", "size"), [(kepler, 4), (product, 2)], ids=["kepler", "product"])
def test_the_flow_is_symplectic(field: Field, size: int) -> None:
    """The Jacobian J of the states at the end fulfils J' S J = S with the unit symplectic S."""
    times = torch.tensor([0.0, 1.0], dtype=F64)

    def end(start: Tensor) -> Tensor:
        return solve(field, start[None], times, **LEAPFROG, n_steps=40).ys[0, -1]

    jacobian = torch.autograd.functional.jacobian(end, torch.tensor(ORBIT[4 - size :], dtype=F64))
    unit = torch.eye(size // 2, dtype=F64)
    nothing = torch.zeros_like(unit)
    form = torch.cat([torch.cat([nothing, unit], 1), torch.cat([-unit, nothing], 1)])
    # The iteration for fields that do not separate leaves what it has not converged to.
    precision = 1e-12 if field is kepler else 1e-5
    torch.testing.assert_close(jacobian.T @ form @ jacobian, form, rtol=0, atol=precision)


def paired(problem: Problem) -> Problem:
    """The same problem, with the coordinates twice where their number is odd."""
    if problem.y0.shape[1] % 2 == 0:
        return problem
    return replace(problem, y0=torch.cat([problem.y0, problem.y0], 1))


def observed_order(problem: Problem, direction: int) -> float:
    """Of the largest error at private times between the steps too."""
    times = private_times(direction)
    coarse, fine = (largest_error(problem, times, **LEAPFROG, n_steps=n) for n in (80, 160))
    return math.log2(coarse / fine)


@pytest.mark.parametrize("direction", [1, -1])
@pytest.mark.parametrize("problem", [paired(p) for p in PROBLEMS], ids=lambda p: p.name)
def test_observed_order_is_two_for_any_field(problem: Problem, direction: int) -> None:
    """Whatever the halves depend on."""
    assert observed_order(problem, direction) == pytest.approx(2, abs=0.2)


@pytest.mark.parametrize("direction", [1, -1])
@pytest.mark.parametrize("field", [spring, damped, product], ids=lambda f: f.__name__)
def test_observed_order_is_two_on_oscillators(field: Field, direction: int) -> None:
    """Against rk4 at steps that leave no error of it."""
    times, y0 = private_times(direction), ROTATION.y0
    right = solve(field, y0, times, n_steps=1000).ys
    coarse, fine = (
        float((solve(field, y0, times, **LEAPFROG, n_steps=n).ys - right).abs().max())
        for n in (60, 120)
    )
    assert math.log2(coarse / fine) == pytest.approx(2, abs=0.2)


@pytest.mark.parametrize(("field", "work"), [(spring, 3), (damped, 7)], ids=["spring", "damped"])
def test_evaluations_are_counted(field: Field, work: int) -> None:
    """Three a step where the halves depend on each other alone, otherwise seven."""
    calls = []

    def seen(t: Tensor, y: Tensor) -> Tensor:
        calls.append(t)
        return field(t, y)

    times = torch.tensor([[0.0, 0.6, 1.0], [0.0, 2.0, 3.0]], dtype=F64)
    stats = solve(seen, ROTATION.y0[:2], times, **LEAPFROG, step=0.5).stats
    # What the first step of the damped field tries in vain is counted as well.
    extra = 2 if field is damped else 0
    assert stats.accepted.tolist() == [2, 6]
    assert stats.nfe.tolist() == [1 + extra + 2 * work, 1 + extra + 6 * work]
    assert len(calls) == int(stats.nfe.max())


@pytest.mark.parametrize("field", [kepler, damped], ids=lambda f: f.__name__)
def test_a_row_depends_neither_on_companions_nor_on_other_times(field: Field) -> None:
    """Bit for bit: alone, among others, with fewer times."""
    times = private_times()
    y0 = torch.tensor([ORBIT, (2.0, 0.0, 0.1, 0.5), (0.5, 0.5, -1.0, 1.0)], dtype=F64)
    together = solve(field, y0, times, **LEAPFROG, step=0.03).ys
    for row in range(3):
        own, fewer = slice(row, row + 1), [0, 4, 11]
        alone = solve(field, y0[own], times[own], **LEAPFROG, step=0.03).ys
        some = solve(field, y0[own], times[own][:, fewer], **LEAPFROG, step=0.03).ys
        assert torch.equal(alone, together[own])
        assert torch.equal(some, alone[:, fewer])


def test_repeats_and_rows_without_a_span() -> None:
    """Repeats give equal states; a row that never moves keeps its state exactly."""
    times = torch.tensor([[0.0, 0.0, 1.0, 1.0], [3.0] * 4], dtype=F64)
    ys = solve(damped, ROTATION.y0[:2], times, **LEAPFROG, n_steps=10).ys
    assert torch.equal(ys[0, 0], ys[0, 1])
    assert torch.equal(ys[0, 2], ys[0, 3])
    assert torch.equal(ys[1], ROTATION.y0[1].expand(4, 2))


@pytest.mark.parametrize("field", [spring, damped], ids=lambda f: f.__name__)
def test_the_way_back_ends_at_the_start(field: Field) -> None:
    """To rounding where a step is its own inverse, and to the order otherwise."""
    times = torch.tensor([0.0, 3.0], dtype=F64)
    there = solve(field, ROTATION.y0, times, **LEAPFROG, n_steps=100).ys[:, -1]
    back = solve(field, there, times.flip(0), **LEAPFROG, n_steps=100).ys[:, -1]
    precision = 1e-13 if field is spring else 1e-4
    torch.testing.assert_close(back, ROTATION.y0, rtol=0, atol=precision)


@pytest.mark.parametrize("field", [spring, damped, product], ids=lambda f: f.__name__)
def test_gradients_are_right(field: Field) -> None:
    """With respect to states and a parameter, with a repeat and both directions."""
    times = torch.tensor([[0.0, 0.3, 0.3, 1.0], [2.0, 1.5, 0.7, 0.2]], dtype=F64)

    def states(y0: Tensor, rate: Tensor) -> Tensor:
        return solve(lambda t, y: rate * field(t, y), y0, times, **LEAPFROG, n_steps=4).ys

    y0 = torch.tensor([[0.5, -1.0], [1.5, 0.2]], dtype=F64, requires_grad=True)
    rate = torch.tensor(0.7, dtype=F64, requires_grad=True)
    assert torch.autograd.gradcheck(states, (y0, rate))


@pytest.mark.parametrize("gradient", ["autograd", "checkpoint", "adjoint"])
@pytest.mark.parametrize("half", [0, 1], ids=["velocity by position", "force by velocity"])
def test_what_is_zero_yet_has_a_gradient(half: int, gradient: Any) -> None:
    """The one that it has in the limit, where the equations are seen to be implicit."""
    start = torch.tensor([[1.0, 0.3]], dtype=torch.float64)
    times = torch.tensor([0.0, 1.0], dtype=torch.float64)

    def found(value: float) -> Tensor:
        rate = torch.tensor(value, dtype=torch.float64, requires_grad=True)

        def field(t: Tensor, y: Tensor) -> Tensor:
            q, p = y.chunk(2, -1)
            return torch.cat([p + (1 - half) * rate * q, -q - half * rate * p], -1)

        options: dict[str, Any] = {"solver": "leapfrog", "n_steps": 10, "gradient": gradient}
        ys = solve(field, start, times, **options).ys
        (slope,) = torch.autograd.grad(ys[0, 1, 0], rate)
        return slope

    torch.testing.assert_close(found(0.0), found(1e-9), rtol=1e-6, atol=0)


def test_one_failing_row_of_64_leaves_63_right() -> None:
    """States and the gradient of a shared parameter are those of a batch without it."""
    y0 = torch.linspace(-1, 1, 128, dtype=F64).reshape(64, 2).clone()
    times = torch.tensor([0.0, 0.7, 2.0], dtype=F64)

    def orbits(y0: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        power = torch.tensor(2.0, dtype=F64, requires_grad=True)

        def field(t: Tensor, y: Tensor) -> Tensor:
            return torch.cat([y[..., 1:], -torch.exp(power * y[..., :1])], -1)

        found = solve(field, y0, times, **LEAPFROG, n_steps=50, on_failure="nan")
        found.ys[torch.isfinite(found.ys)].sum().backward()
        return found.ys.detach(), found.status, power.grad

    good = [i for i in range(64) if i != 20]
    right, _, right_gradient = orbits(y0[good])
    y0[20] = 1e3
    ys, status, gradient = orbits(y0)
    assert status.tolist() == [Solver.NON_FINITE if i == 20 else Solver.OK for i in range(64)]
    assert torch.isnan(ys[20]).all()
    torch.testing.assert_close(ys[good], right, rtol=1e-12, atol=1e-14)
    torch.testing.assert_close(gradient, right_gradient, rtol=1e-12, atol=0)


@pytest.mark.parametrize(
    "options",
    [{"separable": True}, {}, {"dissipation": True}],
    ids=["separable", "general", "lossy"],
)
def test_learned_fields_are_integrated(options: dict[str, bool]) -> None:
    """Close to what rk4 gives."""
    dynamics = Hamiltonian(4, **options)
    y0, times = torch.linspace(-1, 1, 12).reshape(3, 4), torch.tensor([0.0, 0.4, 1.0])
    ys = solve(dynamics, y0, times, **LEAPFROG, n_steps=50).ys
    torch.testing.assert_close(ys, solve(dynamics, y0, times).ys, rtol=1e-3, atol=1e-3)


def test_second_order_dynamics_are_integrated() -> None:
    """Lifted to positions and velocities, damped as they begin."""
    dynamics = SecondOrder(3)
    y0, times = dynamics.lift(torch.ones(2, 3)), torch.tensor([0.0, 0.4, 1.0])
    ys = solve(dynamics, y0, times, **LEAPFROG, n_steps=100).ys
    torch.testing.assert_close(ys, solve(dynamics, y0, times).ys, rtol=1e-3, atol=1e-3)


def test_states_that_have_no_halves_are_refused() -> None:
    """With what to do instead."""
    with pytest.raises(SolverError, match=r"in two halves.*3 coordinates.*'rk4'"):
        solve(SEASONAL.field, torch.ones(2, 3), torch.arange(3.0), **LEAPFROG)
