"""Laws of the solvers: order, dense output, independence of rows, failures, gradients."""

from __future__ import annotations

import math
import subprocess
import sys
from importlib import import_module

import pytest
import torch
from scipy.integrate import solve_ivp
from torch import Tensor, nn

from odeseries.errors import PluginError, SolverError
from odeseries.interfaces import Dynamics, Solution, SolveOptions, Solver
from odeseries.plugins import get
from odeseries.solvers import RK4, solve, solve_event
from odeseries.solvers.torchdiffeq import METHODS
from tests.problems import DECAY, PROBLEMS, ROTATION, SEASONAL, Problem

NAN = {"on_failure": "nan"}
OWN = ["euler", "midpoint", "heun", "rk4"]
THEIRS = [f"torchdiffeq:{name}" for name in METHODS]
ADAPTIVE = [name for name in THEIRS if get("solver", name).adaptive]


def private_times(direction: int = 1, n_times: int = 25) -> Tensor:
    """Times of three rows with their own starts, spans and stamps, in float64."""
    generator = torch.Generator().manual_seed(0)
    inner = torch.rand(3, n_times, generator=generator, dtype=torch.float64).sort(1).values
    ends = torch.zeros(3, 1, dtype=torch.float64)
    shares = torch.cat([ends, inner, ends + 1], 1)
    start, span = torch.tensor([[0.3, 1.5], [-1.0, 2.0], [5.0, 2.5]], dtype=torch.float64).T
    return start[:, None] + direction * span[:, None] * shares


def largest_error(problem: Problem, times: Tensor, **options: object) -> float:
    """Largest error of any row at any of its times."""
    found = solve(problem.field, problem.y0, times, **options).ys
    return float((found - problem.solution(times)).abs().max())


class Growth(Dynamics):
    """Exponential growth with a learned rate, in closed form or not."""

    def __init__(self, dim: int, rate: float = 0.5) -> None:
        super().__init__(dim)
        self.rate = nn.Parameter(torch.tensor(rate, dtype=torch.float64))

    def forward(self, t: Tensor, state: Tensor, inputs: Tensor | None = None) -> Tensor:
        """Grow in proportion."""
        return self.rate * state


class ClosedGrowth(Growth):
    """The same with its flow; the field must not be asked."""

    closed_form = True

    def forward(self, t: Tensor, state: Tensor, inputs: Tensor | None = None) -> Tensor:
        """Fail."""
        raise AssertionError("the flow is known")

    def flow(self, state: Tensor, t0: Tensor, t1: Tensor) -> Tensor:
        """Take the exponential."""
        return state * torch.exp(self.rate * (t1 - t0))


class ClosedSeasonal(Dynamics):
    """dy/dt = cos(t) y in closed form; the absolute time counts."""

    closed_form = True
    autonomous = False

    def forward(self, t: Tensor, state: Tensor, inputs: Tensor | None = None) -> Tensor:
        """Grow and shrink with the season."""
        return torch.cos(t) * state

    def flow(self, state: Tensor, t0: Tensor, t1: Tensor) -> Tensor:
        """Take the exponential of the integral."""
        return state * torch.exp(torch.sin(t1) - torch.sin(t0))


def observed_order(solver: str, problem: Problem, direction: int) -> float:
    """Of the error at private times between the steps too.

    In the root mean square, since the share of a step at which a time lies is another each time.
    """
    times = private_times(direction)
    right = problem.solution(times)
    coarse, fine = (
        solve(problem.field, problem.y0, times, solver=solver, n_steps=n).ys - right
        for n in (80, 160)
    )
    return math.log2(float(coarse.norm() / fine.norm()))


@pytest.mark.parametrize("direction", [1, -1])
@pytest.mark.parametrize("problem", PROBLEMS, ids=lambda p: p.name)
@pytest.mark.parametrize("solver", OWN)
def test_observed_order_is_the_stated_one(solver: str, problem: Problem, direction: int) -> None:
    """Halving the step divides the error by 2^order."""
    observed = observed_order(solver, problem, direction)
    assert observed == pytest.approx(get("solver", solver).order, abs=0.2)


@pytest.mark.parametrize("name", [n for n, method in METHODS.items() if not method.adaptive])
def test_fixed_methods_of_torchdiffeq_have_their_order(name: str) -> None:
    """The same law for the steps that the adapter bounds."""
    times = private_times()
    options = {"solver": f"torchdiffeq:{name}", "rtol": 1e-7, "atol": 1e-7}
    coarse, fine = (largest_error(ROTATION, times, n_steps=n, **options) for n in (40, 80))
    # More than stated is seen where a multistep method's first steps, of order 4, dominate.
    assert math.log2(coarse / fine) > METHODS[name].order - 0.3


