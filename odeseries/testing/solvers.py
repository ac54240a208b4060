"""Laws of a solver."""

from __future__ import annotations

import functools
import math
import pickle
import warnings
from typing import Any

import torch
from torch import Tensor

import odeseries as ode
from odeseries.testing.checks import Subject, Suite, require
from odeseries.testing.problems import (
    STATES,
    TIMES,
    accuracy,
    difference,
    first_way,
    require_near,
    seasonal,
    solved,
    turn,
    turned,
)

__all__ = ["SUITE"]

SUITE = Suite()
FAR = 1e7


def _ordinary(subject: Subject) -> bool:
    return not subject.cls.noise_types


def _fixed(subject: Subject) -> bool:
    return _ordinary(subject) and not subject.cls.adaptive


def _adaptive(subject: Subject) -> bool:
    return _ordinary(subject) and bool(subject.cls.adaptive)


@SUITE.law()
def is_made_without_arguments(subject: Subject) -> None:
    """The class is callable with nothing, states its capabilities, and can be pickled."""
    solver = subject.cls()
    require(
        isinstance(solver.order, int | float) and solver.order > 0,
        f"order is {solver.order!r}: state the order of convergence, a positive number.",
    )
    require(isinstance(solver.adaptive, bool), f"adaptive is {solver.adaptive!r}, no bool.")
    require(type(pickle.loads(pickle.dumps(solver))) is subject.cls, "Pickling changes it.")  # noqa: S301


@SUITE.law(_ordinary)
def shapes_and_dtypes_are_kept(subject: Subject) -> None:
    """States come back as [batch, time, ..., dim] in their dtype, the first being the initial."""
    for dtype in (torch.float32, torch.float64):
        for shape in ((2,), (3, 2)):
            y0 = torch.randn(3, *shape, dtype=dtype)
            ys = solved(subject, turn, y0, TIMES, n_steps=5, rtol=1e-3).ys
            require(
                ys.shape == (3, 4, *shape) and ys.dtype == dtype,
                f"y0 {tuple(y0.shape)} of {dtype} over times (3, 4) gave {tuple(ys.shape)} of "
                f"{ys.dtype}.",
            )
            require(torch.equal(ys[:, 0], y0), "The first state is not the initial one.")


@SUITE.law(_fixed)
def observed_order_is_the_stated_one(subject: Subject) -> None:
    """Halving the step divides the error by two to the power of the order, within 0.3."""
    ends = TIMES[:, [0, -1]]
    right = turned(ends, STATES)
    coarse, fine = (
        difference(solved(subject, turn, STATES, ends, n_steps=n).ys, right) for n in (24, 48)
    )
    order = math.log2(max(coarse, 1e-300) / max(fine, 1e-300))
    require(
        order >= subject.cls.order - 0.3 and (order <= subject.cls.order + 0.3 or fine < 1e-12),
        f"The observed order is {order:.2f}, the stated one {subject.cls.order}.",
    )


@SUITE.law(_adaptive)
def tolerances_govern_the_error(subject: Subject) -> None:
    """Tolerances a hundred times tighter leave an error at least ten times smaller."""
    ends = TIMES[:, [0, -1]]
    right = turned(ends, STATES)
    loose, tight = (
        difference(solved(subject, turn, STATES, ends, rtol=r).ys, right) for r in (1e-3, 1e-5)
    )
    require(
        loose < 0.1 and (tight < loose / 10 or tight < 1e-9),
        f"The error is {loose:.2g} at rtol=1e-3 and {tight:.2g} at rtol=1e-5.",
    )


@SUITE.law(_ordinary)
def private_times_are_met(subject: Subject) -> None:
    """Every row is right at its own times, whichever way they run."""
    ys = solved(subject, turn, STATES, TIMES).ys
    require_near(subject, ys, turned(TIMES, STATES), "States at private times are wrong.")


@SUITE.law(_ordinary)
def the_clock_reaches_the_field(subject: Subject) -> None:
    """A field that depends on time is asked at the true time of each row, in both directions."""
    y0 = STATES + 2
    ys = solved(subject, seasonal, y0, TIMES).ys
    growth = torch.exp(torch.sin(TIMES) - torch.sin(TIMES[:, :1]))
    require_near(subject, ys, y0[:, None] * growth[..., None], "A field of time is solved wrongly.")


@SUITE.law(_ordinary)
def there_and_back_is_nowhere(subject: Subject) -> None:
    """Integrating to the end and back to the start gives the initial state."""
    ends = TIMES[:, [0, -1]]
    there = solved(subject, turn, STATES, ends).ys[:, -1]
    back = solved(subject, turn, there, ends.flip(1)).ys[:, -1]
    require_near(subject, back, STATES, "The way back does not end at the start.")


