"""A row of a batch as a system of SciPy's: arrays in, arrays out, and the Jacobian."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from odeseries.interfaces import SolveOptions, Solver, VectorField
from odeseries.solvers.inference import outside_inference
from odeseries.solvers.rows import column

__all__ = ["Array", "Path", "RowField", "System", "Trajectory"]

Array = NDArray[np.float64]


class System(Protocol):
    """What SciPy is given to integrate."""

    finite: bool
    """Whether what it last answered was finite."""

    @property
    def start(self) -> Array:
        """State at the time 0, (size,)."""

    @property
    def dtype(self) -> torch.dtype:
        """Of the states that the field sees."""

    def __call__(self, elapsed: float, y: Array) -> Array:
        """Slope, (size,)."""

    def jacobian(self, elapsed: float, y: Array) -> Array:
        """Derivative of the slope by the state, (size, size)."""


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
    finite, smooth : bool
        Whether what it last answered was finite, and the last Jacobian.
    """

    field: VectorField
    states: Tensor
    times: Tensor
    row: int
    count: int = 0
    finite: bool = True
    smooth: bool = True

    @classmethod
    def of(
        cls, field: VectorField, y0: Tensor, starts: Tensor, row: int, options: SolveOptions
    ) -> RowField:
        """Take a row out of a batch, by itself if the field treats rows alike."""
        starts = starts.double()
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
        self.finite = self.smooth and bool(np.isfinite(slope).all())
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
        with outside_inference(), torch.enable_grad():
            state = self.tensor(y).requires_grad_()
            slopes = self.slope(elapsed, state).flatten().unbind()
            rows = [_derivative(slope, state) for slope in slopes]
        jacobian: Array = torch.stack(rows).double().cpu().numpy()
        self.finite = self.smooth = bool(np.isfinite(jacobian).all())
        return jacobian


@dataclass
class Path:
    """What becomes of a row.

    Attributes
    ----------
    field : System
        What is integrated.
    last : ndarray or None
        State after the last step.
    taken, status : int
        Steps, and the status of the row.
    """

    field: System
    last: Array | None = None
    taken: int = 0
    status: int = Solver.OK

    def fail(self, code: int) -> None:
        """Note a failure; where the state was huge it has grown without bound."""
        self.status = code
        if self.last is not None:
            precision = float(torch.finfo(self.field.dtype).eps)
            bound = (1 + np.abs(self.field.start).max()) * precision**-0.5
            self.status = Solver.BLOW_UP if np.abs(self.last).max() > bound else code


@dataclass
class Trajectory:
    """The states of a row at any time on its way, out of the interpolants of its steps."""

    pieces: list[Callable[[float], Any]] = field(default_factory=list)
    ends: list[float] = field(default_factory=list)

    def add(self, dense: Any) -> None:
        """Append a step."""
        self.pieces.append(dense)
        self.ends.append(abs(dense.t))

    def __call__(self, elapsed: float) -> Array:
        """State (size,) at a time since the start."""
        place = min(int(np.searchsorted(self.ends, abs(elapsed))), len(self.ends) - 1)
        return np.asarray(self.pieces[place](elapsed), dtype=float)


def _derivative(value: Tensor, state: Tensor) -> Tensor:
    """Derivative of a number by the flattened state."""
    if not value.requires_grad:
        return torch.zeros_like(state).flatten()
    (found,) = torch.autograd.grad(value, state, retain_graph=True, allow_unused=True)
    return torch.zeros_like(state).flatten() if found is None else found.flatten()
