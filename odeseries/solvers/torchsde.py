"""The methods of torchsde behind the same interface, on noise by key.

torchsde knows one grid of times for a whole batch, interpolates linearly between its steps, and
draws noise for a batch from the global generator. Here every row is brought to its share of its
own span, rows whose shares and steps agree are solved together, the steps are laid so that each
time asked for ends one, and every step's noise is a function of the row's key.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, ClassVar

import torch
from torch import Tensor

from odeseries.errors import SolverError
from odeseries.interfaces import Noise, Solution, SolveOptions, Solver, SolverStats, VectorField
from odeseries.solvers.gradients import once
from odeseries.solvers.grids import Grid
from odeseries.solvers.inference import differentiable_again, outside_inference
from odeseries.solvers.levy import Area, SteppedNoise, Steps
from odeseries.solvers.rows import column, healed, resting, status_of, stood_in

__all__ = ["METHODS", "TorchSDE"]

ALL_NOISE = frozenset({"diagonal", "scalar", "additive", "general"})
HAIR = 1e-12
"""Relative excess of a step's length, so that rounding leaves no rest before a segment's end."""


class TorchSDE(Solver):
    """A method of torchsde's ``sdeint``, in fixed steps no longer than the package's own.

    A row's path depends on its key and its own times: it is laid through them, so that more of
    them give another path of the same law. Like the package's own methods it follows decreasing
    times in reversed time. The package's own are made for private times; here every distinct
    grid is a solve of its own.

    Gradients go through the operations of the steps, or with ``gradient="adjoint"`` are found by
    solving the stochastic adjoint equation backward along the same path, with no step kept. The
    adjoint sees the initial states, the parameters of the dynamics and those that are named,
    nothing else. Its gradients are those of the limit of short steps, with an error of the
    method's order; only those of ``reversible_heun`` are autograd's, to rounding.

    References
    ----------
    Li, X., Wong, T.-K. L., Chen, R. T. Q., Duvenaud, D. (2020). Scalable Gradients for
    Stochastic Differential Equations. AISTATS. Section 3 (adjoint).
    https://github.com/google-research/torchsde
    """

    adaptive: ClassVar[bool] = False
    method: ClassVar[str]
    noise_types: ClassVar[frozenset[str]] = ALL_NOISE
    gradients: ClassVar[frozenset[str]] = frozenset({"autograd", "adjoint"})
    area: ClassVar[Area] = "none"

    def integrate(
        self, field: VectorField, y0: Tensor, times: Tensor, options: SolveOptions
    ) -> Solution:
        """Integrate one group of rows with equal shares of their spans after another.

        Raises
        ------
        SolverError
            If the equation has no noise, or a row needs more than ``options.max_steps`` steps.
        """
        if options.noise is None:
            raise SolverError(f"{type(self).__name__} needs the noise of a stochastic dynamics.")
        with outside_inference():  # some methods differentiate the diffusion
            y0, times = differentiable_again(y0), differentiable_again(times)
            counts = Grid.of(times, options).counts
            return self._solved(_Problem(field, options.noise, y0, times, counts, options))

    def _solved(self, problem: _Problem) -> Solution:
        """Solve, twice if rows fail."""
        solution = self._grouped(problem, problem.counts > 0)
        failed = solution.status != self.OK
        if not bool(failed.any()):
            return solution

        def again() -> Tensor:
            return self._grouped(problem, (problem.counts > 0) & ~failed).ys

        return replace(solution, ys=healed(failed, solution.ys, problem.y0, again))

    def _grouped(self, problem: _Problem, rows: Tensor) -> Solution:
        """Solve some of the rows; the others rest where they start."""
        groups, owner = torch.unique(problem.grids(), dim=0, return_inverse=True)
        ys = resting(problem.y0, problem.times.shape[1])
        nfe, taken = torch.zeros(2, len(rows), dtype=torch.int64, device=rows.device)
        for group, key in enumerate(groups):
            members = (owner == group) & rows
            if bool(members.any()):
                equation = _Equation(problem, members, self.sde_types)
                steps = Steps.of(key[1:], int(key[0]))
                ys = torch.where(column(members, ys), self._solve(equation, steps), ys)
                nfe, taken = nfe + members * equation.nfe, taken + members * steps.count
        return Solution(ys, SolverStats(nfe, taken, torch.zeros_like(taken)), status_of(ys))

    def _solve(self, equation: _Equation, steps: Steps) -> Tensor:
        """Call torchsde from each distinct time to the next; (batch, n_times, ...)."""
        size, learning = equation.seen()
        noise = SteppedNoise(equation.keys, size, steps, equation.like, self.area)
        states, extra = [equation.start], None
        # Milstein's derivatives would otherwise leave a graph where nothing is learned.
        with torch.set_grad_enabled(learning and torch.is_grad_enabled()):
            for ends, length in zip(pairwise(steps.ends), steps.lengths, strict=True):
                state, extra = self._call(equation, states[-1], ends, length, noise, extra)
                states.append(state)
        path = torch.stack([states[i] for i in steps.index], 1)
        batch, shape = len(equation.like), equation.like.shape[1:-1]
        return path.reshape(batch, *shape, *path.shape[1:]).movedim(-2, 1)

    def _call(
        self,
        equation: _Equation,
        state: Tensor,
        ends: tuple[float, float],
        length: float,
        noise: SteppedNoise,
        extra: Any,
    ) -> tuple[Tensor, Any]:
        """State and the method's own memory at the end of a segment."""
        from torchsde import sdeint, sdeint_adjoint

        times = torch.tensor(ends, dtype=torch.float64, device=state.device)
        known = {"bm": noise, "method": self.method, "dt": length * (1 + HAIR)}
        known |= {"extra": True, "extra_solver_state": extra}
        if equation.problem.options.gradient == "adjoint":
            learned = equation.parameters
            path, extra = sdeint_adjoint(equation, state, times, adjoint_params=learned, **known)
            if equation.sde_type == "ito" or self.method == "reversible_heun":
                path = once(path, f"{type(self).__name__} of torchsde")
        else:
            path, extra = sdeint(equation, state, times, **known)
        return path[-1], extra


