"""The methods of torchode as solvers for odeseries: every row of a batch takes its own steps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import torch
import torchode
from torch import Tensor

import odeseries as ode

__all__ = ["Dopri5", "Heun", "TorchODE", "Tsit5", "odeseries_solvers"]

CODES = {
    torchode.Status.GENERAL_ERROR: ode.Solver.NON_FINITE,
    torchode.Status.INFINITE_NORM: ode.Solver.NON_FINITE,
    torchode.Status.REACHED_DT_MIN: ode.Solver.STEP_UNDERFLOW,
    torchode.Status.REACHED_MAX_STEPS: ode.Solver.STEP_BUDGET,
}


class TorchODE(ode.Solver):
    """An adaptive method of torchode, whose steps are governed by a PID controller for each row.

    torchode stops a batch as soon as one row fails. The rest is then solved again without it, so
    that a failing row costs time and nothing else. The field is asked for all rows at every step,
    also for those that are done, so that all rows have the same number of evaluations.

    References
    ----------
    Lienen, M., Guennemann, S. (2022). torchode: A Parallel ODE Solver for PyTorch. The Symbiosis
    of Deep Learning and Differential Equations II, NeurIPS workshop.
    """

    adaptive: ClassVar[bool] = True
    method: ClassVar[Callable[..., Any]]

    def integrate(
        self, field: ode.VectorField, y0: Tensor, times: Tensor, options: ode.SolveOptions
    ) -> ode.Solution:
        """Integrate every row over its own times, again without those that failed."""
        finite = torch.isfinite(y0.detach()).flatten(1).all(1)
        status = torch.where(finite, self.OK, self.NON_FINITE)
        ys = y0[:, None].expand(-1, times.shape[1], *y0.shape[1:])
        work = torch.zeros(3, len(y0), dtype=torch.int64, device=y0.device)
        active = (times[:, -1] != times[:, 0]) & finite
        while bool(active.any()):
            run = _Run(field, y0, times, active)
            solution = run.solve(self.method, options)
            code = _codes(solution, times.shape[1])
            failed = active & (code != self.OK)
            done = failed if bool(failed.any()) else active
            n_steps = solution.stats["n_steps"]
            counts = [torch.full_like(n_steps, run.calls), solution.stats["n_accepted"]]
            work = work + done * torch.stack([*counts, n_steps - counts[1]])
            status = torch.where(done, code, status)
            if done is active:
                found = solution.ys.reshape(*times.shape, *y0.shape[1:])
                ys = torch.where(_like(done, ys), found, ys)
            active = active & ~failed & bool(failed.any())
        ys = torch.where(_like(status != self.OK, ys), torch.nan, ys)
        return ode.Solution(ys, ode.SolverStats(*work), status)


class _Run:
    """One call of torchode for some rows; the others rest, at the place of the first of them."""

    def __init__(self, field: ode.VectorField, y0: Tensor, times: Tensor, active: Tensor) -> None:
        first = int(active.int().argmax())
        self.field, self.shape, self.active, self.calls = field, y0.shape, active, 0
        self.start = times[:, 0]
        elapsed = times - times[:, :1]
        self.times = torch.where(active[:, None], elapsed, elapsed[first])
        self.y0 = torch.where(_like(active, y0), y0, y0[first])

    def __call__(self, elapsed: Tensor, flat: Tensor) -> Tensor:
        """The field, for torchode's flat states."""
        self.calls += 1
        state = flat.reshape(self.shape)
        slope = self.field(_like(self.start + elapsed, state), state)
        return torch.where(_like(self.active, slope), slope, 0.0).flatten(1)

    def solve(self, method: Callable[..., Any], options: ode.SolveOptions) -> torchode.Solution:
        """Solve with the tolerances of the options."""
        term = torchode.ODETerm(self, with_stats=False)
        controller = torchode.PIDController(
            term=term, atol=options.atol, rtol=options.rtol, pcoeff=0.2, icoeff=0.5, dcoeff=0.0
        )
        adjoint = torchode.AutoDiffAdjoint(
            method(term=term),
            controller,
            max_steps=options.max_steps,
            backprop_through_step_size_control=False,
        )
        problem = torchode.InitialValueProblem(self.y0.flatten(1), t_eval=self.times)
        return adjoint.solve(problem, term)


def _like(rows: Tensor, state: Tensor) -> Tensor:
    """A number per row, so that it broadcasts against states (batch, ...)."""
    return rows.reshape(-1, *[1] * (state.ndim - 1))


def _codes(solution: torchode.Solution, n_times: int) -> Tensor:
    """Codes of odeseries; a row whose states are all there and finite has not failed."""
    ys = solution.ys.detach()
    whole = (solution.stats["n_initialized"] == n_times) & torch.isfinite(ys).flatten(1).all(1)
    codes = torch.full_like(solution.status, ode.Solver.NON_FINITE)
    for theirs, ours in CODES.items():
        codes = torch.where(solution.status == theirs.value, ours, codes)
    stopped = (solution.status == torchode.Status.SUCCESS.value) & ~whole
    healthy = whole | (stopped & bool((solution.status != 0).any()))
    return torch.where(healthy, ode.Solver.OK, codes)


class Dopri5(TorchODE):
    """Dormand and Prince's pair of orders 5 and 4 (1980)."""

    order, method = 5, torchode.Dopri5


class Tsit5(TorchODE):
    """Tsitouras' pair of orders 5 and 4 (2011), the usual choice."""

    order, method = 5, torchode.Tsit5


class Heun(TorchODE):
    """Heun's method of order 2 with error control by Euler's."""

    order, method = 2, torchode.Heun


@ode.hookimpl
def odeseries_solvers() -> dict[str, type[ode.Solver]]:
    """Solvers that this distribution offers, by name."""
    return {"dopri5": Dopri5, "heun": Heun, "tsit5": Tsit5}
