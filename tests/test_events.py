"""When a row crosses zero, and how that time changes."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from odeseries import Event, SolverError, solve, solve_event
from odeseries.dynamics import MLP, SDE, Linear
from odeseries.interfaces import Solver
from odeseries.nets import seeded_weights
from odeseries.plugins import get

G = 9.81
TIGHT: dict[str, Any] = {"rtol": 1e-9, "atol": 1e-9}
OWN = {"dopri5": TIGHT, "tsit5": TIGHT, "rk4": {"n_steps": 40}, "leapfrog": {"n_steps": 40}}


def rows(*values: float) -> Tensor:
    """A column in float64."""
    return torch.tensor(values, dtype=torch.float64)


def fall(t: Tensor, y: Tensor) -> Tensor:
    """Height and speed of a ball."""
    return torch.stack([y[:, 1], torch.full_like(y[:, 1], -G)], 1)


def height(t: Tensor, y: Tensor) -> Tensor:
    """What is zero at the ground."""
    return y[:, 0]


def dropped(heights: Tensor) -> Tensor:
    """Balls at rest at these heights."""
    return torch.stack([heights, torch.zeros_like(heights)], 1)


@pytest.mark.parametrize("solver", OWN)
def test_a_ball_falls_as_long_as_it_does(solver: str) -> None:
    r"""The time is :math:`\sqrt{2h/g}`, each row its own, and so are its derivatives."""
    heights = rows(1.0, 5.0, 12.0).requires_grad_()
    landing = solve_event(fall, dropped(heights), rows(0, 2), height, solver=solver, **OWN[solver])
    right = (2 * heights / G).sqrt()
    torch.testing.assert_close(landing.times, right, rtol=1e-7, atol=1e-7)
    torch.testing.assert_close(landing.states[:, 1], -(2 * G * heights).sqrt(), rtol=1e-6, atol=0)
    assert landing.found.all()
    (found,) = torch.autograd.grad(landing.times.sum(), heights, retain_graph=True)
    torch.testing.assert_close(found, 1 / (2 * G * heights).sqrt(), rtol=1e-6, atol=0)
    (speed,) = torch.autograd.grad(landing.states[:, 1].sum(), heights)
    torch.testing.assert_close(speed, -(G / (2 * heights)).sqrt(), rtol=1e-6, atol=0)


@pytest.mark.parametrize("solver", ["euler", "midpoint", "heun", "rk4", "leapfrog"])
def test_a_crossing_at_the_end_of_a_step_is_found_there(solver: str) -> None:
    """Levels that are states at the end of the tenth step, whatever rounding does to them."""
    y0 = torch.rand(500, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64) + 0.5

    def grow(t: Tensor, y: Tensor) -> Tensor:
        return y.flip(1)

    level = solve(grow, y0, rows(0, 1), solver=solver, step=0.1).ys[:, -1, 0]
    crossing = solve_event(
        grow, y0, rows(0, 1.2), lambda t, y: y[:, 0] - level, solver=solver, step=0.1
    )
    torch.testing.assert_close(crossing.times, torch.ones(500).double())


def test_a_step_that_ends_on_the_event_is_gone_to_its_end() -> None:
    """The value is zero there, which has no sign."""
    y0 = rows(-1)[:, None]
    crossing = solve_event(
        lambda t, y: torch.ones_like(y), y0, rows(0, 2), height, solver="euler", step=0.25
    )
    assert (float(crossing.times), float(crossing.states)) == (1, 0)


@pytest.mark.parametrize("solver", ["euler", "midpoint", "rk4"])
def test_the_state_lies_on_the_event(solver: str) -> None:
    """The steps are those by which the time was found, shares of the row's whole span."""
    level = rows(0.37, 0.8)
    y0, times = torch.ones(2, 1).double(), torch.tensor([[0.0, 4.0], [1.0, -2.0]]).double()
    sign = rows(-1, 1)[:, None]
    crossing = solve_event(
        lambda t, y: sign * y, y0, times, lambda t, y: y[:, 0] - level, solver=solver
    )
    assert crossing.found.all()
    torch.testing.assert_close(crossing.states[:, 0], level, rtol=1e-12, atol=0)