@SUITE.law(_ordinary)
def repeats_and_rests_change_nothing(subject: Subject) -> None:
    """A time asked for twice has one state; a row without a span rests; gradients are finite."""
    times = torch.tensor([[0.0, 0.0, 0.5, 0.5], [1.0, 1.0, 1.0, 1.0]], dtype=torch.float64)
    y0 = STATES[:2].clone().requires_grad_()
    ys = solved(subject, turn, y0, times).ys
    require_near(subject, ys[1], STATES[1].expand(4, -1), "A row without a span moved.")
    require_near(subject, ys[0, 0], ys[0, 1], "A repeated initial time has another state.")
    require_near(subject, ys[0, 2], ys[0, 3], "A repeated time has two states.")
    ys.sum().backward()  # type: ignore[no-untyped-call]  # torch leaves backward untyped
    require(
        y0.grad is not None and bool(torch.isfinite(y0.grad).all()),
        "Repeated times make gradients that are not finite.",
    )


@SUITE.law(_ordinary)
def rows_are_independent(subject: Subject) -> None:
    """A row is the same alone and beside one that moves ten times faster."""
    rates = torch.tensor([[1.0], [10.0]], dtype=torch.float64)

    def field(t: Tensor, y: Tensor) -> Tensor:
        return rates[: len(y)] * turn(t, y)

    together = solved(subject, field, STATES[:2], TIMES[:2, [0, -1]]).ys[:1]
    alone = solved(subject, turn, STATES[:1], TIMES[:1, [0, -1]]).ys
    require_near(subject, together, alone, "A row depends on the rows beside it.")


@SUITE.law(_ordinary)
def more_times_change_nothing(subject: Subject) -> None:
    """The state at a time is the same, within the accuracy, when others are asked for as well."""
    few = solved(subject, turn, STATES, TIMES[:, [0, 2, 3]]).ys[:, 1:]
    between = torch.linspace(0, 1, 7, dtype=torch.float64)
    start, end = TIMES[:, :1], TIMES[:, 3:]
    times, order = torch.cat([TIMES, start + between * (end - start)], 1).sort(1)
    times = torch.where(start > end, times.flip(1), times)
    order = torch.where(start > end, order.flip(1), order)
    many = solved(subject, turn, STATES, times).ys
    for k, asked in enumerate((2, 3)):
        at = (order == asked).int().argmax(1)
        states = many[torch.arange(3), at]
        require_near(subject, states, few[:, k], "Asking for more times changes a state.")


@SUITE.law(_ordinary)
def gradients_are_right(subject: Subject) -> None:
    """Gradients reach initial states and parameters of the field, with the analytic values."""
    _check_gradients(subject, first_way(subject))


def _offers_choice(subject: Subject) -> bool:
    return _ordinary(subject) and len(subject.cls.gradients) > 1


@SUITE.law(_offers_choice)
def every_way_to_the_gradients_is_right(subject: Subject) -> None:
    """Checkpoints and the adjoint equation lead to the analytic values as well."""
    for gradient in sorted(subject.cls.gradients):
        _check_gradients(subject, gradient)


def _check_gradients(subject: Subject, gradient: Any) -> None:
    """Compare the gradients of a decay with the analytic ones."""
    rate = torch.tensor(0.7, dtype=torch.float64, requires_grad=True)
    y0 = torch.tensor([[1.5, 0.5]], dtype=torch.float64, requires_grad=True)
    times = torch.tensor([[0.0, 1.0]], dtype=torch.float64)
    field = functools.partial(_decayed, rate)
    with warnings.catch_warnings():
        # Methods of low order warn that the way back is not exact; the error is looked at here.
        warnings.simplefilter("ignore", ode.GradientWarning)
        end = solved(subject, field, y0, times, gradient=gradient).ys[:, -1].sum()
        by_state, by_rate = torch.autograd.grad(end, [y0, rate], allow_unused=True)
    require(
        by_state is not None and by_rate is not None,
        f"No gradient reaches the initial state, or the parameters of the field, by {gradient}.",
    )
    decay = math.exp(-0.7)
    right = torch.tensor([decay, decay, -2 * decay], dtype=torch.float64)
    found = torch.cat([by_state.flatten(), by_rate[None]])
    require_near(subject, found, right, f"Gradients by {gradient} are not the analytic ones.")


def _decayed(rate: Tensor, t: Tensor, y: Tensor) -> Tensor:
    """A decay at a rate that is learned."""
    del t
    return -rate * y


