"""Laws of SciPy's methods behind the package's interface."""

from __future__ import annotations

import math
from functools import cache
from importlib import import_module

import pytest
import torch
from torch import Tensor, nn

from odeseries.errors import SolverError
from odeseries.interfaces import Dynamics, Solver
from odeseries.plugins import get
from odeseries.solvers import solve
from odeseries.solvers.scipy import METHODS
from tests.ode_problems import IVPS, STIFF
from tests.problems import ROTATION, SEASONAL, Problem
from tests.test_solvers import private_times

F64 = torch.float64
NAMES = [f"torchdiffeq:{name}" for name in METHODS]
IMPLICIT = [f"torchdiffeq:scipy_{name}" for name in ("radau", "bdf", "lsoda")]
NAN = {"on_failure": "nan"}


class Net(Dynamics):
    """A fixed field of two inputs, in single precision."""

    def __init__(self, dim: int) -> None:
        super().__init__(dim)
        self.weight = nn.Parameter(torch.linspace(-1.5, 1.5, dim * dim).reshape(dim, dim))

    def forward(self, t: Tensor, state: Tensor, inputs: Tensor | None = None) -> Tensor:
        """Turn and squash."""
        return torch.tanh(state @ self.weight) - 50 * state + torch.cos(t)


@pytest.mark.parametrize("direction", [1, -1])
@pytest.mark.parametrize("problem", [ROTATION, SEASONAL], ids=lambda p: p.name)
@pytest.mark.parametrize("solver", NAMES)
def test_states_at_private_times_are_right(solver: str, problem: Problem, direction: int) -> None:
    """Between the steps as well."""
    times = private_times(direction, n_times=8)
    ys = solve(problem.field, problem.y0, times, solver=solver, rtol=1e-5, atol=1e-6).ys
    torch.testing.assert_close(ys, problem.solution(times), rtol=2e-3, atol=2e-4)


@pytest.mark.parametrize("solver", NAMES)
def test_a_row_is_what_scipy_says_of_it(solver: str) -> None:
    """To a thousandth of the tolerance: the Jacobian is another one."""
    problem = IVPS[0]
    found = solve(problem.field, problem.y0, problem.times, solver=solver, rtol=1e-5, atol=1e-5)
    right = problem.scipy(METHODS[solver.split(":")[1]].method, 1e-5)
    torch.testing.assert_close(found.ys[0], right, rtol=0, atol=1e-8)


@cache
def stiff_places() -> Tensor:
    """Places of the stiff oscillator, to six digits."""
    return STIFF.scipy("LSODA", 1e-8)[:, 0]


@pytest.mark.parametrize("solver", IMPLICIT)
def test_the_stiff_van_der_pol_is_solved(solver: str) -> None:
    """In hundreds of steps, where explicit methods would take a million."""
    found = solve(STIFF.field, STIFF.y0, STIFF.times, solver=solver, rtol=1e-6, atol=1e-8)
    torch.testing.assert_close(found.ys[0, :, 0], stiff_places(), rtol=3e-4, atol=3e-4)
    assert int(found.stats.accepted) < 1000


@pytest.mark.parametrize("solver", NAMES)
def test_a_row_is_the_same_alone_and_among_others(solver: str) -> None:
    """Whether the field is asked for the row by itself or for the whole batch."""
    net, y0 = Net(2), torch.tensor([[1.0, 0.0], [1e3, -1e2], [0.0, 1e-6]])
    times = torch.tensor([[0.0, 0.1, 1.0], [0.0, -0.01, -0.02], [5.0, 5.0, 9.0]])
    options = {"solver": solver, "rtol": 1e-4, "atol": 1e-5}
    with torch.no_grad():
        together = solve(net, y0, times, **options)
        as_batch = solve(net.forward, y0, times, **options)
        for row in range(3):
            own = slice(row, row + 1)
            alone = solve(net, y0[own], times[own], **options)
            assert torch.equal(alone.ys, together.ys[own])
            assert torch.equal(alone.stats.nfe, together.stats.nfe[own])
    torch.testing.assert_close(as_batch.ys, together.ys, rtol=1e-5, atol=1e-6)
    assert together.ys.dtype == torch.float32


@pytest.mark.parametrize("solver", NAMES)
def test_rows_that_know_themselves_are_told_apart(solver: str) -> None:
    """A field with a constant for every row is asked for all rows."""
    rates = torch.tensor([[1.0], [3.0]], dtype=F64)
    times = torch.tensor([0.0, 0.5, 1.0], dtype=F64)
    ys = solve(lambda t, y: -rates * y, torch.ones(2, 1, dtype=F64), times, solver=solver).ys
    torch.testing.assert_close(ys[..., 0], torch.exp(-rates * times), rtol=5e-3, atol=1e-3)