@pytest.mark.parametrize("solver", ADAPTIVE)
@pytest.mark.parametrize("direction", [1, -1])
def test_adaptive_methods_follow_the_tolerance(solver: str, direction: int) -> None:
    """At the ends of the spans a tighter tolerance gives a far smaller error."""
    times = private_times(direction)[:, [0, -1]]
    loose, tight = (
        largest_error(SEASONAL, times, solver=solver, rtol=tol, atol=tol) for tol in (1e-2, 1e-6)
    )
    assert tight < loose / 10
    assert tight < 1e-3


def test_every_differentiable_method_of_torchdiffeq_is_offered() -> None:
    """A new release of torchdiffeq must not go unnoticed; SciPy's methods are offered by name."""
    theirs = set(import_module("torchdiffeq._impl.odeint").SOLVERS)
    assert set(METHODS) == theirs - {"scipy_solver"}


def test_torchdiffeq_is_imported_only_when_used() -> None:
    """Importing and listing the solvers does not load it."""
    code = (
        "import sys; from odeseries.plugins import get; get('solver', 'torchdiffeq:dopri5'); "
        "assert 'torchdiffeq' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)  # noqa: S603  # our own code


@pytest.mark.parametrize("solver", ["rk4", "torchdiffeq:dopri5", "torchdiffeq:implicit_adams"])
def test_solutions_agree_with_scipy(solver: str) -> None:
    """A van der Pol oscillator, each row on its own times."""

    def field(t: Tensor, y: Tensor) -> Tensor:
        return torch.stack([y[..., 1], (1 - y[..., 0] ** 2) * y[..., 1] - y[..., 0]], -1)

    y0 = torch.tensor([[2.0, 0.0], [0.1, 0.5], [-1.0, 1.0]], dtype=torch.float64)
    times = private_times(n_times=8)
    found = solve(field, y0, times, solver=solver, n_steps=400, rtol=1e-8, atol=1e-8).ys
    for row in range(3):
        t = times[row].numpy()
        right = solve_ivp(
            lambda t, y: [y[1], (1 - y[0] ** 2) * y[1] - y[0]],
            (t[0], t[-1]),
            y0[row].numpy(),
            t_eval=t,
            rtol=1e-10,
            atol=1e-10,
        )
        torch.testing.assert_close(found[row], torch.from_numpy(right.y.T), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("solver", OWN)
def test_a_row_depends_neither_on_companions_nor_on_other_times(solver: str) -> None:
    """With a given step, bit for bit: alone, among others, and with fewer times."""
    times, options = private_times(), {"solver": solver, "step": 0.07}
    together = solve(SEASONAL.field, SEASONAL.y0, times, **options).ys
    for row in range(3):
        own = slice(row, row + 1)
        alone = solve(SEASONAL.field, SEASONAL.y0[own], times[own], **options).ys
        assert torch.equal(alone, together[own])
        fewer = [0, 4, 11]
        some = solve(SEASONAL.field, SEASONAL.y0[own], times[own][:, fewer], **options).ys
        assert torch.equal(some, together[own][:, fewer])


@pytest.mark.parametrize("solver", OWN)
def test_a_time_on_the_grid_gets_the_state_of_the_step(solver: str) -> None:
    """Bit for bit, whether it is the last time or not, and although the next step blows up."""

    def field(t: Tensor, y: Tensor) -> Tensor:
        return torch.where(t > 0.5, torch.inf, -y)

    y0 = torch.ones(1, 1, dtype=torch.float64)
    grid = torch.tensor([[0.0, 0.25, 0.5]], dtype=torch.float64)
    known = solve(lambda t, y: -y, y0, grid, solver=solver, step=0.25).ys
    longer = torch.tensor([[0.0, 0.25, 0.5, 1.0]], dtype=torch.float64)
    solution = get("solver", solver)().integrate(field, y0, longer, SolveOptions(step=0.25))
    assert torch.equal(solution.ys[:, :2], known[:, :2])
    assert solution.status.tolist() == [Solver.NON_FINITE]


@pytest.mark.parametrize("solver", ADAPTIVE)
def test_companions_do_not_spoil_the_accuracy_of_adaptive_methods(solver: str) -> None:
    """A wild row among many calm ones is solved as accurately as alone."""
    rates = torch.full((50, 1), 0.01, dtype=torch.float64)
    rates[7] = 12.0
    times = torch.tensor([0.0, 1.0], dtype=torch.float64)

    def error(rows: slice) -> float:
        field = rates[rows]
        y0 = torch.tensor([[1.0, 0.0]], dtype=torch.float64).expand(len(field), 2)
        ys = solve(lambda t, y: field * ROTATION.field(t, y), y0, times, solver=solver).ys
        turned = torch.tensor([math.cos(24.0), math.sin(24.0)], dtype=torch.float64)
        return float((ys[7 if len(field) > 1 else 0, -1] - turned).abs().max())

    assert error(slice(None)) == pytest.approx(error(slice(7, 8)), rel=0.2)


@pytest.mark.parametrize("solver", [*OWN, *THEIRS])
def test_repeated_times_are_no_work(solver: str) -> None:
    """Repeats give equal states; a row that never moves keeps its state exactly."""
    times = torch.tensor([[0.0, 0.0, 1.0, 1.0, 2.0], [3.0] * 5], dtype=torch.float64)
    options = {"solver": solver, "n_steps": 30, "rtol": 1e-5}
    ys = solve(DECAY.field, DECAY.y0[:2], times, **options).ys
    assert torch.equal(ys[0, 0], ys[0, 1])
    assert torch.equal(ys[0, 2], ys[0, 3])
    assert torch.equal(ys[1], DECAY.y0[1].expand(5, 1))
    assert float(ys[0, 2, 0]) == pytest.approx(math.exp(-1), abs=0.05)


@pytest.mark.parametrize("solver", [*OWN, "torchdiffeq:dopri5"])
def test_padding_is_ignored(solver: str) -> None:
    """Whatever stands there; the state is that of the next valid time, or of the last."""
    nan = math.nan
    times = torch.tensor(
        [[0.0, 0.5, -7.0, 1.0, nan], [2.0, 1.0, 99.0, 0.0, 0.0], [nan] * 5, [0, nan, 0.5, 3, 1]],
        dtype=torch.float64,
    )
    mask = torch.tensor([[1, 1, 0, 1, 0], [1, 1, 0, 0, 0], [0] * 5, [1, 0, 1, 0, 1]]).bool()
    y0 = torch.cat([DECAY.y0, DECAY.y0[:1]])
    ys = solve(DECAY.field, y0, times, solver=solver, mask=mask, n_steps=200).ys[..., 0]
    right = torch.tensor(
        [[0, 0.5, 1, 1, 1], [0, -1, -1, -1, -1], [0] * 5, [0, 0.5, 0.5, 1, 1]], dtype=torch.float64
    )
    torch.testing.assert_close(ys, y0 * torch.exp(-right), rtol=3e-3, atol=0)


@pytest.mark.parametrize("solver", [*OWN, *THEIRS])
def test_a_long_gap_is_crossed_in_bounded_steps(solver: str) -> None:
    """Decay over a gap of 50: tiny at its end, where one step of rk4 over it gives 90294."""
    times = torch.tensor([0.0, 1.0, 51.0], dtype=torch.float64)
    options = {"solver": solver, "step": 0.1, "rtol": 1e-5, "atol": 1e-5}
    ys = solve(DECAY.field, DECAY.y0[:1], times, **options).ys[0, :, 0]
    assert float(ys[1]) == pytest.approx(math.exp(-1), rel=0.06)
    assert abs(float(ys[2])) < 1e-3


def test_the_fourth_order_is_right_past_a_long_gap() -> None:
    """To 1 per cent of a number of the order of 1e-23."""
    times = torch.tensor([[0.0, 1.0, 51.0]], dtype=torch.float64)
    ys = solve(DECAY.field, DECAY.y0[:1], times, step=0.05)
    assert float(ys.ys[0, 2, 0]) == pytest.approx(math.exp(-51), rel=0.01)


@pytest.mark.parametrize("solver", ["rk4", "torchdiffeq:dopri5", "torchdiffeq:rk4"])
def test_the_unit_of_time_is_irrelevant(solver: str) -> None:
    """Seconds since 1970 in float64 with float32 states, against days from the start."""
    days = private_times(n_times=6)
    days = days - days[:, :1]
    seconds = 1.7e9 + 86_400 * days
    y0 = ROTATION.y0.float()
    expected = solve(ROTATION.field, y0, days, solver=solver, n_steps=50).ys
    found = solve(
        lambda t, y: ROTATION.field(t, y) / 86_400, y0, seconds, solver=solver, n_steps=50
    ).ys
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def test_absolute_time_reaches_the_field_in_every_row() -> None:
    """In the shape (batch, 1, ...) and the states' dtype, from each row's own start."""
    seen = []

    def field(t: Tensor, y: Tensor) -> Tensor:
        seen.append(t)
        return torch.zeros_like(y)

    times = torch.tensor([[1.0, 3.0], [10.0, 6.0]], dtype=torch.float64)
    for solver in ("rk4", "torchdiffeq:rk4"):
        seen.clear()
        solve(field, torch.zeros(2, 4, 3), times, solver=solver, n_steps=2)
        assert {(t.shape, t.dtype) for t in seen} == {((2, 1, 1), torch.float32)}
        stamps = torch.stack(seen)[:, :, 0, 0]
        torch.testing.assert_close(stamps.amin(0), torch.tensor([1.0, 6.0]))
        torch.testing.assert_close(stamps.amax(0), torch.tensor([3.0, 10.0]))


@pytest.mark.parametrize("solver", [*OWN, *THEIRS])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_shape_and_dtype_are_kept(solver: str, dtype: torch.dtype) -> None:
    """States of any shape, times of another dtype, shared or per row, no rows at all."""
    y0 = torch.ones(3, 2, 4, dtype=dtype)
    for times in (torch.tensor([0, 1, 2]), torch.rand(3, 3).cumsum(1)):
        solution = solve(lambda t, y: -y, y0, times, solver=solver, n_steps=10)
        assert solution.ys.shape == (3, 3, 2, 4)
        assert solution.ys.dtype == dtype
        assert solution.status.tolist() == [0, 0, 0]
    assert solve(DECAY.field, y0[:0], torch.zeros(0, 3), solver=solver).ys.shape == (0, 3, 2, 4)


@pytest.mark.parametrize("solver", [*OWN, "torchdiffeq:dopri5", "torchdiffeq:rk4"])
def test_gradients_are_right(solver: str) -> None:
    """With respect to states and parameters, with repeats, padding and both directions."""
    times = torch.tensor([[0.0, 0.3, 0.3, 1.0], [2.0, 1.5, 0.7, 9.0]], dtype=torch.float64)
    mask = torch.tensor([[1, 1, 1, 1], [1, 1, 1, 0]], dtype=torch.bool)

    def states(y0: Tensor, rate: Tensor) -> Tensor:
        def field(t: Tensor, y: Tensor) -> Tensor:
            return torch.sin(rate * y) + t * y / 4

        options = {"solver": solver, "n_steps": 4, "rtol": 1e-8, "atol": 1e-8}
        return solve(field, y0, times, mask=mask, **options).ys

    y0 = torch.tensor([[0.5, -1.0], [1.5, 0.2]], dtype=torch.float64, requires_grad=True)
    rate = torch.tensor([1.3, 0.7], dtype=torch.float64, requires_grad=True)
    # An adaptive method is differentiated at fixed steps, finite differences move them too.
    precision = 1e-4 if get("solver", solver).adaptive else 1e-6
    assert torch.autograd.gradcheck(states, (y0, rate), atol=precision, rtol=1e-3)


@pytest.mark.parametrize("solver", [*OWN, "torchdiffeq:rk4", "torchdiffeq:dopri5", "closed"])
def test_a_failing_row_leaves_the_others_exact(solver: str) -> None:
    """Their states and the gradients of shared parameters equal those of a batch without it."""
    times = torch.tensor([[0.0, 1.0, 2.0]] * 3, dtype=torch.float64)
    y0 = torch.tensor([[1.0], [200.0], [-0.5]], dtype=torch.float64)

    def growth(rows: list[int]) -> tuple[Tensor, Tensor]:
        if solver == "closed":
            dynamics = ClosedGrowth(1)
            rate = dynamics.rate
            start = torch.where(y0 > 100, torch.inf, y0)[rows]
            found = solve(dynamics, start, times[rows], on_failure="nan")
        else:
            rate = torch.tensor(0.2, dtype=torch.float64, requires_grad=True)
            found = solve(
                lambda t, y: torch.exp(rate * y**2) - 1,
                y0[rows] / 4,
                times[rows],
                solver=solver,
                n_steps=20,
                on_failure="nan",
            )
        ys = found.ys
        ys[torch.isfinite(ys)].sum().backward()
        assert rate.grad is not None
        return ys, rate.grad

    with_it, gradient = growth([0, 1, 2])
    without, right = growth([0, 2])
    assert torch.isnan(with_it[1]).all()
    torch.testing.assert_close(with_it[[0, 2]], without, rtol=1e-12, atol=0)
    torch.testing.assert_close(gradient, right, rtol=1e-12, atol=0)


@pytest.mark.parametrize("solver", ["rk4", "torchdiffeq:rk4", "torchdiffeq:dopri5"])
def test_nothing_but_failures_is_nan_too(solver: str) -> None:
    """A batch in which no row can be solved."""
    times = torch.tensor([0.0, 1.0])
    found = solve(lambda t, y: y * math.nan, torch.ones(2, 1), times, solver=solver, **NAN)
    assert torch.isnan(found.ys).all()
    assert found.status.tolist() == [Solver.NON_FINITE] * 2


@pytest.mark.parametrize(
    ("field", "options", "code"),
    [
        (lambda t, y: torch.where(t > 0.5, math.nan, -y), {}, Solver.NON_FINITE),
        (lambda t, y: y**2, {}, Solver.STEP_UNDERFLOW),
        (lambda t, y: 1000 * torch.cos(1000 * t) + 0 * y, {"max_steps": 20}, Solver.STEP_BUDGET),
    ],
    ids=["non-finite", "underflow", "budget"],
)
def test_causes_of_failure_are_told_apart(field: object, options: dict, code: int) -> None:
    """Torchdiffeq says "underflow in dt" for a field that is NaN, too."""
    y0, times = torch.tensor([[1.0]], dtype=torch.float64), torch.tensor([0.0, 2.0])
    found = solve(field, y0, times, solver="torchdiffeq:dopri5", **options, **NAN)
    assert found.status.tolist() == [code]


@pytest.mark.parametrize("solver", ["rk4", "torchdiffeq:dopri5", "torchdiffeq:rk4"])
@pytest.mark.parametrize("n_times", [1, 2])
def test_a_row_that_starts_broken_fails_alone(solver: str, n_times: int) -> None:
    """By its state or by its slope, even where nothing is to be integrated."""
    y0 = torch.tensor([[1.0], [math.nan], [2.0], [3.0]], dtype=torch.float64)
    times = torch.tensor([0.0, 1.0], dtype=torch.float64)[:n_times]
    broken = torch.tensor([[0.0], [0.0], [math.inf], [0.0]])
    found = solve(lambda t, y: -y + broken, y0, times, solver=solver, rtol=1e-6, **NAN)
    assert (found.status != Solver.OK).tolist()[:2] == [False, True]
    assert found.status.tolist()[3] == Solver.OK
    right = y0[[0, 3]] * torch.exp(-times)
    torch.testing.assert_close(found.ys[[0, 3], :, 0], right, rtol=1e-4, atol=0)


def test_a_fast_row_spends_the_budget_for_itself_alone() -> None:
    """The slow ones beside it are solved without it."""
    speed = torch.tensor([[1.0], [500.0], [2.0]], dtype=torch.float64)
    times = torch.tensor([0.0, 10.0], dtype=torch.float64)
    found = solve(
        lambda t, y: speed * torch.cos(speed * t) + 0 * y,
        torch.zeros(3, 1, dtype=torch.float64),
        times,
        solver="torchdiffeq:dopri5",
        max_steps=100,
        rtol=1e-5,
        atol=1e-5,
        **NAN,
    )
    assert found.status.tolist() == [Solver.OK, Solver.STEP_BUDGET, Solver.OK]
    right = torch.sin(10 * speed[[0, 2], 0])
    torch.testing.assert_close(found.ys[[0, 2], -1, 0], right, rtol=0, atol=1e-3)


@pytest.mark.parametrize("solver", ["rk4", "torchdiffeq:dopri5"])
def test_an_assertion_of_the_field_is_not_swallowed(solver: str) -> None:
    """It says nothing about the integration."""

    def field(t: Tensor, y: Tensor) -> Tensor:
        raise AssertionError("an invariant of the field is broken")

    with pytest.raises(AssertionError, match="invariant of the field"):
        ask(dynamics=field, solver=solver)


def test_a_closed_form_is_evaluated_not_stepped() -> None:
    """No evaluations, the exact state at any distance, the time relative to each row's start."""
    times = 1e9 + private_times()
    y0 = DECAY.y0.float()
    solution = solve(ClosedGrowth(1, rate=-1.0), y0, times)
    right = DECAY.solution(times)
    torch.testing.assert_close(solution.ys.double(), right, rtol=1e-6, atol=0)
    assert solution.stats.nfe.tolist() == [0, 0, 0]


def test_a_closed_form_that_depends_on_time_is_given_the_time() -> None:
    """Not only the time since the start."""
    times = private_times(-1)
    ys = solve(ClosedSeasonal(1), SEASONAL.y0, times).ys
    torch.testing.assert_close(ys, SEASONAL.solution(times))


@pytest.mark.parametrize("solver", [*OWN, "torchdiffeq:dopri5", "torchdiffeq:heun3"])
def test_evaluations_are_counted(solver: str) -> None:
    """The number in the statistics is the number of calls."""
    calls = []

    def field(t: Tensor, y: Tensor) -> Tensor:
        calls.append(t)
        return -y

    times = torch.tensor([[0.0, 1.0], [0.0, 3.0]])
    stats = solve(field, torch.ones(2, 1), times, solver=solver, n_steps=7).stats
    assert int(stats.nfe.max()) == len(calls)
    if not get("solver", solver).adaptive:
        assert stats.accepted.tolist() == [7, 7]
    assert (stats.accepted + stats.rejected > 0).all()


def test_a_solver_may_be_a_name_a_class_or_an_instance() -> None:
    """All three give the same states."""
    times = private_times()
    states = [solve(DECAY.field, DECAY.y0, times, solver=s).ys for s in ("rk4", RK4, RK4())]
    assert torch.equal(states[0], states[1])
    assert torch.equal(states[0], states[2])


def test_a_field_in_lower_precision_keeps_the_dtype_of_the_states() -> None:
    """As under mixed precision."""
    ys = solve(lambda t, y: -y.bfloat16(), torch.ones(1, 1), torch.tensor([0.0, 1.0])).ys
    assert ys.dtype == torch.float32


def ask(**changes: object) -> None:
    """Solve a decay with something changed."""
    options = {"dynamics": DECAY.field, "y0": torch.ones(2, 1), "times": torch.arange(3.0)}
    solve(**(options | changes))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"step": 0.1, "n_steps": 3}, "Both step and n_steps"),
        ({"step": -0.1}, "step=-0.1 must be positive; the direction follows"),
        ({"n_steps": 0}, "n_steps=0 must be a whole number, and at least 1"),
        ({"n_steps": 2.5}, "n_steps=2.5 must be a whole number"),
        ({"n_steps": math.inf}, "n_steps=inf must be a whole number"),
        ({"n_steps": math.nan}, "n_steps=nan must be a whole number"),
        ({"max_steps": math.nan}, "max_steps=nan must be at least 1"),
        ({"step": torch.ones(2)}, r"step=tensor\(\[1., 1.\]\) is no number: give one, which all"),
        ({"rtol": "1"}, "rtol='1' is no number"),
        ({"parameters": nn.Linear(1, 1)}, r"parameters is a Linear.*module.parameters\(\)"),
        ({"parameters": ["weight"]}, "parameters holds a str"),
        ({"dynamics": ClosedGrowth(1), "gradient": "bogus"}, "gradient='bogus' is unknown"),
        ({"dynamics": ClosedGrowth(1), "solver": "bogus"}, "There is no solver 'bogus'"),
        ({"rtol": -1.0}, "must not be negative"),
        ({"max_steps": 0}, "max_steps=0"),
        ({"times": torch.tensor([0.0, 2.0, 1.0])}, "times of row 0 go back and forth"),
        ({"times": torch.tensor([[0.0, 1.0], [0.0, math.nan]])}, "times of row 1 are not finite"),
        ({"times": torch.zeros(3, 2)}, r"times has the shape \(3, 2\)"),
        ({"times": torch.zeros(0)}, "at least the time of y0"),
        ({"y0": torch.ones(2, 1, dtype=torch.int64)}, "floating-point"),
        ({"y0": torch.ones(2)}, "floating-point states of shape"),
        ({"dynamics": lambda t, y: y.sum(-1)}, "returned the shape"),
        ({"dynamics": lambda t, y: None}, "The field returned NoneType: return the derivative"),
        ({"dynamics": lambda t, y: y.numpy()}, "The field returned ndarray"),
        ({"y0": torch.ones(2, 0)}, "without a coordinate"),
        ({"y0": torch.ones(2, 0, 3)}, "without a coordinate"),
        ({"times": torch.tensor([False, True])}, "times has the dtype torch.bool: give real"),
        ({"times": torch.tensor([0, 1j])}, "times has the dtype torch.complex64: give real"),
        ({"dynamics": Growth(3)}, "lift the vector"),
        ({"on_failure": "ignore"}, "on_failure='ignore' is unknown"),
        ({"mask": torch.ones(2, 4, dtype=torch.bool)}, "mask has the shape"),
        ({"step": 1e-5}, "Row 0 would need .* steps of 1e-05 for its span of 2, more than"),
        ({"n_steps": 20_000}, "Row 0 would need 20000 steps"),
        ({"solver": "torchdiffeq:rk4", "step": 1e-5}, "Row 0 would need"),
    ],
)
def test_impossible_requests_say_what_to_do(changes: dict[str, object], message: str) -> None:
    """Before any work is done."""
    with pytest.raises((SolverError, PluginError), match=message):
        ask(**changes)


