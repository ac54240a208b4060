"""A row of a batch as a system of SciPy's: arrays in, arrays out, and the Jacobian."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from odeseries.interfaces import SolveOptions, VectorField
from odeseries.solvers.rows import column

__all__ = ["Array", "RowField"]

Array = NDArray[np.float64]


@dataclass
class RowField:
    """The field of one row, as a function of the time since the row's first one.

    Where a field may know its rows apart it is asked for the whole batch, in which the other rows
    stay at their initial states.

    Attributes
    ----------
    field : callable
        Vector field of the batch.
    states : Tensor of shape (batch, ..., state_dim)
        Initial states of the rows that the field is asked for.
    times : Tensor of float64, shape (batch,)
        First times of those rows.
    row : int
        Position of the row among them.
    count : int
        How often the field was asked.
    finite : bool
        Whether what it last answered was finite.
    """

    field: VectorField
    states: Tensor
    times: Tensor
    row: int
    count: int = 0
    finite: bool = True

    @classmethod
    def of(
        cls, field: VectorField, y0: Tensor, times: Tensor, row: int, options: SolveOptions
    ) -> RowField:
        """Take a row out of a batch, by itself if the field treats rows alike."""
        starts = times[:, 0].double()
        if options.separable:
            return cls(field, y0[row : row + 1], starts[row : row + 1], 0)
        return cls(field, y0, starts, row)

    @property
    def dtype(self) -> torch.dtype:
        """Of the states that the field sees."""
        return self.states.dtype

    @property
    def start(self) -> Array:
        """Initial state, flattened."""
        flat: Array = self.states[self.row].detach().flatten().double().cpu().numpy()
        return flat

    def __call__(self, elapsed: float, y: Array) -> Array:
        """Slope of the flattened state, of shape (size,)."""
        slope: Array = self.slope(elapsed, self.tensor(y)).flatten().double().cpu().numpy()
        self.finite = bool(np.isfinite(slope).all())
        return slope

    def tensor(self, y: Array) -> Tensor:
        """The state of shape (..., state_dim) that an array holds."""
        return torch.from_numpy(np.array(y)).to(self.states).reshape(self.states.shape[1:])

    def slope(self, elapsed: float, state: Tensor) -> Tensor:
        """Slope of the row at a state of shape (..., state_dim)."""
        self.count += 1
        here = torch.arange(len(self.states), device=state.device) == self.row
        states = torch.where(column(here, self.states), state, self.states)
        t = column(self.times + elapsed * here, states).to(states.dtype)
        return self.field(t, states)[self.row]

    def jacobian(self, elapsed: float, y: Array) -> Array:
        """Derivative of the slope by the state, (size, size)."""
        with torch.enable_grad():
            state = self.tensor(y).requires_grad_()
            slopes = self.slope(elapsed, state).flatten().unbind()
        rows = [_derivative(slope, state) for slope in slopes]
        jacobian: Array = torch.stack(rows).double().cpu().numpy()
        return jacobian


def _derivative(value: Tensor, state: Tensor) -> Tensor:
    """Derivative of a number by the flattened state."""
    if not value.requires_grad:
        return torch.zeros_like(state).flatten()
    (found,) = torch.autograd.grad(value, state, retain_graph=True, allow_unused=True)
    return torch.zeros_like(state).flatten() if found is None else found.flatten()
