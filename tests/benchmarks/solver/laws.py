"""What the laws of the solvers come to in figures, which the tests hold to their bounds.

    python -m tests.benchmarks.solver.laws

Of one process, with the problems and the measures of the tests: observed orders, errors against
SciPy's, agreement of the ways to the gradients, energy of leapfrog, law of stochastic paths, and
what companions do to a row.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import partial

import torch
from torch import Tensor

from odeseries.errors import SolverError
from odeseries.interfaces import Solver
from odeseries.solvers import solve
from tests import sde_problems as sde
from tests import test_gradients as ways
from tests import test_solvers as fixed
from tests import test_solvers_adaptive as adaptive
from tests import test_solvers_scipy as scipy
from tests import test_stochastic as stochastic
from tests import test_symplectic as symplectic
from tests.ode_problems import IVPS, STIFF
from tests.problems import PROBLEMS, Problem

F64 = torch.float64


def span(values: list[float]) -> str:
    """Least and most of some figures."""
    return f"{min(values):.3f} to {max(values):.3f}"


def orders() -> None:
    """Observed orders over all problems and both directions."""
    print("## Observed orders: 4 problems, forward and backward, 3 rows with times of their own")
    for solver in fixed.OWN:
        print(f"{solver}: {span(both_ways(partial(fixed.observed_order, solver), PROBLEMS))}")
    for solver in adaptive.ADAPTIVE:
        problems = [problem for name, problem in adaptive.ORDERS if name == solver]
        print(f"{solver}: {span(both_ways(partial(adaptive.observed_order, solver), problems))}")
    paired = [symplectic.paired(problem) for problem in PROBLEMS]
    print(f"leapfrog: {span(both_ways(symplectic.observed_order, paired))}")


def both_ways(order: Callable[[Problem, int], float], problems: list[Problem]) -> list[float]:
    """Orders on problems, forward and backward."""
    return [order(problem, direction) for problem in problems for direction in (1, -1)]


def agreement() -> None:
    """Errors at equal tolerances, relative to RK45's, and how they fall."""
    print("\n## Against SciPy: rtol = atol from 1e-3 to 1e-10; right is DOP853 at 1e-12")
    print("problem: method: off DOP853 at 1e-10; error over RK45's, mean and most of 8 rungs;")
    print("    factor by which errors fall for a tenth of the tolerance, mean and least of 7")
    for problem in IVPS:
        for solver in scipy.ADAPTIVE:
            right = scipy.scipy(problem.name, "DOP853", 1e-10)
            off = float((scipy.own(solver, problem, 1e-10) - right).abs().max())
            ours, theirs = scipy.errors(solver, problem, scipy.RUNGS)
            apart, falls = ours - theirs, -ours.diff()
            figures = [
                10 ** float(x) for x in (apart.mean(), apart.max(), falls.mean(), falls.min())
            ]
            print(
                f"{problem.name}: {solver}: {off:.1e}; "
                "{:.2f}, {:.2f}; {:.1f}, {:.1f}".format(*figures)
            )
    stiff = solve(STIFF.field, STIFF.y0, STIFF.times, solver="torchdiffeq:scipy_radau").ys
    right = STIFF.scipy("Radau", 1e-10)
    print(f"stiff van der pol: scipy_radau: {float((stiff[0] - right).abs().max()):.1e} off")
    for solver in scipy.ADAPTIVE:
        try:
            solve(STIFF.field, STIFF.y0, STIFF.times, solver=solver, max_steps=500)
        except SolverError as error:
            print(f"stiff van der pol: {solver}: {error}")


def gradients() -> None:
    """Relative differences from autograd's gradients."""
    print("\n## Gradients against autograd's, float64, rtol = atol = 1e-8: largest of any tensor")
    for name, make in ways.DYNAMICS.items():
        dynamics = make()
        more = tuple(dynamics.parameters())
        right = ways.gradients(dynamics, more, **ways.TIGHT)
        found = [
            ways.difference(ways.gradients(dynamics, more, gradient=way, **ways.TIGHT), right)
            for way in ways.OTHERS
        ]
        print(f"{name}: checkpoint {found[0]:.1e}, adjoint {found[1]:.1e}")
    for way in ("autograd", *ways.OTHERS):
        for options in (ways.TIGHT, ways.STEPS):
            ways.test_gradients_are_the_finite_differences(way, options)
            print(f"gradcheck: {way}, {options['solver']}: passes")