FAILURES = [
    ("a wall of NaN", lambda t, y: torch.where(t > 0.5, math.nan, -y), Solver.NON_FINITE),
    ("a start of NaN", lambda t, y: y * math.nan, Solver.NON_FINITE),
    ("a square", lambda t, y: y**2, Solver.BLOW_UP),
    ("hurry", lambda t, y: 1e4 * torch.cos(1e4 * t) + 0 * y, Solver.STEP_BUDGET),
]


@pytest.mark.parametrize(("name", "field", "code"), FAILURES, ids=lambda x: x)
@pytest.mark.parametrize("solver", NAMES)
def test_failures_are_told_apart(solver: str, name: str, field: object, code: int) -> None:
    """Beside a row that does nothing, which stays right."""
    y0, times = torch.ones(2, 1, dtype=F64), torch.tensor([[0.0, 0.1, 4.0], [1.0, 1.0, 1.0]])
    budget = 50 if code == Solver.STEP_BUDGET else 10_000
    found = solve(field, y0, times, solver=solver, max_steps=budget, rtol=1e-4, **NAN)
    assert found.status.tolist() == [code, Solver.OK]
    assert torch.isnan(found.ys[0]).all()
    assert (found.ys[1] == 1).all()


@pytest.mark.parametrize("solver", NAMES)
def test_one_failing_row_leaves_the_others_right(solver: str) -> None:
    """Its square grows beyond all bounds."""
    y0 = torch.tensor([[-0.5], [2.0], [0.1]], dtype=F64)
    times = torch.tensor([0.0, 0.4, 1.5], dtype=F64)
    found = solve(lambda t, y: y**2, y0, times, solver=solver, rtol=1e-4, atol=1e-6, **NAN)
    right = y0 / (1 - y0 * times)
    assert found.status.tolist() == [0, Solver.BLOW_UP, 0]
    torch.testing.assert_close(found.ys[[0, 2], :, 0], right[[0, 2]], rtol=5e-3, atol=0)


@pytest.mark.parametrize("solver", NAMES)
def test_evaluations_and_steps_are_counted(solver: str) -> None:
    """The Jacobian's among them, and the one that shows whether there is a graph is not."""
    calls = []

    def field(t: Tensor, y: Tensor) -> Tensor:
        calls.append(t)
        return -y

    with torch.no_grad():
        stats = solve(field, torch.ones(1, 2), torch.tensor([0.0, 3.0]), solver=solver).stats
    assert int(stats.nfe) == len(calls)
    assert 2 < int(stats.accepted) < len(calls)


@pytest.mark.parametrize("solver", NAMES)
def test_shape_and_dtype_are_kept(solver: str) -> None:
    """States of any shape, and no rows at all."""
    times, y0 = torch.tensor([0, 1, 2]), torch.ones(2, 2, 3)
    assert solve(lambda t, y: -y, y0, times, solver=solver).ys.shape == (2, 3, 2, 3)
    nothing = solve(lambda t, y: -y, y0[:0], torch.zeros(0, 3), solver=solver)
    assert nothing.ys.shape == (0, 3, 2, 3)
    assert nothing.ys.dtype == torch.float32


def test_a_graph_is_not_cut_in_silence() -> None:
    """Neither that of the states nor that of what the field has learned."""
    times = torch.tensor([0.0, 1.0])
    cases = [(Net(2), torch.ones(1, 2)), (ROTATION.field, torch.ones(1, 2, requires_grad=True))]
    for dynamics, y0 in cases:
        with pytest.raises(
            SolverError, match=r"Radau of SciPy leaves no graph.*'adjoint'.*no_grad"
        ):
            solve(dynamics, y0, times, solver="torchdiffeq:scipy_radau")
        with torch.no_grad():
            assert torch.isfinite(
                solve(dynamics, y0, times, solver="torchdiffeq:scipy_radau").ys
            ).all()


class Bent(Dynamics):
    """Two coordinates, two parameters, and the time."""

    def __init__(self) -> None:
        super().__init__(2)
        self.rate = nn.Parameter(torch.tensor([1.3, 0.7], dtype=F64))
        self.shift = nn.Parameter(torch.tensor(0.2, dtype=F64))

    def forward(self, t: Tensor, state: Tensor, inputs: Tensor | None = None) -> Tensor:
        """Nothing of which is linear."""
        return torch.sin(self.rate * state) + t * (state.flip(-1) + self.shift) / 4


