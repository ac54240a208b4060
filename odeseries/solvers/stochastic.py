"""The package's own stochastic methods: fixed steps, every row on its own times and noise."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from odeseries.errors import SolverError
from odeseries.interfaces import Noise, Solution, SolveOptions, Solver, SolverStats, VectorField
from odeseries.solvers.brownian import Brownian
from odeseries.solvers.grids import Grid
from odeseries.solvers.rows import column, healed, status_of, stood_in

__all__ = ["Equation", "EulerMaruyama", "Milstein", "Stage", "StochasticHeun", "StochasticStep"]

ALL_NOISE = frozenset({"diagonal", "scalar", "additive", "general"})


@dataclass(frozen=True)
class Equation:
    """Drift and noise of a batch."""

    drift: VectorField
    noise: Noise

    def driven(self, diffusion: Tensor, brownian: Tensor) -> Tensor:
        """Apply the diffusion to an increment of shape (batch, ..., n_noise)."""
        if self.noise.noise_type == "diagonal":
            return diffusion * brownian
        return torch.einsum("...dm,...m->...d", diffusion, brownian)


@dataclass(frozen=True)
class Stage:
    """Where a step starts and how far it goes.

    Attributes
    ----------
    t, h : Tensor of shape (batch, 1, ...)
        Start and signed length; a row at rest has length 0.
    y : Tensor of shape (batch, ..., state_dim)
        State at ``t``.
    dw : Tensor of shape (batch, ..., n_noise)
        Increment of the Brownian motion over the step.
    """

    t: Tensor
    h: Tensor
    y: Tensor
    dw: Tensor


@dataclass(frozen=True)
class Plan:
    """Base grid and side steps.

    Attributes
    ----------
    counts : Tensor of int64, shape (batch,)
        Base steps that a row takes.
    base : Tensor of int64, shape (batch, n_times)
        Base step at whose start a time lies, or from whose start it is reached.
    share : Tensor of shape (batch, n_times)
        Share of that step after which the time comes; 0 on the grid.
    """

    counts: Tensor
    base: Tensor
    share: Tensor

    @classmethod
    def of(cls, grid: Grid) -> Plan:
        """Lay the times asked for on the grid."""
        position = grid.elapsed / torch.where(grid.step == 0, 1, grid.step)[:, None]
        nearest = position.round()
        rounding = 8 * torch.finfo(position.dtype).eps * (1 + nearest)
        on_grid = (position - nearest).abs() <= rounding
        base = torch.where(on_grid, nearest, position.floor())
        share = torch.where(on_grid, 0, position - base)
        return cls(base.long().amax(1), base.long(), share)


class StochasticStep(Solver):
    r"""Steps of one length per row, and a side step to every time between them.

    A row's base grid is :math:`t_0 + k h`. A time between two of its points is reached from the
    one before by a single shorter step, driven by the same Brownian path, which the base steps
    do not see: with ``step`` a row's state at a time depends neither on its other times nor on
    the other rows, with ``n_steps`` only through the length of the row's span. States are never
    interpolated, which would take away variance between the steps.

    The noise of a row is a function of its key: the same alone and in any batch, on any device,
    and the global generators are neither read nor advanced. A row whose times decrease follows
    the equation in reversed time, with the drift's sign changed and a Brownian motion of its own;
    that is not the law of the past given the present.

    The gradients are those of the steps, for a fixed path of the Brownian motion.

    References
    ----------
    Kloeden, P. E., Platen, E. (1992). Numerical Solution of Stochastic Differential Equations.
    Springer. Chapters 10 and 11.
    """

    adaptive: ClassVar[bool] = False
    evaluations: ClassVar[int]

    @abstractmethod
    def advance(self, equation: Equation, at: Stage) -> Tensor:
        """State after a step, of shape (batch, ..., state_dim)."""

    def integrate(
        self, field: VectorField, y0: Tensor, times: Tensor, options: SolveOptions
    ) -> Solution:
        """Integrate every row over its own times.

        Raises
        ------
        SolverError
            If the equation has no noise, or a row needs more than ``options.max_steps`` steps.
        """
        if options.noise is None:
            raise SolverError(f"{type(self).__name__} needs the noise of a stochastic dynamics.")
        equation, grid = Equation(field, options.noise), Grid.of(times, options)
        plan = Plan.of(grid)
        ys, status = self._march(equation, y0, grid, plan)
        failed = status != self.OK
        if bool(failed.any()):

            def again() -> Tensor:
                rest = grid.stopped(failed)
                return self._march(equation, stood_in(failed, y0), rest, Plan.of(rest))[0]

            ys = healed(failed, ys, y0, again)
        return Solution(ys, self._stats(equation, plan), status)

    def _march(
        self, equation: Equation, y0: Tensor, grid: Grid, plan: Plan
    ) -> tuple[Tensor, Tensor]:
        """States at the times asked for, and the status of every row."""
        shape = _noise_shape(equation, y0, grid)
        noise = Brownian(equation.noise.seeds, shape.numel(), y0.dtype, grid.step >= 0)
        states = self._base(equation, y0, grid, plan.counts, noise, shape)
        rows = torch.arange(len(y0), device=y0.device)[:, None]
        ys = self._side(equation, states[rows, plan.base], grid, plan, noise, shape)
        return ys, status_of(states, ys)

    def _base(
        self,
        equation: Equation,
        y0: Tensor,
        grid: Grid,
        counts: Tensor,
        noise: Brownian,
        shape: torch.Size,
    ) -> Tensor:
        """States on the base grid, (batch, n_steps + 1, ...)."""
        states, total = [y0], int(counts.max()) if len(y0) else 0
        origin = grid.start, y0.detach()
        for first in range(0, total, noise.block()):
            drawn = noise.increments(first, min(noise.block(), total - first))
            for k, unit in enumerate(drawn.unbind(1), first):
                step = grid.start + k * grid.step, grid.step, grid.step, states[-1]
                at = _stage(*_moving(counts > k, origin, *step), unit, shape)
                states.append(_kept(counts > k, self.advance(equation, at), states[-1]))
        return torch.stack(states, 1)

    def _side(
        self,
        equation: Equation,
        ys: Tensor,
        grid: Grid,
        plan: Plan,
        noise: Brownian,
        shape: torch.Size,
    ) -> Tensor:
        """Go on from the states (batch, n_times, ...) before the times to those at them."""
        columns = (plan.share > 0).any(0).nonzero()[:, 0].tolist()
        if not columns:
            return ys
        unit = noise.within(plan.base[:, columns], plan.share[:, columns])
        reached, origin = list(ys.unbind(1)), (grid.start, ys[:, 0].detach())
        for j, drawn in zip(columns, unit.unbind(1), strict=True):
            t = grid.start + plan.base[:, j] * grid.step
            step = t, plan.share[:, j] * grid.step, grid.step, reached[j]
            moving = plan.share[:, j] > 0
            at = _stage(*_moving(moving, origin, *step), drawn, shape)
            reached[j] = _kept(moving, self.advance(equation, at), reached[j])
        return torch.stack(reached, 1)

    def _stats(self, equation: Equation, plan: Plan) -> SolverStats:
        """Count steps, and evaluations of drift and diffusion with any that shows the noise."""
        taken = plan.counts + (plan.share > 0).sum(1)
        shown = int(equation.noise.noise_type != "diagonal")
        return SolverStats(shown + self.evaluations * taken, taken, torch.zeros_like(taken))


class EulerMaruyama(StochasticStep):
    r"""Euler and Maruyama's method, for any noise in Ito's sense.

    .. math:: X_{k+1} = X_k + f(X_k) h + g(X_k) \Delta W_k

    Strong order 0.5, and 1 for additive noise; weak order 1. One evaluation of the drift and one
    of the diffusion a step.

    References
    ----------
    Kloeden and Platen (1992), equation (10.2.4).
    """

    order: ClassVar[float] = 0.5
    noise_types: ClassVar[frozenset[str]] = ALL_NOISE
    sde_types: ClassVar[frozenset[str]] = frozenset({"ito"})
    evaluations: ClassVar[int] = 2

    def advance(self, equation: Equation, at: Stage) -> Tensor:
        """Take drift and diffusion at the start."""
        diffusion = equation.noise.diffusion(at.t, at.y)
        drift = equation.drift(at.t, at.y)
        return at.y + at.h * drift + equation.driven(diffusion, at.dw)


class Milstein(StochasticStep):
    r"""Milstein's method in Platen's form without derivatives, in Ito's sense.

    .. math::
        X_{k+1} = X_k + f h + g \Delta W_k
        + \frac{g(X_k + f h + g \sqrt h) - g}{2 \sqrt h} (\Delta W_k^2 - h)

    Strong order 1 for scalar and additive noise, and for diagonal noise where coordinate i of
    the diffusion depends on coordinate i of the state alone; 0.5 where it depends on others.
    One evaluation of the drift and two of the diffusion a step.

    References
    ----------
    Kloeden and Platen (1992), equation (11.1.3).
    """

    order: ClassVar[float] = 1.0
    noise_types: ClassVar[frozenset[str]] = ALL_NOISE - {"general"}
    sde_types: ClassVar[frozenset[str]] = frozenset({"ito"})
    evaluations: ClassVar[int] = 3

    def advance(self, equation: Equation, at: Stage) -> Tensor:
        """Add to an Euler step the effect of the noise on the diffusion."""
        diffusion = equation.noise.diffusion(at.t, at.y)
        ahead = at.y + at.h * equation.drift(at.t, at.y)
        length = at.h.abs()
        root = length.sqrt()
        support = ahead + equation.driven(diffusion, root.expand_as(at.dw))
        change = equation.noise.diffusion(at.t, support) - diffusion
        doubled = (at.dw**2 - length) / (2 * torch.where(root == 0, 1, root))
        return ahead + equation.driven(diffusion, at.dw) + equation.driven(change, doubled)


class StochasticHeun(StochasticStep):
    r"""Heun's method, for any noise in Stratonovich's sense.

    .. math::
        \hat X = X_k + f(X_k) h + g(X_k) \Delta W_k, \quad X_{k+1} = X_k
        + \tfrac12 (f(X_k) + f(\hat X)) h + \tfrac12 (g(X_k) + g(\hat X)) \Delta W_k

    Strong order 1 for diagonal, scalar and additive noise, 0.5 for general noise that does not
    commute; order 2 where there is no noise. Two evaluations of each a step.

    References
    ----------
    Rumelin, W. (1982). Numerical Treatment of Stochastic Differential Equations. SIAM Journal on
    Numerical Analysis 19(3). Section 3.
    """

    order: ClassVar[float] = 1.0
    noise_types: ClassVar[frozenset[str]] = ALL_NOISE
    sde_types: ClassVar[frozenset[str]] = frozenset({"stratonovich"})
    evaluations: ClassVar[int] = 4

    def advance(self, equation: Equation, at: Stage) -> Tensor:
        """Take the mean of both ends, the later one found by Euler's step."""
        drift, diffusion = equation.drift(at.t, at.y), equation.noise.diffusion(at.t, at.y)
        guess = at.y + at.h * drift + equation.driven(diffusion, at.dw)
        later = at.t + at.h
        drift = drift + equation.drift(later, guess)
        diffusion = diffusion + equation.noise.diffusion(later, guess)
        return at.y + at.h / 2 * drift + equation.driven(diffusion, at.dw) / 2