def energy() -> None:
    """Leapfrog's energies over ten thousand steps."""
    print("\n## Leapfrog, float64, 10,000 steps: largest relative error of the energy, its drift")
    for case in symplectic.CONSERVATIVE:
        errors = symplectic.energy_errors(*case.values, 10_000)
        drift = symplectic.drift(errors)
        print(f"{case.id}: {float(errors.abs().max()):.1e}, {drift:.1e} over the run")


def paths() -> None:
    """Strong orders and laws of stochastic paths."""
    print("\n## Stochastic paths: strong orders at irregular times, 25 to 100 steps")
    for solver, dynamics, stated in stochastic.STRONG:
        found = span(stochastic.strong_orders(solver, dynamics).tolist())
        print(f"{solver}, {type(dynamics).__name__}: {found}; stated {stated}")
    print("variances less what they should be, in standard errors:")
    brownian, stationary = stochastic.brownian_variances(), stochastic.stationary_variances()[1:]
    for name, off in (("Brownian motion", brownian), ("Ornstein-Uhlenbeck", stationary)):
        print(f"{name}: {', '.join(f'{x:+.2f}' for x in off.tolist())}")
    times = torch.tensor([0.0, 2999.5])
    ys = solve(sde.Brownian(1), torch.zeros(500, 1), times, **stochastic.EM, step=1.0, seed=0)
    spread = float(ys.ys[:, 1].std()) / math.sqrt(2999.5)
    taken = int(ys.stats.accepted.max())
    print(f"3,000 steps: {taken} taken, spread {spread:.3f} of what it should be")


def rows() -> None:
    """What companions do to a row, and what a failing row does to the others."""
    print("\n## A row alone and among 39 wild companions: largest relative difference")
    for solver in (*adaptive.OWN, "leapfrog"):
        print(f"{solver}: {max(companions(solver)):.1e}")
    print("One row of 64 that fails: rows that are right, and their largest error")
    for solver in (*adaptive.OWN, "leapfrog"):
        right, error = sixty_four(solver)
        print(f"{solver}: {right} of 63, {error:.1e}")


def companions(solver: str) -> Iterator[float]:
    """Relative differences of some rows; spans from .01 to 10, states up to 1e5."""
    generator = torch.Generator().manual_seed(0)
    y0 = torch.randn(40, 4, generator=generator, dtype=F64)
    y0[:3] *= torch.tensor([[1e3], [1e5], [1e-8]], dtype=F64)
    spans = 10 ** torch.linspace(-2, 1, 40, dtype=F64)
    times = spans[:, None] * torch.tensor([0.0, 0.1, 0.5, 0.5, 1.0], dtype=F64)
    options = {} if solver in adaptive.ADAPTIVE else {"n_steps": 200}
    together = solve(adaptive.Net(4), y0, times, solver=solver, **options).ys
    for row in (0, 1, 2, 3, 17, 39):
        own = slice(row, row + 1)
        alone = solve(adaptive.Net(4), y0[own], times[own], solver=solver, **options).ys
        yield float(((alone - together[own]).norm() / alone.norm()).detach())


def sixty_four(solver: str) -> tuple[int, float]:
    """Rows that are the same as without the one that fails, and their largest difference."""
    y0 = torch.linspace(0.1, 0.9, 64, dtype=F64)[:, None].repeat(1, 2)
    y0[7] = 3.0
    times = torch.linspace(0, 1, 5, dtype=F64)
    options = {} if solver in adaptive.ADAPTIVE else {"n_steps": 200}
    found = solve(square, y0, times, solver=solver, on_failure="nan", **options)
    others = torch.arange(64) != 7
    alone = solve(square, y0[others], times, solver=solver, **options).ys
    error = (found.ys[others] - alone).flatten(1).abs().amax(1)
    assert found.status[7] != Solver.OK
    return int((error < 1e-6).sum()), float(error.max())


def square(t: Tensor, y: Tensor) -> Tensor:
    """A field whose solutions y0 / (1 - y0 t) go to infinity at t = 1 / y0."""
    return y**2


def main() -> None:
    """Print all."""
    torch.set_num_threads(1)
    for part in (orders, agreement, gradients, energy, paths, rows):
        part()


if __name__ == "__main__":
    main()
