"""One entry to all methods of integration."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Literal

import torch
from torch import Tensor

from odeseries import plugins
from odeseries.errors import SolverError
from odeseries.interfaces import Dynamics, Solution, SolveOptions, Solver, no_work

__all__ = ["solve"]

DEFAULT_STEPS = 20
CAUSES = {
    Solver.NON_FINITE: "the state became infinite or NaN",
    Solver.STEP_BUDGET: "the step budget was exhausted",
    Solver.STEP_UNDERFLOW: "the step became too small: the problem is stiff or blows up",
}


def solve(
    dynamics: Dynamics | Callable[[Tensor, Tensor], Tensor],
    y0: Tensor,
    times: Tensor,
    *,
    solver: str | type[Solver] = "rk4",
    step: float | None = None,
    n_steps: int | None = None,
    rtol: float = 1e-3,
    atol: float = 1e-4,
    max_steps: int = 10_000,
    mask: Tensor | None = None,
    on_failure: Literal["raise", "nan"] = "raise",
) -> Solution:
    """Integrate a batch, every row over its own times.

    Parameters
    ----------
    dynamics : Dynamics or callable
        A dynamics, or ``field(t, state)`` with ``t`` broadcasting against ``state[..., :1]``.
        A dynamics with a closed form is evaluated, not stepped.
    y0 : Tensor of shape (batch, ..., dim)
        States at the first time of each row.
    times : Tensor of shape (n_times,) or (batch, n_times)
        Shared or per row; monotone in either direction, repeats allowed.
    solver : str or Solver class, default="rk4"
        Method; ``"torchdiffeq:dopri5"`` and its like need shared times to be fast.
    step : float, optional
        Length of a fixed step in the unit of ``times``.
    n_steps : int, optional
        Number of fixed steps over each row's span (20 if neither is given).
    rtol, atol : float
        Tolerances of adaptive methods.
    max_steps : int
        Most steps of a row.
    mask : Tensor of bool, shape (batch, n_times), optional
        False at padding, which follows the valid times of a row; the state there is that of the
        last valid time.
    on_failure : {"raise", "nan"}
        Whether a row that can't be solved raises, or is NaN and leaves the others right.

    Returns
    -------
    Solution
        ``ys`` of shape (batch, n_times, ..., dim).

    Raises
    ------
    SolverError
        If a row fails and ``on_failure="raise"``, or the steps asked for are impossible.

    Examples
    --------
    >>> import torch
    >>> from odeseries import solve
    >>> times = torch.tensor([[0.0, 1.0], [0.0, 2.0]])
    >>> ys = solve(lambda t, y: -y, torch.ones(2, 1), times).ys
    >>> [round(float(y), 3) for y in ys[:, 1, 0]]
    [0.368, 0.135]
    """
    times = _per_row(times, y0, mask)
    if isinstance(dynamics, Dynamics) and dynamics.closed_form:
        solution = _closed(dynamics, y0, times)
    else:
        options = _options(step, n_steps, rtol, atol, max_steps)
        method = plugins.get("solver", solver)()
        solution = method.integrate(dynamics, y0, times, options)
    failed = solution.status != Solver.OK
    if not bool(failed.any()):
        return solution
    if on_failure == "raise":
        raise SolverError(_explained(solution, times))
    rows = failed.reshape(-1, *[1] * (solution.ys.ndim - 1))
    return replace(solution, ys=torch.where(rows, torch.nan, solution.ys))


def _per_row(times: Tensor, y0: Tensor, mask: Tensor | None) -> Tensor:
    """Times of shape (batch, n_times), padding replaced by the last valid time."""
    if times.ndim == 1:
        times = times.expand(len(y0), -1)
    if times.ndim != 2 or len(times) != len(y0):
        raise SolverError(
            f"times has the shape {tuple(times.shape)}: give (n_times,) or (batch, n_times) with "
            f"the batch of y0, {len(y0)}."
        )
    if mask is not None:
        last = (mask.long().sum(1, keepdim=True) - 1).clamp(min=0)
        times = torch.where(mask, times, times.gather(1, last))
    steps = times.diff(dim=1)
    mixed = (steps > 0).any(1) & (steps < 0).any(1)
    if bool(mixed.any()):
        row = int(mixed.nonzero()[0, 0])
        raise SolverError(f"The times of row {row} go forth and back: sort them.")
    return times


def _options(
    step: float | None, n_steps: int | None, rtol: float, atol: float, max_steps: int
) -> SolveOptions:
    """Checked options."""
    if step is not None and n_steps is not None:
        raise SolverError("Give step or n_steps, not both.")
    if step is not None and not step > 0:
        raise SolverError(f"step={step} must be positive; the direction follows the times.")
    if n_steps is not None and n_steps < 1:
        raise SolverError(f"n_steps={n_steps} must be at least 1.")
    if step is None and n_steps is None:
        n_steps = DEFAULT_STEPS
    return SolveOptions(step, n_steps, rtol, atol, max_steps)


def _closed(dynamics: Dynamics, y0: Tensor, times: Tensor) -> Solution:
    """States by the exact flow."""
    shape = (*times.shape, *[1] * (y0.ndim - 1))
    elapsed = (times - times[:, :1]).to(y0.dtype).reshape(shape)
    ys = dynamics.flow(y0[:, None], torch.zeros_like(elapsed), elapsed)
    finite = torch.isfinite(ys.detach().flatten(1)).all(1)
    status = torch.where(finite, Solver.OK, Solver.NON_FINITE)
    return Solution(ys, no_work(len(y0), y0.device), status)


def _explained(solution: Solution, times: Tensor) -> str:
    """Which rows failed, why, how far they got, and what to try."""
    rows = (solution.status != Solver.OK).nonzero()[:, 0].tolist()
    first = rows[0]
    finite = torch.isfinite(solution.ys[first].detach().flatten(1)).all(1)
    reached = times[first][finite]
    last = float(reached[-1]) if len(reached) else float(times[first, 0])
    shown = ", ".join(map(str, rows[:5])) + (", ..." if len(rows) > 5 else "")
    cause = CAUSES.get(int(solution.status[first]), "the method failed")
    return (
        f"{len(rows)} of {len(times)} rows could not be integrated (rows {shown}): in row {first} "
        f"{cause} after t={last:.6g} of {float(times[first, -1]):.6g}. Try a smaller step or "
        'tighter tolerances, or on_failure="nan" to keep the other rows.'
    )