@pytest.mark.parametrize("solver", [*OWN, "dopri5", "leapfrog"])
def test_a_field_that_changes_its_states_in_place_is_refused(solver: str) -> None:
    """It would change the initial states, and what the steps make of them."""
    y0, times = torch.ones(2, 2), torch.tensor([0.0, 1.0])
    with torch.no_grad(), pytest.raises(SolverError, match=r"in place, as by `state \*= ...`"):
        solve(lambda t, y: y.neg_(), y0, times, solver=solver)
    with pytest.raises(SolverError, match=r"in place, as by `state \*= ...`"):
        solve_event(lambda t, y: y.neg_(), y0, times, lambda t, y: y[:, 0] - 0.5, solver=solver)


@pytest.mark.parametrize("solver", [*OWN, "dopri5", "tsit5", "leapfrog", "torchdiffeq:scipy_rk45"])
def test_a_field_may_write_its_slopes_into_one_buffer(solver: str) -> None:
    """The same states as of a field that returns new ones."""
    times, y0 = private_times(), SEASONAL.y0.repeat(1, 2)
    buffer = torch.empty_like(y0)

    def filled(t: Tensor, y: Tensor) -> Tensor:
        return buffer.copy_(SEASONAL.field(t, y).broadcast_to(y.shape))

    found, right = (
        solve(field, y0, times, solver=solver, n_steps=20).ys for field in (filled, SEASONAL.field)
    )
    assert torch.equal(found, right)


