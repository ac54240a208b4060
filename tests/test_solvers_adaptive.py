"""Laws of the package's own Runge-Kutta methods, above all of those that choose their steps."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from odeseries.errors import SolverError
from odeseries.interfaces import Dynamics, Solver
from odeseries.plugins import get
from odeseries.solvers import solve
from odeseries.solvers.runge_kutta import AdaptiveStep, FixedStep, RungeKutta
from odeseries.solvers.scipy import METHODS as SCIPY
from tests.problems import DECAY, FORCED, LOGISTIC, PROBLEMS, ROTATION, SEASONAL, Problem
from tests.test_solvers import private_times

OWN = ["euler", "midpoint", "heun", "rk4", "dopri5", "tsit5"]
ADAPTIVE = ["dopri5", "tsit5"]
NAN = {"on_failure": "nan"}


class Net(Dynamics):
    """A fixed random perceptron of two inputs."""

    def __init__(self, dim: int) -> None:
        super().__init__(dim)
        self.weight = nn.Parameter(torch.linspace(-1.5, 1.5, dim * dim).reshape(dim, dim).double())

    def forward(self, t: Tensor, state: Tensor, inputs: Tensor | None = None) -> Tensor:
        """Turn and squash."""
        return torch.tanh(state @ self.weight) - 0.3 * state


@pytest.mark.parametrize("solver", OWN)
def test_tableaux_fulfil_the_conditions_of_quadrature(solver: str) -> None:
    """Of the solution to its order, of the interpolation to order 4 or less, of the error."""
    tableau = get("solver", solver).tableau
    c = torch.tensor(tableau.nodes, dtype=torch.float64)
    for node, row in zip(tableau.nodes, tableau.stages, strict=True):
        assert sum(row) == pytest.approx(node, abs=1e-12)
    ends = torch.tensor([*tableau.stages[-1], 0.0], dtype=torch.float64)
    dense = torch.tensor(tableau.dense, dtype=torch.float64)
    for power in range(tableau.order):
        assert float(ends @ c**power) == pytest.approx(1 / (power + 1), abs=1e-12)
    for power in range(min(tableau.order, 4 if tableau.error else 3)):
        right = torch.zeros(dense.shape[1], dtype=torch.float64)
        right[power] = 1 / (power + 1)
        torch.testing.assert_close(c**power @ dense, right, rtol=0, atol=1e-12)
    torch.testing.assert_close(dense.sum(1), ends, rtol=0, atol=1e-12)
    if tableau.error:
        error = torch.tensor(tableau.error, dtype=torch.float64)
        for power in range(4):
            assert float(error @ c**power) == pytest.approx(0, abs=1e-12)
        assert abs(float(error @ c**4)) > 1e-6


def at_ends(solver: str, problem: Problem, times: Tensor, n_steps: int) -> float:
    """Largest error at the ends in steps of given lengths."""
    method = type("Stepped", (FixedStep,), {"tableau": get("solver", solver).tableau, "order": 0})
    ends = times[:, [0, -1]]
    found = solve(problem.field, problem.y0, ends, solver=method, n_steps=n_steps).ys
    return float((found - problem.solution(ends)).abs().max())


# The fifth-order term of tsit5 is so small on SEASONAL that the next one hides it until rounding.
ORDERS = [
    (solver, FORCED if solver == "tsit5" and problem is SEASONAL else problem)
    for solver in OWN
    for problem in PROBLEMS
]


def steps(solver: str, problem: Problem) -> int:
    """So many that the leading term of the error rules, and rounding does not."""
    if get("solver", solver).order < 5:
        return 160
    return 40 if solver == "dopri5" or problem is LOGISTIC else 80


def observed_order(solver: str, problem: Problem, direction: int) -> float:
    """Of the error at the ends in steps of given lengths."""
    times, n_steps = private_times(direction), steps(solver, problem)
    coarse, fine = (at_ends(solver, problem, times, n) for n in (n_steps, 2 * n_steps))
    return math.log2(coarse / fine)


@pytest.mark.parametrize("direction", [1, -1])
@pytest.mark.parametrize(("solver", "problem"), ORDERS, ids=lambda x: getattr(x, "name", x))
def test_observed_order_is_the_stated_one(solver: str, problem: Problem, direction: int) -> None:
    """Halving the steps divides the error by 2^order within 0.2 powers, forward and backward."""
    observed = observed_order(solver, problem, direction)
    assert observed == pytest.approx(get("solver", solver).order, abs=0.2)


@pytest.mark.parametrize("solver", ADAPTIVE)
@pytest.mark.parametrize("separable", [True, False])
def test_a_row_is_the_same_alone_and_among_wild_companions(solver: str, separable: bool) -> None:
    """Whether the others are put aside or not when they are done."""
    generator = torch.Generator().manual_seed(0)
    y0 = torch.randn(40, 3, generator=generator, dtype=torch.float64)
    y0[:3] *= torch.tensor([[1e3], [1e5], [1e-8]], dtype=torch.float64)
    spans = 10 ** torch.linspace(-2, 1.5, 40, dtype=torch.float64)
    times = spans[:, None] * torch.tensor([0.0, 0.1, 0.5, 0.5, 1.0], dtype=torch.float64)
    net = Net(3)
    field = net if separable else net.forward
    together = solve(field, y0, times, solver=solver)
    for row in (0, 3, 17, 39):
        own = slice(row, row + 1)
        alone = solve(field, y0[own], times[own], solver=solver)
        torch.testing.assert_close(alone.ys, together.ys[own], rtol=1e-9, atol=1e-12)
        assert torch.equal(alone.stats.nfe, together.stats.nfe[own])
    assert together.stats.nfe.unique().numel() > 5


@pytest.mark.parametrize("solver", ADAPTIVE)
def test_asking_for_more_times_changes_no_step(solver: str) -> None:
    """Nor the states, whether they are interpolated or ends of the rows."""
    times = private_times()
    many = solve(ROTATION.field, ROTATION.y0, times, solver=solver)
    ends = solve(ROTATION.field, ROTATION.y0, times[:, [0, -1]], solver=solver)
    some = solve(ROTATION.field, ROTATION.y0, times[:, [0, 3, 9, -1]], solver=solver)
    assert torch.equal(many.stats.nfe, ends.stats.nfe)
    torch.testing.assert_close(many.ys[:, [0, -1]], ends.ys, rtol=1e-14, atol=1e-14)
    assert torch.equal(many.ys[:, [0, 3, 9, -1]], some.ys)


@pytest.mark.parametrize("solver", ADAPTIVE)
def test_dense_output_is_the_same_in_pieces(solver: str) -> None:
    """Without gradients steps are let go on the way."""
    times = private_times(n_times=60)
    options = {"solver": solver, "rtol": 1e-9, "atol": 1e-9}
    at_once = solve(SEASONAL.field, SEASONAL.y0, times, **options).ys
    with torch.no_grad():
        in_pieces = solve(SEASONAL.field, SEASONAL.y0, times, **options).ys
    assert torch.equal(at_once, in_pieces)
    torch.testing.assert_close(at_once, SEASONAL.solution(times), rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("solver", ADAPTIVE)
def test_gradients_are_right(solver: str) -> None:
    """For states, parameters and times, of rows with private times in both directions."""
    times = torch.tensor([[0.0, 0.3, 0.6, 1.0], [2.0, 1.5, 0.7, 0.2]], dtype=torch.float64)

    def states(y0: Tensor, rate: Tensor, times: Tensor) -> Tensor:
        def field(t: Tensor, y: Tensor) -> Tensor:
            return torch.sin(rate * y) + t * y / 4

        return solve(field, y0, times, solver=solver, rtol=1e-10, atol=1e-10).ys

    y0 = torch.tensor([[0.5, -1.0], [1.5, 0.2]], dtype=torch.float64, requires_grad=True)
    rate = torch.tensor([1.3, 0.7], dtype=torch.float64, requires_grad=True)
    inputs = (y0, rate, times.requires_grad_())
    assert torch.autograd.gradcheck(states, inputs, atol=1e-5, rtol=1e-4, fast_mode=True)


@pytest.mark.parametrize("solver", ADAPTIVE)
def test_one_failing_row_of_64_leaves_63_right(solver: str) -> None:
    """States and the gradient of a shared parameter are those of a batch without it."""
    y0 = torch.linspace(-0.1, 0.004, 64, dtype=torch.float64)[:, None].clone()
    times = torch.tensor([0.0, 0.7, 2.0], dtype=torch.float64)

    def squares(y0: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        power = torch.tensor(2.0, dtype=torch.float64, requires_grad=True)
        found = solve(lambda t, y: torch.exp(power * y) - 1, y0, times, solver=solver, **NAN)
        found.ys[torch.isfinite(found.ys)].sum().backward()
        return found.ys.detach(), found.status, power.grad

    good = [i for i in range(64) if i != 20]
    right, fine, right_gradient = squares(y0[good])
    y0[20] = 5.0
    ys, status, gradient = squares(y0)
    assert status[20] != Solver.OK
    assert (status[good] == 0).all()
    assert (fine == 0).all()
    assert torch.isnan(ys[20]).all()
    torch.testing.assert_close(ys[good], right, rtol=1e-12, atol=1e-14)
    torch.testing.assert_close(gradient, right_gradient, rtol=1e-12, atol=0)


FAILURES = [
    ("a wall of NaN", lambda t, y: torch.where(t > 0.5, math.nan, -y), Solver.NON_FINITE, "NaN"),
    ("a square", lambda t, y: y**2, Solver.BLOW_UP, "grew without bound"),
    ("a cliff", lambda t, y: torch.where(t > 0.5, 1e30, -y), Solver.STEP_UNDERFLOW, "too small"),
    ("hurry", lambda t, y: 1e4 * torch.cos(1e4 * t) + 0 * y, Solver.STEP_BUDGET, "max_steps"),
    ("stiffness", lambda t, y: -1e4 * (y - torch.cos(t)), Solver.STIFF, "the problem is stiff"),
]


@pytest.mark.parametrize(("name", "field", "code", "words"), FAILURES, ids=lambda x: x)
@pytest.mark.parametrize("solver", ADAPTIVE)
def test_failures_are_told_apart(
    solver: str, name: str, field: object, code: int, words: str
) -> None:
    """Each by its code and by what is said of it, with what is known of the way there."""
    y0, times = torch.ones(1, 1, dtype=torch.float64), torch.tensor([0.0, 0.1, 4.0])
    options = {
        "solver": solver,
        "max_steps": 100 if code in (Solver.STEP_BUDGET, Solver.STIFF) else 600,
    }
    assert solve(field, y0, times, **options, **NAN).status.tolist() == [code]
    with pytest.raises(SolverError, match=words):
        solve(field, y0, times, **options)


class Bounded:
    """A field that may be asked only so often, where a solve without an end would go on."""

    def __init__(self, field: Callable[[Tensor, Tensor], Tensor], most: int = 2000) -> None:
        self.field, self.left = field, most

    def __call__(self, t: Tensor, y: Tensor) -> Tensor:
        """Count down."""
        self.left -= 1
        assert self.left > 0, "the solve has no end"
        return self.field(t, y)


@pytest.mark.parametrize("solver", ADAPTIVE)
def test_slopes_near_the_largest_number_leave_steps_a_length(solver: str) -> None:
    """Relative to the tolerances such a slope is infinite, and the solution is not."""
    field = Bounded(lambda t, y: 1e36 * torch.cos(6 * t) + 0 * y)
    ys = solve(field, torch.ones(2, 1), torch.tensor([0.0, 0.3, 1.0]), solver=solver).ys
    right = 1e36 / 6 * torch.sin(6 * torch.tensor([0.3, 1.0]))
    torch.testing.assert_close(ys[0, 1:, 0], right, rtol=1e-3, atol=0)


@pytest.mark.parametrize("solver", ADAPTIVE)
def test_steps_that_underflow_have_an_end(solver: str) -> None:
    """A span of a few of the least numbers can't be divided into the steps that it needs."""
    field = Bounded(lambda t, y: -1e308 * y)
    y0, times = (
        torch.ones(1, 1, dtype=torch.float64),
        torch.tensor([0.0, 1e-310], dtype=torch.float64),
    )
    assert solve(field, y0, times, solver=solver, **NAN).status == Solver.STEP_UNDERFLOW


