"""The package's own adaptive methods against SciPy's, and what becomes of a stiff problem."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache

import pytest
import torch
from torch import Tensor

from odeseries.errors import SolverError
from odeseries.interfaces import Solver
from odeseries.solvers import solve
from tests.ode_problems import IVP, IVPS, STIFF, van_der_pol

ADAPTIVE = ["dopri5", "tsit5"]
LADDER = (1e-3, 1e-6, 1e-10)
RUNGS = tuple(10.0**-k for k in range(3, 11))
PROBLEMS = pytest.mark.parametrize("problem", IVPS, ids=lambda p: p.name)
METHODS = pytest.mark.parametrize("solver", ADAPTIVE)


@cache
def scipy(name: str, method: str, tolerance: float) -> Tensor:
    """States of a problem by a method of SciPy."""
    (problem,) = (p for p in IVPS if p.name == name)
    return problem.scipy(method, tolerance)


def error(problem: IVP, states: Tensor) -> float:
    """Largest difference from DOP853 at a tolerance of 1e-12."""
    return float((states - scipy(problem.name, "DOP853", 1e-12)).abs().max())


def errors(solver: str, problem: IVP, tolerances: Sequence[float]) -> tuple[Tensor, Tensor]:
    """Errors of a method and of RK45 at equal relative and absolute tolerances, as logarithms."""
    ours = [error(problem, own(solver, problem, tolerance)) for tolerance in tolerances]
    theirs = [error(problem, scipy(problem.name, "RK45", x)) for x in tolerances]
    return torch.tensor(ours).log10(), torch.tensor(theirs).log10()


@cache
def own(solver: str, problem: IVP, tolerance: float) -> Tensor:
    """States by a method of the package."""
    options = {"solver": solver, "rtol": tolerance, "atol": tolerance}
    with torch.no_grad():
        return solve(problem.field, problem.y0, problem.times, **options).ys[0]


@PROBLEMS
@METHODS
def test_solutions_agree_at_tight_tolerances(solver: str, problem: IVP) -> None:
    """With the eighth-order method at the same tolerance of 1e-10."""
    right = scipy(problem.name, "DOP853", LADDER[-1])
    torch.testing.assert_close(own(solver, problem, LADDER[-1]), right, rtol=1e-6, atol=1e-6)


@PROBLEMS
@METHODS
def test_errors_are_those_of_rk45_or_less(solver: str, problem: IVP) -> None:
    """At most twice as large, in the geometric mean over seven decades of tolerances."""
    ours, theirs = errors(solver, problem, LADDER)
    assert float((ours - theirs).mean()) < math.log10(2)


@PROBLEMS
@METHODS
def test_errors_fall_with_the_tolerances(solver: str, problem: IVP) -> None:
    """At least four times for each tenfold, on average over seven decades."""
    ours, _ = errors(solver, problem, LADDER)
    assert float(ours[0] - ours[-1]) > 7 * math.log10(4)


@pytest.mark.slow
@PROBLEMS
@METHODS
def test_errors_on_every_rung(solver: str, problem: IVP) -> None:
    """On no rung of the ladder is the error more than twice that of RK45."""
    ours, theirs = errors(solver, problem, RUNGS)
    assert float((ours - theirs).max()) < math.log10(2)
    assert float(ours[0] - ours[-1]) > 7 * math.log10(4)


@METHODS
def test_the_stiff_van_der_pol_is_called_stiff(solver: str) -> None:
    """And the implicit method that is recommended solves it."""
    with pytest.raises(SolverError, match=r"stiff.*implicit.*torchdiffeq:scipy_radau"):
        solve(STIFF.field, STIFF.y0, STIFF.times, solver=solver, max_steps=500)
    failed = solve(
        STIFF.field, STIFF.y0, STIFF.times, solver=solver, max_steps=500, on_failure="nan"
    )
    assert failed.status.tolist() == [Solver.STIFF]
    solved = solve(STIFF.field, STIFF.y0, STIFF.times, solver="torchdiffeq:scipy_radau")
    assert solved.status.tolist() == [Solver.OK]


@METHODS
def test_a_mildly_stiff_row_does_not_stop_the_others(solver: str) -> None:
    """Rows of one batch, whose damping differs a thousandfold."""
    damping = torch.tensor([[1.0], [1000.0], [2.0]], dtype=torch.float64)
    y0 = torch.tensor([[2.0, 0.0]], dtype=torch.float64).expand(3, 2)

    def field(t: Tensor, y: Tensor) -> Tensor:
        place, speed = y[..., :1], y[..., 1:]
        return torch.cat([speed, damping * (1 - place**2) * speed - place], -1)

    options = {"solver": solver, "max_steps": 300, "on_failure": "nan"}
    found = solve(field, y0, torch.tensor([0.0, 5.0, 10.0]), **options)
    assert found.status.tolist() == [Solver.OK, Solver.STIFF, Solver.OK]
    alone = solve(van_der_pol(1.0), y0[:1], torch.tensor([0.0, 5.0, 10.0]), **options)
    torch.testing.assert_close(found.ys[:1], alone.ys, rtol=1e-9, atol=1e-12)