def test_a_ball_bounces() -> None:
    """Landing after landing, each beginning on the ground, which is no crossing."""
    bounce, starts, state = 0.8, rows(0), dropped(rows(1.0))
    for k in range(4):
        times = torch.stack([starts, starts + 3], 1)
        landing = solve_event(fall, state, times, height, direction="falling", **TIGHT)
        first = math.sqrt(2 / G)
        right = first + 2 * first * sum(bounce**j for j in range(1, k + 1))
        assert float(landing.times) == pytest.approx(right, rel=1e-6)
        starts = landing.times
        state = torch.stack([torch.zeros_like(starts), -bounce * landing.states[:, 1]], 1)


@pytest.mark.parametrize("direction", [1, -1])
def test_decay_crosses_thresholds_of_the_rows_own(direction: int) -> None:
    """In either direction of time; the thresholds are learned too."""
    y0 = torch.tensor([[1.0], [2.0], [5.0]], dtype=torch.float64, requires_grad=True)
    threshold = rows(0.5, 0.25, 4.0).requires_grad_()

    def decay(t: Tensor, y: Tensor) -> Tensor:
        return -direction * y

    crossing = solve_event(
        decay, y0, direction * rows(0, 10), lambda t, y: y[:, 0] - threshold, **TIGHT
    )
    right = direction * torch.log(y0[:, 0] / threshold)
    torch.testing.assert_close(crossing.times, right, rtol=1e-6, atol=1e-6)
    found = torch.autograd.grad(crossing.times.sum(), [y0, threshold])
    torch.testing.assert_close(list(found), [direction / y0, -direction / threshold])


def test_gradients_are_the_finite_differences() -> None:
    """By states, first times, the field's and the event's parameters; time and state."""
    y0 = torch.tensor([[1.0, 0.1], [0.3, 0.8]], dtype=torch.float64, requires_grad=True)
    begin, rate, level = (rows(*x).requires_grad_() for x in ((0.1, 0.4), (1.3,), (0.2,)))

    def crossing(y0: Tensor, begin: Tensor, rate: Tensor, level: Tensor) -> tuple[Tensor, Tensor]:
        def field(t: Tensor, y: Tensor) -> Tensor:
            return rate * torch.stack([-y[:, 1], y[:, 0]], 1) + 0.2 * torch.cos(3 * t)

        times = torch.stack([begin, begin.detach() + 4], 1)
        event = solve_event(field, y0, times, lambda t, y: y[:, 0] + level * t[:, 0], **TIGHT)
        return event.times, event.states

    inputs = (y0, begin, rate, level)
    assert torch.autograd.gradcheck(crossing, inputs, atol=1e-4, rtol=1e-4, fast_mode=True)


@pytest.mark.parametrize("gradient", ["checkpoint", "adjoint"])
def test_every_way_to_the_gradients_leads_through_a_crossing(gradient: Any) -> None:
    """All of a network's gradients agree with autograd's."""
    with seeded_weights(0):
        dynamics = MLP(2, hidden=8).double()
    y0 = torch.tensor([[1.0, 0.1], [0.3, 0.8]], dtype=torch.float64)

    def found(gradient: Any) -> list[Tensor]:
        crossing = solve_event(dynamics, y0, rows(0, 9), late, gradient=gradient, **TIGHT)
        loss = crossing.times.sum() + crossing.states[0].sum()
        return list(torch.autograd.grad(loss, list(dynamics.parameters())))

    def late(t: Tensor, y: Tensor) -> Tensor:
        return t[:, 0] - 1 - 0.3 * y.sum(1)

    torch.testing.assert_close(found(gradient), found("autograd"), rtol=1e-4, atol=1e-7)


