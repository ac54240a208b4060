"""What a plugin implements: a dynamics, a solver, and what a solver returns."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

__all__ = [
    "Dynamics",
    "Forecaster",
    "Noise",
    "Solution",
    "SolveOptions",
    "Solver",
    "SolverStats",
    "VectorField",
    "no_work",
]

VectorField = Callable[[Tensor, Tensor], Tensor]
"""``field(t, state)``: ``t`` broadcasts against ``state[..., :1]``; returns d state / dt."""


class Dynamics(nn.Module, ABC):
    """A learned vector field ``d state / dt = forward(t, state, inputs)``.

    A subclass takes the dimension of the vector that it moves as its first argument and its
    hyperparameters as keywords. Capabilities are stated on the class.

    Known inputs (a dose, a voltage, the season) drive a dynamics as follows. One that can be
    driven says ``takes_inputs = True`` and takes the keyword ``n_inputs=0``; it is then made with
    the number of inputs and called with their values at ``t``, of shape (..., n_inputs). One made
    without inputs, or that can't be driven, is called without and ignores any. Where the values
    come from is not its business: `odeseries.driving` interpolates them between their knots.

    Parameters
    ----------
    dim : int
        Dimension of the latent or observed vector.
    n_inputs : int, default=0
        Number of known inputs.

    Attributes
    ----------
    order : int
        Order of the differential equation.
    autonomous : bool
        Whether the field ignores ``t``.
    closed_form : bool
        Whether ``flow`` gives the exact solution; solvers then do not step.
    closed_divergence : bool
        Whether ``with_divergence`` gives the exact divergence; densities then need no autograd.
    takes_inputs : bool
        Whether the constructor takes ``n_inputs`` and the field depends on ``inputs``.
    bound_to_rows : bool
        Whether the field knows more of a row than its time and state, such as the row's own
        inputs, so that it must be asked for all rows of the batch at once.
    on_images : bool
        Whether states are images, of the shape (batch, height, width, channels).
    noise_type : {"diagonal", "scalar", "additive", "general"} or None
        Kind of the diffusion of a stochastic dynamics; None for an ordinary one.
    sde_type : {"ito", "stratonovich"}
        Calculus in which a stochastic dynamics is meant.
    """

    order: ClassVar[int] = 1
    takes_inputs: ClassVar[bool] = False
    bound_to_rows: ClassVar[bool] = False
    on_images: ClassVar[bool] = False
    # These may be a matter of an instance's hyperparameters.
    autonomous: bool = True
    closed_form: bool = False
    closed_divergence: bool = False
    noise_type: str | None = None
    sde_type: str = "ito"

    def __init__(self, dim: int, *, n_inputs: int = 0) -> None:
        super().__init__()
        self.dim, self.n_inputs = dim, n_inputs

    @property
    def state_dim(self) -> int:
        """Dimension of the state that is integrated."""
        return self.dim

    def lift(self, z: Tensor) -> Tensor:
        """From the vector ``[..., dim]`` to the initial state ``[..., state_dim]``."""
        return z

    def read(self, state: Tensor) -> Tensor:
        """From the state ``[..., state_dim]`` back to the vector ``[..., dim]``."""
        return state[..., : self.dim]

    @abstractmethod
    def forward(self, t: Tensor, state: Tensor, inputs: Tensor | None = None) -> Tensor:
        """Derivative of the state.

        Parameters
        ----------
        t : Tensor, broadcastable to ``state[..., :1]``
            Time.
        state : Tensor of shape (..., state_dim)
            State.
        inputs : Tensor of shape (..., n_inputs), optional
            Known inputs at ``t``; needed if ``n_inputs`` is not 0.

        Returns
        -------
        Tensor of shape (..., state_dim)
        """

    def with_inputs(self, x: Tensor, inputs: Tensor | None) -> Tensor:
        """``x`` and the inputs side by side, for a network that is to see both.

        Parameters
        ----------
        x : Tensor of shape (..., width)
            State, or part of it.
        inputs : Tensor of shape (..., n_inputs), broadcastable, or None
            Known inputs; ignored by a dynamics that was made without.

        Returns
        -------
        Tensor of shape (..., width + n_inputs)

        Raises
        ------
        ValueError
            If the inputs are missing or not ``n_inputs`` many.
        """
        if self.n_inputs == 0:
            return x
        known = self.checked_inputs(inputs)
        return torch.cat([x, known.expand(*x.shape[:-1], -1)], -1)

    def checked_inputs(self, inputs: Tensor | None) -> Tensor:
        """The inputs, if they are there and ``n_inputs`` many; otherwise a ValueError."""
        if inputs is None or inputs.shape[-1] != self.n_inputs:
            given = "none were given" if inputs is None else f"{inputs.shape[-1]} were given"
            raise ValueError(
                f"{type(self).__name__} was made for n_inputs={self.n_inputs}, but {given}: give "
                f"forward a tensor of shape (..., {self.n_inputs}), or solve a dynamics that "
                f"odeseries.driving.Driven has closed over its inputs."
            )
        return inputs

    def diffusion(self, t: Tensor, state: Tensor, inputs: Tensor | None = None) -> Tensor:
        r"""Diffusion :math:`g` of a stochastic dynamics :math:`dX = f dt + g dW`.

        Parameters
        ----------
        t, state, inputs
            As for ``forward``.

        Returns
        -------
        Tensor
            Diagonal noise: shape (..., state_dim), where coordinate i is driven by a Brownian
            motion of its own and depends on no other coordinate. Otherwise (..., state_dim,
            n_noise): with n_noise 1 if the noise is scalar, independent of the state if it is
            additive, anything if it is general.
        """
        raise NotImplementedError(f"{type(self).__name__} is an ordinary dynamics: no diffusion")

    def flow(self, state: Tensor, t0: Tensor, t1: Tensor, inputs: Tensor | None = None) -> Tensor:
        """Exact state at ``t1`` of the solution through ``state`` at ``t0``.

        Parameters
        ----------
        state : Tensor of shape (..., state_dim)
            State at ``t0``.
        t0, t1 : Tensor, broadcastable to ``state[..., :1]``
            Times; ``t1`` may lie before ``t0``.
        inputs : Tensor of shape (..., n_inputs), optional
            Known inputs, the same all the way from ``t0`` to ``t1``; given only to a dynamics
            that takes inputs.

        Returns
        -------
        Tensor of shape (..., state_dim)
        """
        raise NotImplementedError(f"{type(self).__name__} has no closed form: integrate it")

    def flow_through(self, state: Tensor, times: Tensor, inputs: Tensor) -> Tensor:
        """Exact states at successive times, between which the inputs are held.

        By one ``flow`` after another, unless a dynamics knows how to take all at once.

        Parameters
        ----------
        state : Tensor of shape (batch, 1, ..., state_dim)
            States at the first times.
        times : Tensor of shape (batch, n + 1, ..., 1)
            In every row rising or falling; equal ones are allowed.
        inputs : Tensor of shape (batch, n, ..., n_inputs)
            Known inputs from each time to the next.

        Returns
        -------
        Tensor of shape (batch, n + 1, ..., state_dim)
        """
        states = [state]
        for k in range(inputs.shape[1]):
            start, end, held = times[:, k : k + 1], times[:, k + 1 : k + 2], inputs[:, k : k + 1]
            states.append(self.flow(states[-1], start, end, held))
        return torch.cat(states, 1)

    def with_divergence(
        self, t: Tensor, state: Tensor, inputs: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        r"""Derivative of the state, and its divergence :math:`\sum_i \partial f_i / \partial s_i`.

        Parameters
        ----------
        t, state, inputs
            As for ``forward``.

        Returns
        -------
        slope : Tensor of shape (..., state_dim)
            As ``forward`` returns it.
        divergence : Tensor of shape (...)
        """
        raise NotImplementedError(f"{type(self).__name__} has no divergence in closed form")

    def start_at(self, frequencies: Tensor) -> None:
        """Initialise from angular frequencies found in the data; ignored unless overridden.

        Parameters
        ----------
        frequencies : Tensor of shape (n,)
            Angular frequencies, strongest first, in radians per unit of model time.
        """
        del frequencies

    def start_acceleration(self, weight: Tensor, bias: Tensor) -> None:
        """Initialise from a linear equation of second order; ignored unless overridden.

        Asked of a dynamics of order 2, whose state is (positions, velocities), by a forecaster
        that has found such an equation in its data.

        Parameters
        ----------
        weight : Tensor of shape (n_positions, 2 * n_positions + n_inputs)
            Of positions, velocities and inputs in the acceleration.
        bias : Tensor of shape (n_positions,)
            What is added.
        """
        del weight, bias

    def start_noise(self, size: Tensor) -> None:
        """Initialise the diffusion from disturbances found in data; ignored unless overridden.

        Parameters
        ----------
        size : Tensor of shape (n,)
            For the first coordinates of the state, by how much each is disturbed: in its unit per
            square root of the unit of model time.
        """
        del size


@dataclass(frozen=True)
class Noise:
    """What makes an equation stochastic.

    Attributes
    ----------
    diffusion : callable
        ``diffusion(t, state)``, of the shape that ``Dynamics.diffusion`` states.
    noise_type, sde_type : str
        Kind of the diffusion and the calculus, as stated by the dynamics.
    seeds : Tensor of int64, shape (batch,)
        Key of every row's Brownian motion: rows of equal keys have equal noise.
    parameters : tuple of Tensor
        What drift and diffusion learn, for methods that find gradients by an adjoint equation.
    """

    diffusion: VectorField
    noise_type: str
    sde_type: str
    seeds: Tensor
    parameters: tuple[Tensor, ...] = ()


@dataclass(frozen=True)
class SolveOptions:
    """What every solver is told beside the problem.

    Attributes
    ----------
    step : float, Tensor of shape (batch,), or None
        Length of a fixed step, in the unit of ``times``; the same for all rows, or each its own.
    n_steps : int or None
        Number of fixed steps over each row's own span; exclusive with ``step``.
    rtol, atol : float
        Tolerances of adaptive methods.
    max_steps : int
        Most steps of one row.
    noise : Noise or None
        Given to stochastic methods only, whose field is then the drift.
    separable : bool
        Whether the field may be asked for some of the rows only, which is so if it knows nothing
        of a row but its time and state.
    gradient : str
        Way to the gradients, one of those that the solver says it has.
    parameters : tuple of Tensor
        What the field is known to have learned.
    compile : bool
        Whether to compile the steps, which only a solver that says so is asked to do.
    """

    step: float | Tensor | None = None
    n_steps: int | None = None
    rtol: float = 1e-3
    atol: float = 1e-4
    max_steps: int = 10_000
    noise: Noise | None = None
    separable: bool = False
    gradient: str = "autograd"
    parameters: tuple[Tensor, ...] = ()
    compile: bool = False


@dataclass(frozen=True)
class SolverStats:
    """Work done for each row, shape (batch,): field evaluations and steps."""

    nfe: Tensor
    accepted: Tensor
    rejected: Tensor


@dataclass(frozen=True)
class Solution:
    """States at the times asked for.

    Attributes
    ----------
    ys : Tensor of shape (batch, n_times, ..., state_dim)
        States; ``ys[:, 0]`` is the initial one.
    stats : SolverStats
        Work per row.
    status : Tensor of int64, shape (batch,)
        0 where the row was solved, otherwise one of the codes of ``Solver``.
    """

    ys: Tensor
    stats: SolverStats
    status: Tensor


class Solver(ABC):
    """A method of integration; capabilities are stated on the class.

    Attributes
    ----------
    order : float
        Order of convergence; the strong order of a stochastic method.
    adaptive : bool
        Whether the method chooses its own steps from the tolerances.
    noise_types, sde_types : frozenset of str
        Noise and calculus that a stochastic method integrates; empty for an ordinary one.
    gradients : frozenset of str
        Ways to the gradients that the method has: "autograd", "checkpoint", "adjoint". One
        without autograd, which is the default, raises where it would cut a graph.
    compiles : bool
        Whether the method can compile its steps.
    """

    order: ClassVar[float]
    adaptive: ClassVar[bool]
    gradients: ClassVar[frozenset[str]] = frozenset({"autograd"})
    compiles: ClassVar[bool] = False
    noise_types: ClassVar[frozenset[str]] = frozenset()
    sde_types: ClassVar[frozenset[str]] = frozenset()

    OK: ClassVar[int] = 0
    NON_FINITE: ClassVar[int] = 1
    STEP_BUDGET: ClassVar[int] = 2
    STEP_UNDERFLOW: ClassVar[int] = 3
    BLOW_UP: ClassVar[int] = 4
    STIFF: ClassVar[int] = 5

    @abstractmethod
    def integrate(
        self, field: VectorField, y0: Tensor, times: Tensor, options: SolveOptions
    ) -> Solution:
        """Integrate every row over its own times.

        Parameters
        ----------
        field : callable
            ``field(t, state)``, ``t`` of shape (batch, 1, ...) broadcasting against the state.
        y0 : Tensor of shape (batch, ..., state_dim)
            States at ``times[:, 0]``.
        times : Tensor of shape (batch, n_times)
            Monotone per row, in either direction; repeats are allowed.
        options : SolveOptions
            Steps and tolerances.

        Returns
        -------
        Solution
        """


class Forecaster(ABC):  # noqa: B024  # a marker; what forecasters do is above this layer
    """Marker base of the forecasters that the registry accepts."""


def no_work(batch: int, device: torch.device) -> SolverStats:
    """Statistics of a solution in closed form: nothing was evaluated."""
    zero = torch.zeros(batch, dtype=torch.int64, device=device)
    return SolverStats(zero, zero.clone(), zero.clone())
