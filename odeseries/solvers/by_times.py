"""Derivatives by the times, which are the slopes there, whatever the steps in between."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from odeseries.interfaces import Solution, Solver, VectorField
from odeseries.solvers.dependencies import dependencies
from odeseries.solvers.gradients import Gate, input_gradients
from odeseries.solvers.rows import column, status_of, stood_in

__all__ = ["with_times"]


def with_times(
    field: VectorField,
    y0: Tensor,
    times: Tensor,
    integrate: Callable[[Tensor, Tensor], Solution],
    named: Iterable[Tensor] = (),
) -> Solution:
    r"""Integrate over constant times, and give the states their derivatives by these.

    For the exact solution y with :math:`\dot y = f(t, y)`

    .. math:: \frac{dy(t_k)}{dt_k} = f(t_k, y(t_k)), \qquad
              \frac{dy(t_k)}{dt_0} = -\frac{dy(t_k)}{dy_0} f(t_0, y_0).

    Those of the steps would be off where a row has none and where the field jumps, since a step
    that is moved meets the jump in another of its stages.

    Parameters
    ----------
    field : callable
        ``field(t, state)``.
    y0 : Tensor of shape (batch, ..., state_dim)
        Initial states.
    times : Tensor of shape (batch, n_times)
        Times, which require gradients.
    integrate : callable
        ``integrate(y0, times)``.
    named : iterable of Tensor
        Tensors known to be learned, such as the parameters of a module.
    """
    moving, learned = dependencies(field, column(times[:, 0], y0).to(y0.dtype), y0, named)

    def moved(ys: Tensor, times: Tensor, sign: int) -> Tensor:
        """The states, which move along the field with the times, or against it by the sign."""
        out: Tensor = _Moved.apply(moving, ys, times, sign, *learned)  # type: ignore[no-untyped-call]  # torch
        return out

    start = moved(y0[:, None], times[:, :1], -1)[:, 0]
    solution = integrate(start, times.detach())
    later = moved(solution.ys[:, 1:], times[:, 1:], 1)
    # The state at the first time is the given one, whatever that time is.
    return replace(solution, ys=torch.cat([y0[:, None], later], 1))


class _Moved(torch.autograd.Function):
    """States as functions of their times."""

    @staticmethod
    def forward(
        ctx: Any, field: VectorField, ys: Tensor, times: Tensor, sign: int, *learned: Tensor
    ) -> Tensor:
        """Hand the states on."""
        out = ys.view_as(ys)
        ctx.field, ctx.sign = field, sign
        # A gradient of zeros, as behind a gate, would be traced back through the field again.
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(out, times, *learned)
        return out

    @staticmethod
    def backward(ctx: Any, grad: Tensor | None) -> tuple[Tensor | None, ...]:
        """The slopes, by which states that have failed are not moved."""
        ys, times, *learned = ctx.saved_tensors
        nothing = (None,) * len(learned)
        if grad is None:
            return None, None, None, None, *nothing
        failed = status_of(ys) != Solver.OK
        if bool(failed.all()) or not times.shape[1]:
            return None, grad, torch.zeros_like(times), None, *nothing
        gate = Gate()
        ys, at = gate.behind(stood_in(failed, ys)), gate.behind(stood_in(failed, times))
        pairs = zip(at.unbind(1), ys.unbind(1), strict=True)
        slopes = torch.stack([ctx.field(column(t, y).to(y.dtype), y) for t, y in pairs], 1)
        failed = column(failed, grad)
        # Where nothing is asked for, a slope may be infinite.
        slopes = torch.where(failed | (grad == 0) & ~torch.isfinite(slopes), 0, slopes)
        asked = ctx.sign * torch.where(failed, 0, grad)
        by_times = (asked * slopes).flatten(2).sum(2).to(times.dtype)
        if not torch.is_grad_enabled():
            return None, grad, by_times, None, *nothing
        # Zero by itself, but not its derivative by the times.
        moved = column(at - at.detach(), ys).to(ys.dtype) * asked
        inputs = (ys, *learned)
        turned, *by_learned = input_gradients([slopes], [moved], inputs, create_graph=True)
        gate.open = True
        grad = grad if turned is None else torch.where(failed, grad, grad + turned)
        return None, grad, by_times, None, *by_learned