def test_rows_without_a_crossing_say_so_and_leave_the_others() -> None:
    """They are NaN with gradients of zero, or raise if asked to."""
    heights = rows(1.0, 100.0, 2.0).requires_grad_()
    landing = solve_event(fall, dropped(heights), rows(0, 1), height, **TIGHT)
    assert landing.found.tolist() == [True, False, True]
    assert landing.times.isnan().tolist() == [False, True, False]
    assert landing.states[1].isnan().all()
    assert landing.status.tolist() == [0, 0, 0]
    (found,) = torch.autograd.grad(landing.times[landing.found].sum(), heights)
    right = 1 / (2 * G * heights.detach()).sqrt()
    torch.testing.assert_close(found, torch.where(landing.found, right, 0), rtol=1e-6, atol=0)
    with pytest.raises(SolverError, match=r"1 of 3 rows have no event: row 1 .* from t=0 to 1"):
        solve_event(fall, dropped(heights), rows(0, 1), height, on_no_event="raise")


@pytest.mark.parametrize(
    ("direction", "right"),
    [("either", math.pi / 2), ("falling", math.pi / 2), ("rising", 3 * math.pi / 2)],
)
def test_only_the_crossings_asked_for_count(direction: Any, right: float) -> None:
    """The cosine falls through zero first, and rises later."""

    def turn(t: Tensor, y: Tensor) -> Tensor:
        return torch.stack([-y[:, 1], y[:, 0]], 1)

    y0 = torch.tensor([[1.0, 0.0]], dtype=torch.float64)
    crossing = solve_event(turn, y0, rows(0, 10), height, direction=direction, **TIGHT)
    assert float(crossing.times) == pytest.approx(right, abs=1e-7)


def test_a_row_stops_at_its_crossing() -> None:
    """What the field does beyond it, even infinity, is no failure; companions change nothing."""

    def field(t: Tensor, y: Tensor) -> Tensor:
        return torch.where(y < 2.0, y**2, torch.where(y > 3.0, torch.nan, y**2))

    y0 = torch.tensor([[1.0], [0.5], [0.05]], dtype=torch.float64)

    def crossing(y0: Tensor) -> Event:
        return solve_event(field, y0, rows(0, 5), lambda t, y: y[:, 0] - 1.5, **TIGHT)

    together = crossing(y0)
    assert together.found.tolist() == [True, True, False]
    assert together.status.tolist() == [0, 0, 0]
    torch.testing.assert_close(together.times[:2], 1 / y0[:2, 0] - 1 / 1.5, rtol=1e-7, atol=0)
    for row in range(2):
        alone = crossing(y0[row : row + 1]).times
        torch.testing.assert_close(alone, together.times[row : row + 1], rtol=1e-7, atol=0)


@pytest.mark.parametrize("solver", ["dopri5", "tsit5", "rk4"])
def test_a_row_that_has_crossed_does_no_more_work(solver: str) -> None:
    """It takes no steps after that, which in single precision could become too small."""

    def turn(t: Tensor, y: Tensor) -> Tensor:
        return torch.stack([y[:, 1], -900 * y[:, 0]], 1)

    y0, until = torch.tensor([[0.01, 0.0], [0.01, 0.0]]), torch.tensor([1.0, 0.25])
    options: dict[str, Any] = {"solver": solver, "rtol": 1e-6, "atol": 1e-6}
    options |= {"step": 0.001} if solver == "rk4" else {}
    times = torch.tensor([0.0, 3.0])
    crossing = solve_event(turn, y0, times, lambda t, y: t[:, 0] - until, **options)
    torch.testing.assert_close(crossing.times, until)
    to_there = solve(turn, y0, torch.stack([0 * until, until], 1), **options)
    # The step over the crossing may be another one.
    assert bool((crossing.stats.nfe <= to_there.stats.nfe + 6).all())