def test_padding_must_follow_the_first_time() -> None:
    """The first time of a row is that of its initial state."""
    mask = torch.tensor([[1, 1], [0, 1]], dtype=torch.bool)
    with pytest.raises(SolverError, match="Row 1 begins with padding"):
        ask(times=torch.zeros(2, 2), mask=mask)


def test_too_many_steps_are_refused_before_the_field_is_asked() -> None:
    """Also if their number does not fit into an integer."""

    def field(t: Tensor, y: Tensor) -> Tensor:
        raise AssertionError("no work is to be done")

    with pytest.raises(SolverError, match="raise max_steps"):
        ask(dynamics=field, times=torch.tensor([0.0, 1e30]), step=1e-10)


@pytest.mark.parametrize("solver", ["rk4", "leapfrog", "torchdiffeq:rk4", "adams"])
def test_a_row_of_too_many_steps_leaves_the_others(solver: str) -> None:
    """It is NaN with the status of a budget used up, where no row is to raise."""
    times = torch.tensor([[0.0, 1.0], [0.0, 1e9], [0.0, -2.0]])
    options = {"solver": solver, "step": 0.1, "on_failure": "nan"}
    found = solve(lambda t, y: -y, torch.ones(3, 2), times, **options)
    assert found.status.tolist() == [0, Solver.STEP_BUDGET, 0]
    assert found.ys[1].isnan().all()
    others = [0, 2]
    alone = solve(lambda t, y: -y, torch.ones(2, 2), times[others], **options)
    torch.testing.assert_close(found.ys[others], alone.ys)