@pytest.mark.parametrize("solver", ADAPTIVE)
def test_no_row_is_solved_whose_interpolation_overflows(solver: str) -> None:
    """Its steps are finite, and the row beside it is right."""
    y0, times = torch.tensor([[2e38], [1.0]]), torch.tensor([0.0, 0.1, 0.5, 1.0])
    solution = solve(lambda t, y: -y, y0, times, solver=solver, **NAN)
    assert (solution.status == 0).tolist() == torch.isfinite(solution.ys).all(-1).all(1).tolist()
    torch.testing.assert_close(solution.ys[1, :, 0], torch.exp(-times), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("solver", ADAPTIVE)
def test_a_step_to_infinity_is_taken_back(solver: str) -> None:
    """A field that overflows beyond the solution is integrated, and so is its gradient."""
    rate = torch.tensor(300.0, dtype=torch.float64, requires_grad=True)
    times = torch.tensor([0.0, 0.5, 1.0], dtype=torch.float64)
    y0 = torch.tensor([[2.3], [0.1]], dtype=torch.float64)
    found = solve(lambda t, y: -torch.exp(rate * y) * 1e-290, y0, times, solver=solver, rtol=1e-8)
    right = -torch.log(torch.exp(-300 * y0) + 300e-290 * times) / 300
    torch.testing.assert_close(found.ys[..., 0], right, rtol=1e-4, atol=0)
    found.ys.sum().backward()
    assert torch.isfinite(rate.grad)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize(
    "solver", [*ADAPTIVE, *(f"torchdiffeq:{name}" for name in ("dopri5", *SCIPY))]
)
def test_coordinates_start_at_zero_without_an_absolute_tolerance(
    solver: str, dtype: torch.dtype
) -> None:
    """One that stays there, two that leave it, and a row of nothing but zeros."""

    def field(t: Tensor, y: Tensor) -> Tensor:
        x, v, *_ = y.unbind(1)
        return torch.stack([v, -x, 0 * x, 5 * v, 1 + 0 * x], 1)

    y0 = torch.tensor([[1.0, 0, 0, 0, 0], [0.0] * 5], dtype=dtype)
    with torch.no_grad():
        ys = solve(field, y0, torch.tensor([0.0, 1.5]), solver=solver, rtol=1e-4, atol=0).ys[:, 1]
    sin, cos = math.sin(1.5), math.cos(1.5)
    right = [[cos, -sin, 0, 5 * (cos - 1), 1.5], [0, 0, 0, 0, 1.5]]
    torch.testing.assert_close(ys, torch.tensor(right, dtype=dtype), rtol=2e-3, atol=0)


@pytest.mark.parametrize("solver", ADAPTIVE)
def test_tolerances_below_rounding_are_warned_of(solver: str) -> None:
    """They can't be held."""
    with pytest.warns(UserWarning, match="finer than torch.float32 can resolve"):
        solve(
            DECAY.field,
            DECAY.y0.float(),
            torch.tensor([0.0, 0.1]),
            solver=solver,
            rtol=1e-8,
            atol=1e-9,
        )


def test_own_methods_are_of_one_family() -> None:
    """All of them state their tableau."""
    classes = [get("solver", name) for name in OWN]
    assert all(issubclass(c, RungeKutta) for c in classes)
    assert [issubclass(c, AdaptiveStep) for c in classes] == [c.adaptive for c in classes]