@pytest.mark.parametrize("asked", ["rows", "batch"])
@pytest.mark.parametrize("solver", NAMES)
def test_the_adjoint_agrees_with_autograd(solver: str, asked: str) -> None:
    """In both directions, with a repeated time, for rows by themselves and in a batch."""
    times = torch.tensor([[0.0, 0.3, 0.3, 1.0], [2.0, 1.5, 0.7, 0.2]], dtype=F64)

    def gradients(solver: str, gradient: str) -> list[Tensor]:
        bent = Bent()
        y0 = torch.tensor([[0.5, -1.0], [1.5, 0.2]], dtype=F64, requires_grad=True)
        field = bent if asked == "rows" else bent.forward
        options = {"rtol": 1e-6, "atol": 1e-8, "gradient": gradient}
        ys = solve(field, y0, times, solver=solver, **options).ys
        return list(torch.autograd.grad(ys.square().sum(), [y0, bent.rate, bent.shift]))

    pairs = zip(gradients(solver, "adjoint"), gradients("dopri5", "autograd"), strict=True)
    assert max(float((a - b).norm() / b.norm()) for a, b in pairs) < 1e-4


@pytest.mark.parametrize("solver", IMPLICIT)
def test_a_stiff_field_has_gradients(solver: str) -> None:
    """Of relaxation towards a curve, at a rate of ten thousand."""
    rate = torch.tensor(1e4, dtype=F64, requires_grad=True)
    height = torch.tensor(2.0, dtype=F64, requires_grad=True)
    ys = solve(
        lambda t, y: -rate * (y - height * torch.cos(t)),
        torch.tensor([[2.0]], dtype=F64),
        torch.tensor([0.0, 1.0], dtype=F64),
        solver=solver,
        gradient="adjoint",
        max_steps=1000,
        rtol=1e-5,
        atol=1e-6,
    ).ys
    by_rate, by_height = torch.autograd.grad(ys[:, -1].sum(), [rate, height])
    assert float(by_height) == pytest.approx(math.cos(1), rel=1e-3)
    assert abs(float(by_rate)) < 1e-6


def test_the_adjoint_leaves_out_failed_rows() -> None:
    """The gradients are those of a batch without them."""
    y0, times = torch.tensor([[0.4], [50.0], [-0.2]], dtype=F64), torch.tensor([0.0, 1.0, 2.0])

    def gradient(rows: list[int]) -> Tensor:
        rate = torch.tensor(0.2, dtype=F64, requires_grad=True)
        options = {"solver": "torchdiffeq:scipy_radau", "gradient": "adjoint", **NAN}
        ys = solve(lambda t, y: torch.exp(rate * y**2) - 1, y0[rows], times, **options).ys
        ys[torch.isfinite(ys)].sum().backward()
        return rate.grad

    torch.testing.assert_close(gradient([0, 1, 2]), gradient([0, 2]), rtol=1e-6, atol=0)


def test_the_adjoint_is_differentiated_once() -> None:
    """And says so."""
    y0 = torch.ones(1, 2, dtype=F64, requires_grad=True)
    times = torch.tensor([0.0, 1.0], dtype=F64)
    ys = solve(Bent(), y0, times, solver="torchdiffeq:scipy_rk45", gradient="adjoint").ys
    with pytest.raises(SolverError, match=r"SciPy with gradient='adjoint' .* once only"):
        torch.autograd.grad(ys.square().sum(), y0, create_graph=True)


def test_an_error_of_the_field_is_not_swallowed() -> None:
    """A ValueError says nothing about the integration, unless what was computed is not finite."""

    def field(t: Tensor, y: Tensor) -> Tensor:
        if float(t.max()) > 0.5:
            raise ValueError("an invariant of the field is broken")
        return -y

    with pytest.raises(ValueError, match="invariant of the field"):
        solve(field, torch.ones(1, 1), torch.tensor([0.0, 1.0]), solver=NAMES[0])


def test_every_method_of_scipy_is_offered() -> None:
    """A new release of SciPy must not go unnoticed."""
    theirs = set(import_module("scipy.integrate._ivp.ivp").METHODS)
    assert {get("solver", name).method for name in NAMES} == theirs


def test_adams_is_the_implicit_one() -> None:
    """And says what it is not."""
    adams = get("solver", "adams")
    assert adams is get("solver", "torchdiffeq:implicit_adams")
    assert "no adaptive" in adams.__doc__
    assert not adams.adaptive
    found = solve(ROTATION.field, ROTATION.y0, private_times(), solver="adams", n_steps=200).ys
    torch.testing.assert_close(found, ROTATION.solution(private_times()), rtol=0, atol=1e-5)