@dataclass(frozen=True)
class _Problem:
    """A batch, the number of steps over the span of every row, and what else was asked for."""

    field: VectorField
    noise: Noise
    y0: Tensor
    times: Tensor
    counts: Tensor
    options: SolveOptions

    def grids(self) -> Tensor:
        """Steps and shares of the span, (batch, 1 + n_times); rows of equal ones are a group."""
        elapsed = (self.times - self.times[:, :1]).double()
        shares = elapsed / torch.where(self.counts > 0, elapsed[:, -1], 1)[:, None]
        return torch.cat([self.counts[:, None], shares], 1)


class _Equation:
    """What torchsde asks of an equation, over shares of the rows' spans; others stand still.

    With the share s of a span S the equation is dX = f S ds + g sqrt(|S|) dW.
    """

    def __init__(self, problem: _Problem, rows: Tensor, sde_types: frozenset[str]) -> None:
        noise = problem.noise
        self.problem, self.rows, self.nfe = problem, rows, 0
        self.noise_type = noise.noise_type
        # Additive noise means the same in both calculi, but not to torchsde.
        fitting = noise.sde_type in sde_types
        self.sde_type = noise.sde_type if fitting else next(iter(sde_types))
        named = (*noise.parameters, *problem.options.parameters)
        self.parameters = tuple({id(p): p for p in named if p.requires_grad}.values())
        self.like = stood_in(~rows, problem.y0)
        self.start = self.like.flatten(0, -2)
        self.begin = column(stood_in(~rows, problem.times[:, 0]), self.like)
        span = problem.times[:, -1] - problem.times[:, 0]
        self.span = column(stood_in(~rows, span), self.like)
        self.keys = (noise.seeds, span >= 0)

    def seen(self) -> tuple[int, bool]:
        """Size of the noise of one state, and whether anything asks for gradients."""
        zero = torch.zeros((), device=self.like.device)
        drift, diffusion = self.f(zero, self.start), self.g(zero, self.start)
        return diffusion.shape[-1], drift.requires_grad or diffusion.requires_grad

    def f(self, share: Tensor, state: Tensor) -> Tensor:
        """Drift of flattened states (n, state_dim)."""
        return self._asked(self.problem.field, self.span, share, state)

    def g(self, share: Tensor, state: Tensor) -> Tensor:
        """Diffusion of flattened states."""
        root = self.span.abs().sqrt()
        return self._asked(self.problem.noise.diffusion, root, share, state)

    def _asked(self, function: VectorField, scale: Tensor, share: Tensor, state: Tensor) -> Tensor:
        self.nfe += 1
        t = self.begin + share.to(self.begin.dtype) * self.span
        found = function(t.to(state.dtype), state.reshape(self.like.shape))
        found = found * column(scale.flatten(), found).to(state.dtype)
        found = torch.where(column(self.rows, found), found, 0)
        return found.flatten(0, self.like.ndim - 2)


class Euler(TorchSDE):
    """Euler and Maruyama's method: strong order 0.5, and 1 for additive noise."""

    method, order, sde_types = "euler", 0.5, frozenset({"ito"})


class Milstein(TorchSDE):
    """Milstein's method with derivatives of the diffusion: strong order 1, in both calculi."""

    method, order, sde_types = "milstein", 1.0, frozenset({"ito", "stratonovich"})
    noise_types = ALL_NOISE - {"general"}


class SRK(TorchSDE):
    """Roessler's stochastic Runge-Kutta methods (2010): strong order 1.5, many evaluations."""

    method, order, sde_types = "srk", 1.5, frozenset({"ito"})
    noise_types = ALL_NOISE - {"general"}
    area = "space-time"


class Midpoint(TorchSDE):
    """Midpoint rule: strong order 1, and 0.5 for general noise that does not commute."""

    method, order, sde_types = "midpoint", 1.0, frozenset({"stratonovich"})


class Heun(TorchSDE):
    """Heun's method: strong order 1, and 0.5 for general noise that does not commute."""

    method, order, sde_types = "heun", 1.0, frozenset({"stratonovich"})


class EulerHeun(TorchSDE):
    """Euler's method in the drift, Heun's in the diffusion: strong order as Heun's."""

    method, order, sde_types = "euler_heun", 1.0, frozenset({"stratonovich"})


class ReversibleHeun(TorchSDE):
    """Kidger and others' reversible method (2021): strong order 0.5, and 1 for additive noise.

    Its steps can be taken back exactly, which makes its adjoint's gradients exact. One evaluation
    of drift and diffusion a step.
    """

    method, order, sde_types = "reversible_heun", 0.5, frozenset({"stratonovich"})


class LogODE(TorchSDE):
    """Log-ODE method by the midpoint rule: strong order 1, and 0.5 for general noise.

    With the area between the Brownian motions, which lets it use longer steps for general noise.
    """

    method, order, sde_types = "log_ode", 1.0, frozenset({"stratonovich"})
    area = "foster"


METHODS: dict[str, type[Solver]] = {
    "euler": Euler,
    "milstein": Milstein,
    "srk": SRK,
    "midpoint": Midpoint,
    "heun": Heun,
    "euler_heun": EulerHeun,
    "reversible_heun": ReversibleHeun,
    "log_ode": LogODE,
}
"""Classes by torchsde's names."""