def _noise_shape(equation: Equation, y0: Tensor, grid: Grid) -> torch.Size:
    """Shape of a row's Brownian motion, seen from one evaluation."""
    if equation.noise.noise_type == "diagonal":
        return y0.shape[1:]
    t = column(grid.start, y0).to(y0.dtype)
    shape = equation.noise.diffusion(t, y0).shape
    return torch.Size([*shape[1:-2], shape[-1]])


def _moving(
    moving: Tensor,
    origin: tuple[Tensor, Tensor],
    t: Tensor,
    h: Tensor,
    scale: Tensor,
    y: Tensor,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """A step in which rows at rest have length 0, from where they started.

    The equation may be infinite where they are: it has only to exist up to there.
    """
    start, y0 = origin
    t, h, scale = (torch.where(moving, a, b) for a, b in ((t, start), (h, 0), (scale, 0)))
    return t, h, scale, torch.where(column(moving, y), y, y0)


def _kept(moving: Tensor, after: Tensor, before: Tensor) -> Tensor:
    """States after a step, of rows at rest those before it."""
    return torch.where(column(moving, after), after, before)


def _stage(
    t: Tensor, h: Tensor, scale: Tensor, y: Tensor, unit: Tensor, shape: torch.Size
) -> Stage:
    """A step of rows (batch,); ``unit`` (batch, size) belongs to steps of length 1."""
    t, h = column(t, y).to(y.dtype), column(h, y).to(y.dtype)
    root = column(scale.abs().sqrt(), y).to(y.dtype)
    return Stage(t, h, y, root * unit.reshape(len(y), *shape))