def test_a_failure_names_rows_cause_time_and_remedy() -> None:
    """The blow-up of dy/dt = y^2 from 1 at t = 1, in the second of three rows."""
    y0 = torch.tensor([[0.1], [1.0], [-1.0]], dtype=torch.float64)
    times = torch.tensor([0.0, 0.5, 3.0], dtype=torch.float64)
    with pytest.raises(SolverError) as caught:
        solve(lambda t, y: y**2, y0, times, n_steps=60)
    text = str(caught.value)
    assert "1 of 3 rows could not be integrated (1): in row 1" in text
    assert "became infinite or NaN, and no state after t=0.5 of 3" in text
    assert "Try a smaller step" in text


def test_own_methods_need_a_step() -> None:
    """There is no default below the entry point, least of all the times asked for."""
    with pytest.raises(SolverError, match="needs step or n_steps"):
        RK4().integrate(DECAY.field, DECAY.y0, private_times(), SolveOptions())


@pytest.mark.parametrize("solver", [*OWN, "leapfrog", "dopri5", "tsit5", "torchdiffeq:dopri5"])
@pytest.mark.parametrize("n_times", [2, 3])
def test_a_row_without_a_way_to_go_stays_as_it_is(solver: str, n_times: int) -> None:
    """Whatever the field is there, in any company, padded or not; a broken state is a failure."""
    y0 = torch.tensor([[0.0, 0.0], [1.0, 1.0], [0.0, 0.0], [math.nan, 0.0]], requires_grad=True)
    rate = torch.tensor(1.0, requires_grad=True)
    times = torch.linspace(0, 1, n_times).repeat(4, 1)
    times[0] = times[3] = 3.0
    mask = torch.ones(4, n_times, dtype=torch.bool)
    mask[2] = False

    def solved(rows: slice) -> Solution:
        given = (y0[rows], times[rows])
        options = {"solver": solver, "mask": mask[rows], "rtol": 1e-6, "atol": 1e-6}
        return solve(lambda t, y: rate * y**-0.5, *given, **NAN, **options)

    together = solved(slice(None))
    assert together.status.tolist() == [0, 0, 0, Solver.NON_FINITE]
    assert torch.equal(together.ys[[0, 2]], torch.zeros(2, n_times, 2))
    alone = solved(slice(0, 1))
    assert alone.status.tolist() == [0]
    assert torch.equal(alone.ys, torch.zeros(1, n_times, 2))
    (found,) = torch.autograd.grad(together.ys[:3].sum(), rate)
    (right,) = torch.autograd.grad(solved(slice(1, 2)).ys.sum(), rate)
    torch.testing.assert_close(found, right)