@SUITE.law(_ordinary)
def a_failing_row_is_told_and_harmless(subject: Subject) -> None:
    """A row whose field is NaN gets a status; the others are right, and so are gradients."""
    scale = torch.ones((), dtype=torch.float64, requires_grad=True)

    def field(t: Tensor, y: Tensor) -> Tensor:
        return scale * torch.where(y.abs() > 50, torch.nan, turn(t, y))

    y0 = STATES.clone()
    y0[1] = 1e3
    solution = solved(subject, field, y0, TIMES, on_failure="nan")
    status = solution.status.tolist()
    require(status[1] != 0, "A row whose derivative is NaN has the status 0, solved.")
    require(status[0] == status[2] == 0, f"Healthy rows have the status {status}.")
    healthy = solution.ys[[0, 2]]
    right = turned(TIMES, STATES)[[0, 2]]
    require_near(subject, healthy, right, "A failing row makes others wrong.")
    healthy.sum().backward()  # type: ignore[no-untyped-call]  # torch leaves backward untyped
    require(
        scale.grad is not None and bool(torch.isfinite(scale.grad)),
        "A failing row poisons the gradients of the others.",
    )


@SUITE.law(_ordinary)
def work_is_counted_per_row(subject: Subject) -> None:
    """Statistics are whole numbers per row, and no more evaluations than the field saw."""
    calls = 0

    def field(t: Tensor, y: Tensor) -> Tensor:
        nonlocal calls
        calls += 1
        return turn(t, y)

    stats = solved(subject, field, STATES, TIMES, n_steps=10, rtol=1e-3).stats
    for name, count in (
        ("nfe", stats.nfe),
        ("accepted", stats.accepted),
        ("rejected", stats.rejected),
    ):
        require(
            count.shape == (3,) and count.dtype == torch.int64,
            f"stats.{name} has the shape {tuple(count.shape)} and the dtype {count.dtype}.",
        )
    most = int(stats.nfe.max())
    require(
        int(stats.nfe.min()) > 0 and most <= calls,
        f"Rows count {stats.nfe.tolist()} evaluations, while the field was called {calls} times.",
    )


@SUITE.law(_ordinary)
def the_step_budget_is_kept(subject: Subject) -> None:
    """More than ``max_steps`` steps are never taken: the rows fail, or the solver refuses."""
    calls = 0

    def field(t: Tensor, y: Tensor) -> Tensor:
        nonlocal calls
        calls += 1
        return 50 * turn(t, y)

    step = None if subject.cls.adaptive else 1e-3
    try:
        ode.solve(
            field,
            STATES,
            10 * TIMES,
            solver=subject.cls,
            step=step,
            rtol=1e-8,
            atol=1e-10,
            max_steps=5,
        )
    except ode.SolverError:
        require(calls < 2000, f"The field was called {calls} times within 5 steps.")
        return
    require(False, f"max_steps=5 was ignored: the field was called {calls} times.")


@SUITE.law(_ordinary)
def equal_calls_give_equal_answers(subject: Subject) -> None:
    """No noise, no memory of the last call, no change of what is given."""
    y0, times = STATES.clone(), TIMES.clone()
    generator = torch.get_rng_state()
    solver = subject.cls()
    options = ode.SolveOptions(n_steps=None if subject.cls.adaptive else 10, rtol=1e-3, atol=1e-5)
    first, second = (solver.integrate(turn, y0, times, options).ys for _ in range(2))
    require(torch.equal(first, second), "The same solver gives two answers.")
    require(torch.equal(y0, STATES) and torch.equal(times, TIMES), "Arguments were changed.")
    require(torch.equal(torch.get_rng_state(), generator), "It draws from the global generator.")


def _later(field: ode.VectorField, t: Tensor, y: Tensor) -> Tensor:
    """A field on a clock that shows ten million more."""
    return field(t - FAR, y)


@SUITE.law(_ordinary)
def time_shift_is_irrelevant(subject: Subject) -> None:
    """A field, also one of time, is solved equally well where the clock shows ten million."""
    for field in (turn, seasonal):
        near = solved(subject, field, STATES, TIMES).ys
        far = solved(subject, functools.partial(_later, field), STATES, TIMES + FAR).ys
        error = difference(far, near)
        require(
            error <= 10 * accuracy(subject),
            f"A shift of the clock changes the states by {error:.2g}: keep times in the dtype "
            f"that they come in.",
        )


class _Growth(ode.Dynamics):
    """Geometric Brownian motion dX = -X / 2 dt + X / 2 dW in either calculus."""

    noise_type = "diagonal"

    def __init__(self, dim: int, *, sde_type: str = "ito", noise: float = 0.5) -> None:
        super().__init__(dim)
        self.sde_type, self.noise = sde_type, noise

    def forward(self, t: Tensor, state: Tensor, inputs: Tensor | None = None) -> Tensor:
        """Drift."""
        del t, inputs
        return -0.5 * state

    def diffusion(self, t: Tensor, state: Tensor, inputs: Tensor | None = None) -> Tensor:
        """Diffusion of every coordinate."""
        del t, inputs
        return self.noise * state