@pytest.mark.parametrize("solver", ["dopri5", "rk4"])
def test_an_event_that_is_nan_is_no_missing_crossing(solver: str) -> None:
    """It raises, or the row has failed; after a crossing nothing is asked."""

    def event(t: Tensor, y: Tensor) -> Tensor:
        return torch.log(y[:, 0]) - rows(math.log(0.5), -9.0)

    y0 = rows(1.0, 1.0)[:, None]
    with pytest.raises(SolverError, match=r"NaN in 1 of 2 rows, first in row 1 after t=0"):
        solve_event(lambda t, y: -torch.ones_like(y), y0, rows(0, 3), event, solver=solver)
    crossing = solve_event(
        lambda t, y: -torch.ones_like(y), y0, rows(0, 3), event, solver=solver, on_failure="nan"
    )
    assert crossing.found.tolist() == [True, False]
    assert crossing.status.tolist() == [0, Solver.NON_FINITE]
    assert float(crossing.times[0]) == pytest.approx(0.5, abs=1e-4)


def test_a_row_that_fails_before_a_crossing_is_a_failure() -> None:
    """It raises, or is NaN and leaves the others."""

    def field(t: Tensor, y: Tensor) -> Tensor:
        return torch.where(y > 2, torch.nan, torch.ones_like(y))

    y0 = torch.tensor([[0.0], [1.5]], dtype=torch.float64)

    def event(t: Tensor, y: Tensor) -> Tensor:
        return y[:, 0] - torch.tensor([1.0, 5.0])

    with pytest.raises(SolverError, match=r"1 of 2 rows could not be integrated"):
        solve_event(field, y0, rows(0, 9), event)
    crossing = solve_event(field, y0, rows(0, 9), event, on_failure="nan")
    assert crossing.status.tolist() == [0, 1]
    assert crossing.found.tolist() == [True, False]
    assert float(crossing.times[0]) == pytest.approx(1, abs=1e-6)


def test_the_last_step_does_not_look_beyond_the_last_time() -> None:
    """Steps of a given length end beyond it; a crossing there is none."""
    y0 = dropped(rows(G / 2))
    for last, found in ((0.95, False), (1.05, True)):
        landing = solve_event(fall, y0, rows(0, last), height, solver="rk4", step=0.4)
        assert bool(landing.found) == found


def test_an_event_of_time_alone_and_one_learned() -> None:
    """The time of a clock does not depend on the state; a network decides otherwise."""
    dynamics = Linear(2).double()
    y0 = torch.ones(2, 2, dtype=torch.float64, requires_grad=True)
    crossing = solve_event(dynamics, y0, rows(0, 3), lambda t, y: t[:, 0] - 1.25 + 0 * y[:, 0])
    torch.testing.assert_close(crossing.times, rows(1.25, 1.25), rtol=1e-9, atol=1e-9)
    (found,) = torch.autograd.grad(crossing.times.sum(), y0)
    assert found.abs().max() == 0
    with seeded_weights(0):
        net = nn.Linear(2, 1).double()
    crossing = solve_event(
        dynamics, y0, rows(0, 50), lambda t, y: net(y)[:, 0] - net.bias - 0.05, **TIGHT
    )
    if bool(crossing.found.all()):
        crossing.times.sum().backward()
        assert float(net.weight.grad.abs().min()) > 0


def test_what_makes_no_sense_is_refused() -> None:
    """Shapes, names, methods and noise."""
    y0 = dropped(rows(1.0, 2.0))
    with pytest.raises(SolverError, match=r"times has 3 columns: give the first and the last"):
        solve_event(fall, y0, rows(0, 1, 2), height)
    with pytest.raises(SolverError, match=r"event returned the shape \(2, 2\) for 2 rows"):
        solve_event(fall, y0, rows(0, 1), lambda t, y: y)
    for wrong, name in ((1.0, "float"), (None, "NoneType"), (y0[:, 0] > 0, "booleans")):
        with pytest.raises(SolverError, match=rf"returned {name}: return a tensor of one number"):
            solve_event(fall, y0, rows(0, 1), lambda t, y, wrong=wrong: wrong)  # type: ignore[misc]  # wrong
    with pytest.raises(SolverError, match=r"direction='up' is unknown"):
        solve_event(fall, y0, rows(0, 1), height, direction="up")  # type: ignore[arg-type]  # wrong
    with pytest.raises(SolverError, match=r"on_no_event='fail' is unknown"):
        solve_event(fall, y0, rows(0, 1), height, on_no_event="fail")  # type: ignore[arg-type]  # wrong
    with pytest.raises(SolverError, match=r"does not tell of its steps"):
        solve_event(fall, y0, rows(0, 1), height, solver=get("solver", "torchdiffeq:dopri5"))
    with pytest.raises(SolverError, match=r"SDE is stochastic: sample its paths"):
        solve_event(SDE(2).double(), y0, rows(0, 1), height)
    crossing = solve_event(fall, y0.requires_grad_(), rows(0, 1), height)
    with pytest.raises(SolverError, match=r"can be differentiated once only"):
        torch.autograd.grad(crossing.times[0], y0, create_graph=True)