def test_too_many_steps_by_their_number_fail_where_failures_are_allowed() -> None:
    """As those by their length do; a row without a way to go takes none."""
    times = torch.tensor([[0.0, 1.0], [2.0, 2.0]])
    y0 = torch.ones(2, 1)
    solution = solve(lambda t, y: -y, y0, times, n_steps=20, max_steps=10, **NAN)
    assert solution.status.tolist() == [Solver.STEP_BUDGET, Solver.OK]


@pytest.mark.parametrize("solver", [*OWN, *THEIRS, "torchdiffeq:scipy_rk45"])
def test_a_batch_of_no_rows_has_a_graph(solver: str) -> None:
    """As any other, with or without gradients of the times."""
    y0 = torch.zeros(0, 2, requires_grad=True)
    ys = solve(lambda t, y: -y, y0, torch.zeros(0, 3), solver=solver, gradient="adjoint").ys
    ys.sum().backward()
    assert y0.grad is not None
    assert ys.shape == (0, 3, 2)


@pytest.mark.parametrize("solver", [*OWN, *THEIRS, "torchdiffeq:scipy_rk45"])
def test_times_that_need_no_gradient_here_are_times_like_others(solver: str) -> None:
    """Under no_grad nothing is differentiated by them."""
    times = torch.tensor([0.0, 1.0], dtype=torch.float64, requires_grad=True)
    with torch.no_grad():
        ys = solve(DECAY.field, DECAY.y0, times, solver=solver).ys
        right = solve(DECAY.field, DECAY.y0, times.detach(), solver=solver).ys
    assert torch.equal(ys, right)


@pytest.mark.parametrize("gradient", ["autograd", "checkpoint", "adjoint"])
@pytest.mark.parametrize("solver", ["rk4", "dopri5", "leapfrog"])
@pytest.mark.parametrize("end", [0.0, 1.0], ids=["without a way to go", "failed"])
def test_a_row_that_is_nan_spoils_no_gradient(end: float, solver: str, gradient: str) -> None:
    """Of a healthy row, also where the field knows its rows."""
    rate = torch.tensor([[1.0], [math.nan]], dtype=torch.float64)
    y0 = torch.ones(2, 2, dtype=torch.float64, requires_grad=True)
    times = torch.tensor([[0.0, 1.0], [0.0, end]], dtype=torch.float64)
    options = {"solver": solver, "gradient": gradient, "n_steps": 100, "rtol": 1e-6}
    ys = solve(lambda t, y: -rate * y, y0, times, on_failure="nan", **options).ys
    (found,) = torch.autograd.grad(ys[0].sum(), y0)
    right = torch.tensor([[1 + math.exp(-1)] * 2, [0.0, 0.0]], dtype=torch.float64)
    torch.testing.assert_close(found, right, rtol=1e-4, atol=1e-6)