def _stochastic(subject: Subject) -> bool:
    return "diagonal" in subject.cls.noise_types


def _path(
    subject: Subject, y0: Tensor, times: Tensor, seed: Any, *, noise: float = 0.5, step: float = 0.1
) -> Tensor:
    """States of a geometric Brownian motion."""
    calculus = min(subject.cls.sde_types)
    dynamics = _Growth(y0.shape[-1], sde_type=calculus, noise=noise)
    return ode.solve(dynamics, y0, times, solver=subject.cls, step=step, seed=seed).ys


@SUITE.law(_stochastic)
def paths_keep_shape_and_dtype(subject: Subject) -> None:
    """Paths come back as [batch, time, dim] in their dtype, the first state being the initial."""
    for dtype in (torch.float32, torch.float64):
        y0 = torch.randn(3, 2, dtype=dtype)
        ys = _path(subject, y0, TIMES, 0)
        require(
            ys.shape == (3, 4, 2) and ys.dtype == dtype and torch.equal(ys[:, 0], y0),
            f"y0 {tuple(y0.shape)} of {dtype} gave {tuple(ys.shape)} of {ys.dtype}, or another "
            f"first state.",
        )


@SUITE.law(_stochastic)
def paths_follow_their_seeds(subject: Subject) -> None:
    """Noise follows from a row's key alone: not from companions or the global generator."""
    keys = torch.tensor([11, 12, 11])
    y0, generator = torch.ones(3, 2, dtype=torch.float64), torch.get_rng_state()
    times = TIMES[:1].expand(3, -1)
    ys = _path(subject, y0, times, keys)
    require(torch.equal(ys[0], ys[2]), "Two rows of one key have different noise.")
    require(not torch.equal(ys[0], ys[1]), "Two rows of different keys have the same noise.")
    alone = _path(subject, y0[1:2], times[:1], keys[1:2])
    require(difference(alone, ys[1:2]) < 1e-9, "A row's path depends on its companions.")
    require(torch.equal(torch.get_rng_state(), generator), "It draws from the global generator.")


@SUITE.law(_stochastic)
def without_noise_the_drift_is_solved(subject: Subject) -> None:
    """Where the diffusion vanishes, the path is the solution of the ordinary equation."""
    times = torch.tensor([[0.0, 0.33, 1.0]], dtype=torch.float64)
    y0 = torch.ones(1, 2, dtype=torch.float64)
    ys = _path(subject, y0, times, 0, noise=0.0, step=0.01)
    error = difference(ys, torch.exp(-0.5 * times)[..., None].expand_as(ys))
    require(error < 5e-3, f"Without noise the error is {error:.2g} at steps of 0.01.")


@SUITE.law(_stochastic)
def moments_are_right_at_any_time(subject: Subject) -> None:
    """Mean and variance agree with the exact ones, between the steps too."""
    times = torch.tensor([[0.0, 0.137, 0.5, 1.0]], dtype=torch.float64).expand(4000, -1)
    y0 = torch.ones(4000, 1, dtype=torch.float64)
    logs = _path(subject, y0, times, 0, step=0.05)[:, 1:, 0].clamp(min=1e-9).log()
    # In Ito's sense the logarithm drifts by half of the squared noise less.
    drift = -0.5 - (0.125 if min(subject.cls.sde_types) == "ito" else 0.0)
    elapsed = times[0, 1:]
    mean, variance = logs.mean(0), logs.var(0)
    allowed = 5 * (0.25 * elapsed / 4000).sqrt() + 0.01
    require(
        bool(((mean - drift * elapsed).abs() < allowed).all())
        and bool((variance / (0.25 * elapsed) - 1).abs().max() < 0.15),
        f"The logarithms have the means {mean.tolist()} and the variances {variance.tolist()}, "
        f"where {(drift * elapsed).tolist()} and {(0.25 * elapsed).tolist()} are right.",
    )


@SUITE.law(_stochastic)
def gradients_reach_the_initial_state(subject: Subject) -> None:
    """The derivative of a path of geometric Brownian motion is the path over its start."""
    y0 = torch.full((2, 1), 1.5, dtype=torch.float64, requires_grad=True)
    end = _path(subject, y0, TIMES[:2], 0)[:, -1]
    (found,) = torch.autograd.grad(end.sum(), [y0])
    require(difference(found, end.detach() / 1.5) < 1e-2, "The gradient is not the analytic one.")
