"""Costs of a path as integrals beside the state, and random ends: what makes fields easy to solve.

A field that moves states in straight lines at constant speed is solved in few steps. Two costs
that are small for such fields, added to the loss, teach a field to be one of them.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from odeseries.errors import SolverError
from odeseries.interfaces import Dynamics, VectorField
from odeseries.solvers.inference import differentiable_again, outside_inference
from odeseries.solvers.noise import whole_seed, within_64_bits

__all__ = ["Costs", "Regularised", "random_end"]


@dataclass(frozen=True)
class Costs:
    """Integrals along the paths from their first times on, never negative.

    Attributes
    ----------
    kinetic : Tensor of shape (batch, n_times)
        Of the squared norm of the slope.
    jacobian : Tensor of shape (batch, n_times)
        Of the estimated squared Frobenius norm of the field's Jacobian.
    """

    kinetic: Tensor
    jacobian: Tensor


class Regularised(nn.Module):
    r"""A field with the kinetic energy and the Jacobian's norm as running integrals.

    .. math:: \dot y = f(t, y), \qquad \dot K = \lVert f \rVert^2, \qquad
              \dot J = \frac1n \sum_i \lVert \epsilon_i^\top \partial_y f \rVert^2,

    where the probes :math:`\epsilon_i` are random signs, drawn once, so that J is a smooth
    function of time; its expectation is the integral of the squared Frobenius norm. Both are
    sums over all coordinates of a row: divide by their number for an average.

    Parameters
    ----------
    field : callable
        ``field(t, state)``, such as a dynamics, where no row looks at another.
    y0 : Tensor of shape (batch, ..., state_dim)
        Initial states.
    seed : int or torch.Generator
        Randomness of the probes. A generator is advanced; global ones are left alone.
    n_probes : int, default=1
        Number of probes, each of which costs a pass back through the field for every
        evaluation. The variance of J falls as its inverse.

    Attributes
    ----------
    start : Tensor of shape (batch, ..., state_dim + 2)
        Initial states of what is to be solved.

    Raises
    ------
    SolverError
        If ``n_probes`` is less than 1, the seed is none, or the field is a stochastic dynamics;
        later on, if what is solved does not start as ``start`` does.

    References
    ----------
    Finlay, C., Jacobsen, J.-H., Nurbekyan, L., Oberman, A. (2020). How to Train Your Neural ODE:
    the World of Jacobian and Kinetic Regularization. ICML. Sections 3.1 (kinetic energy) and 3.2
    (Frobenius norm, and its estimate).

    Examples
    --------
    >>> import torch
    >>> from odeseries import Regularised, solve
    >>> y0, times = torch.ones(4, 2), torch.tensor([0.0, 0.5, 1.0])
    >>> field = Regularised(lambda t, y: -y, y0, seed=0)
    >>> ys, costs = field.split(solve(field, field.start, times).ys)
    >>> ys.shape, costs.kinetic.shape, costs.jacobian[0].detach().round(decimals=2)
    (torch.Size([4, 3, 2]), torch.Size([4, 3]), tensor([0., 1., 2.]))
    """

    def __init__(
        self, field: VectorField, y0: Tensor, *, seed: int | torch.Generator, n_probes: int = 1
    ) -> None:
        super().__init__()
        if n_probes < 1:
            raise SolverError(f"n_probes={n_probes} must be at least 1.")
        if isinstance(field, Dynamics) and field.noise_type is not None:
            raise SolverError(
                f"{type(field).__name__} is stochastic, and its paths have no slope whose square "
                f"could be summed: give an ordinary dynamics, or the drift alone as a function."
            )
        self.field = field
        self.start = torch.cat([y0, torch.zeros_like(y0[..., :1]).expand(*y0.shape[:-1], 2)], -1)
        shape = (n_probes, *y0.shape)
        source = _generator(seed)
        signs = torch.randint(2, shape, generator=source, dtype=torch.int8, device=source.device)
        self.probes = (2 * signs - 1).to(y0.detach())

    def forward(self, t: Tensor, state: Tensor) -> Tensor:
        """Slope of the states and of their costs, (batch, ..., state_dim + 2)."""
        if state.shape != self.start.shape:
            raise SolverError(
                f"The states have the shape {tuple(state.shape)}, and those of this field "
                f"{tuple(self.start.shape)}: solve it from its attribute start, which has room for "
                f"the costs, or make one for the other states."
            )
        learning = torch.is_grad_enabled()
        with outside_inference(), torch.enable_grad():
            t, y = differentiable_again(t), differentiable_again(state[..., :-2])
            y = y if learning and y.requires_grad else y.detach().requires_grad_()
            slope = self.field(t, y)
            norms = [_squared(row) for row in self._rows(slope, y, create_graph=learning)]
            jacobian = torch.stack(norms).mean(0)
            out = torch.cat([slope, _squared(slope), jacobian], -1)
        return out if learning else out.detach()

    def _rows(self, slope: Tensor, y: Tensor, *, create_graph: bool) -> list[Tensor]:
        """Products of the probes and the Jacobian."""
        if not slope.requires_grad:
            return [torch.zeros_like(slope)]
        return [
            torch.autograd.grad(
                slope,
                y,
                probe,
                create_graph=create_graph,
                retain_graph=True,
                materialize_grads=True,
            )[0]
            for probe in self.probes
        ]

    def split(self, ys: Tensor) -> tuple[Tensor, Costs]:
        """From a solution to its states and what they cost.

        Parameters
        ----------
        ys : Tensor of shape (batch, n_times, ..., state_dim + 2)
            States of a solution of this field.

        Returns
        -------
        states : Tensor of shape (batch, n_times, ..., state_dim)
        costs : Costs
        """
        # Where times decrease, the integrals count down from 0.
        sums = ys[..., -2:].flatten(2, -2).sum(2) if ys.ndim > 3 else ys[..., -2:]
        kinetic, jacobian = sums.abs().unbind(-1)
        return ys[..., :-2], Costs(kinetic, jacobian)


def random_end(
    times: Tensor,
    spread: float,
    *,
    seed: int | torch.Generator,
    mask: Tensor | None = None,
) -> Tensor:
    r"""Times whose last ones are drawn anew around themselves, to regularise a field.

    A row's last time :math:`t_n` becomes uniform on
    :math:`t_n \pm s \, (t_n - t_{n-1})`, so that the field can't rely on where it is read. A single
    time stays as it is.

    Parameters
    ----------
    times : Tensor of shape (n_times,) or (batch, n_times)
        Shared or per row, in either direction.
    spread : float
        The share s of the last interval, from 0 to less than 1.
    seed : int or torch.Generator
        Randomness. A generator is advanced; global ones are left alone.
    mask : Tensor of bool, shape (batch, n_times), optional
        False at padding, wherever it is; the last valid time of a row is drawn anew.

    Returns
    -------
    Tensor
        Of the shape of ``times``, or of the mask if there is one; whole numbers become float64.

    Raises
    ------
    SolverError
        If the spread is out of range, so that times might not be sorted, if the shapes don't fit,
        or the seed is none.

    References
    ----------
    Ghosh, A., Behl, H. S., Dupont, E., Torr, P. H. S., Namboodiri, V. (2020). STEER: Simple
    Temporal Regularization for Neural ODEs. NeurIPS. Section 3.

    Examples
    --------
    >>> import torch
    >>> from odeseries import random_end
    >>> times = random_end(torch.tensor([0.0, 1.0, 2.0]), 0.5, seed=0)
    >>> times[:2], bool(1.5 < times[2] < 2.5)
    (tensor([0., 1.]), True)
    """
    if not 0 <= spread < 1:
        raise SolverError(f"spread={spread} must be at least 0 and less than 1.")
    times, valid = _rows_of_times(times, mask)
    place = torch.where(valid, torch.arange(times.shape[-1], device=times.device), -1)
    last = place.amax(-1, keepdim=True)
    before = torch.where(place < last, place, -1).amax(-1, keepdim=True)
    # Where there is none it is the last one, and in a row of padding the first.
    last, before = last.clamp(min=0), torch.where(before < 0, last, before).clamp(min=0)
    end, source = times.gather(-1, last), _generator(seed)
    share = torch.rand(last.shape, generator=source, dtype=torch.float64, device=source.device)
    moved = spread * (2 * share.to(times) - 1) * (end - times.gather(-1, before))
    return times.scatter(-1, last, end + moved)


def _rows_of_times(times: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
    """Times that are no whole numbers, and which of them are valid, of one shape."""
    times = times if times.is_floating_point() else times.double()
    if mask is None:
        fits, mask = times.ndim in (1, 2), torch.ones_like(times, dtype=torch.bool)
    else:
        fits = mask.ndim in (1, 2) and mask.dtype == torch.bool
        fits &= times.shape in (mask.shape, mask.shape[-1:])
    if not fits or times.shape[-1] == 0:
        raise SolverError(
            f"times has the shape {tuple(times.shape)} and mask {tuple(mask.shape)} of "
            f"{mask.dtype}: give times (n_times,) or (batch, n_times), and a mask of bool, "
            f"(batch, n_times)."
        )
    return times.expand(mask.shape), mask


def _generator(seed: int | torch.Generator) -> torch.Generator:
    """The generator, or a new one from a seed as ``solve`` takes it."""
    if isinstance(seed, torch.Generator):
        return seed
    whole = within_64_bits(whole_seed(seed, " or a torch.Generator"))
    return torch.Generator().manual_seed(whole)


def _squared(x: Tensor) -> Tensor:
    """Squared norm over the last axis, which is kept."""
    return x.square().sum(-1, keepdim=True)