@pytest.mark.parametrize("solver", ["dopri5", "rk4"])
@pytest.mark.parametrize("gradient", ["autograd", "checkpoint", "adjoint"])
def test_rows_that_fail_leave_the_crossings_of_the_others(solver: str, gradient: Any) -> None:
    """With a status of their own, and finite gradients for what all share."""
    y0 = rows(math.nan, 1.0, 0.0)[:, None].requires_grad_()
    rate, level = rows(1.0).requires_grad_(), rows(0.5).requires_grad_()
    crossing = solve_event(
        lambda t, y: -rate + 0 / y,
        y0,
        rows(0, 3),
        lambda t, y: y[:, 0] - level,
        solver=solver,
        gradient=gradient,
        on_failure="nan",
    )
    assert crossing.found.tolist() == [False, True, False]
    assert (crossing.status != 0).tolist() == [True, False, True]
    assert crossing.times[1].item() == pytest.approx(0.5)
    loss = crossing.times[1] + crossing.states[1, 0]
    found = torch.autograd.grad(loss, [y0, rate, level])
    right = [rows(0, 1, 0)[:, None], rows(-0.5), rows(0)]
    torch.testing.assert_close(list(found), right)


@pytest.mark.parametrize("options", [{"step": 0.1}, {"n_steps": 20, "max_steps": 10}])
def test_a_row_of_too_many_steps_is_a_failure(options: Any) -> None:
    """The others are solved, if there are any that may be."""
    y0, times = torch.ones(2, 1).double(), torch.tensor([[0.0, 3.0], [0.0, 1e6]]).double()

    def crossing(on_failure: Any) -> Event:
        return solve_event(
            lambda t, y: -torch.ones_like(y),
            y0,
            times,
            lambda t, y: y[:, 0] - 0.5,
            solver="rk4",
            on_failure=on_failure,
            **options,
        )

    with pytest.raises(SolverError, match=r"more than max_steps"):
        crossing("raise")
    found = crossing("nan")
    alone = "step" in options
    assert found.found.tolist() == [alone, False]
    assert found.status.tolist() == [0 if alone else Solver.STEP_BUDGET, Solver.STEP_BUDGET]
    assert found.times[1].isnan()


def test_a_row_without_a_way_to_go_does_not_cross_and_does_not_fail() -> None:
    """Whatever the field is there, and in any company."""
    y0, times = rows(0.0, 1.0)[:, None], torch.tensor([[2.0, 2.0], [0.0, 1.0]]).double()
    for solver in ("rk4", "dopri5"):
        crossing = solve_event(
            lambda t, y: 1 / y, y0, times, lambda t, y: y[:, 0] - 1.2, solver=solver
        )
        assert crossing.found.tolist() == [False, True]
        assert crossing.status.tolist() == [0, 0]


def test_states_that_a_method_cannot_move_are_refused() -> None:
    """Before the search."""
    with pytest.raises(SolverError, match=r"Leapfrog needs states in two halves"):
        solve_event(lambda t, y: -y, rows(1.0)[:, None], rows(0, 1), height, solver="leapfrog")
