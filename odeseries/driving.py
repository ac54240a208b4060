"""Known inputs along time, and dynamics closed over them."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from odeseries.errors import DataError, PluginError, SolverError
from odeseries.interfaces import Dynamics

__all__ = ["Driven", "InputPath", "Waves"]


class Waves:
    """Sines and cosines of periods, such as a day and a year, on a clock of every row's own.

    Parameters
    ----------
    start : Tensor of shape (batch, 2 * n_periods)
        Sine and cosine of each period's phase at time 0, one pair after another.
    turns : Tensor of shape (n_periods,)
        Angular frequencies.
    """

    def __init__(self, start: Tensor, turns: Tensor) -> None:
        self.start, self.turns = start, turns

    def __call__(self, t: Tensor) -> Tensor:
        """Sines and cosines at times (batch, ..., 1); shape (batch, ..., 2 * n_periods)."""
        shape = (len(t), *[1] * (t.ndim - 2), len(self.turns))
        sine, cosine = (self.start[:, k::2].reshape(shape) for k in (0, 1))
        angle = t.to(self.start.dtype) * self.turns
        turned = (torch.sin(angle), torch.cos(angle))
        pairs = [sine * turned[1] + cosine * turned[0], cosine * turned[1] - sine * turned[0]]
        return torch.stack(pairs, -1).flatten(-2)

    @property
    def n_inputs(self) -> int:
        """Two for every period."""
        return self.start.shape[-1]

    def reversed(self) -> Waves:
        """The same on a clock that runs backwards."""
        return Waves(self.start, -self.turns)


class InputPath:
    """Inputs at any time, every row of a batch interpolating between knots of its own.

    Before a row's first knot and after its last one the inputs stay as they are there; a row
    without knots has zeros. Two knots at one time are a jump.

    Parameters
    ----------
    times : Tensor of shape (batch, n_knots)
        Knots; never decreasing within a row.
    values : Tensor of shape (batch, n_knots, n_inputs)
        Inputs at the knots; whole numbers become those of torch's default dtype.
    mask : Tensor of bool, shape (batch, n_knots), optional
        False where there is no knot; times and values may be anything there.
    interpolation : {"linear", "previous"}, default="linear"
        Straight lines between knots, or the value of the last knot until the next one.
    waves : Waves, optional
        Further inputs, which need no knots; they come last.

    Raises
    ------
    DataError
        If the shapes don't agree, a time or value is not finite, the knots of a row are not
        sorted, or the interpolation is unknown.

    Examples
    --------
    >>> import torch
    >>> from odeseries.driving import InputPath
    >>> path = InputPath(torch.tensor([[0.0, 1.0]]), torch.tensor([[[0.0], [2.0]]]))
    >>> path(torch.tensor([[0.25]]))
    tensor([[0.5000]])
    """

    def __init__(
        self,
        times: Tensor,
        values: Tensor,
        mask: Tensor | None = None,
        *,
        interpolation: Literal["linear", "previous"] = "linear",
        waves: Waves | None = None,
    ) -> None:
        if interpolation not in ("linear", "previous"):
            raise DataError(
                f"interpolation={interpolation!r} is unknown: use 'linear' or 'previous'."
            )
        mask = torch.ones_like(times, dtype=torch.bool) if mask is None else mask
        if times.ndim != 2 or values.shape[:-1] != times.shape or mask.shape != times.shape:
            raise DataError(
                f"times has the shape {tuple(times.shape)}, values {tuple(values.shape)} and mask "
                f"{tuple(mask.shape)}: give (batch, n_knots), (batch, n_knots, n_inputs) and "
                f"(batch, n_knots)."
            )
        self.interpolation, self.waves = interpolation, waves
        # Between whole numbers there are others.
        values = values if values.is_floating_point() else values.to(torch.get_default_dtype())
        self.times, self.values = _packed(times, values, mask)
        _check_knots(self.times, self.values)
        self._pieces = self._tabled()

    @property
    def n_inputs(self) -> int:
        """Number of inputs."""
        return self.values.shape[-1] + (0 if self.waves is None else self.waves.n_inputs)

    @property
    def jumps(self) -> bool:
        """Whether the inputs may jump at their knots."""
        if self.interpolation == "previous":
            return True
        together = self.times.diff(dim=1) == 0
        return bool((together[..., None] & (self.values.diff(dim=1) != 0)).any())

    def __call__(self, t: Tensor) -> Tensor:
        """Inputs at times of shape (batch, ..., 1); shape (batch, ..., n_inputs)."""
        if self.waves is None:
            return self._between(t)
        waves = self.waves(t)
        return waves if self.values.shape[-1] == 0 else torch.cat([self._between(t), waves], -1)

    def _between(self, t: Tensor) -> Tensor:
        """Inputs that are given at knots."""
        self.check_rows(len(t))
        asked = t.flatten(1).contiguous()
        piece = torch.searchsorted(self.times.to(t.dtype), asked, right=True)
        out = _picked(self._pieces, piece)
        if self.interpolation == "linear":
            value, slope = out[..., 1:].chunk(2, -1)
            out = value + (asked[..., None] - out[..., :1]) * slope
        return out.to(self.values.dtype).reshape(*t.shape[:-1], self.values.shape[-1])

    def check_rows(self, batch: int) -> None:
        """Refuse to give inputs to another number of rows than they are for.

        Raises
        ------
        DataError
            If it is another one.
        """
        if batch != len(self.times):
            raise DataError(
                f"The inputs are those of {len(self.times)} rows, and are asked for by {batch}: "
                f"give every row of the batch its knots, times.expand(batch, -1) if all share them."
            )

    def held(self) -> Tensor:
        """Inputs before, between and after the knots, if they are constant there.

        Shape (batch, n_knots + 1, n_inputs).
        """
        return torch.cat([self.values[:, :1], self.values], 1)

    def reversed(self) -> InputPath:
        """The same inputs on a clock that runs backwards."""
        times, values = -self.times.flip(1), self.values.flip(1)
        if self.interpolation == "previous":
            # What held since a knot now holds until it.
            times = torch.cat([times[:, :1], times], 1)
            values = torch.cat([values, values[:, -1:]], 1)
        waves = None if self.waves is None else self.waves.reversed()
        return InputPath(times, values, interpolation=self.interpolation, waves=waves)

    def levelled(self) -> InputPath:
        """Inputs that are constant between knots, with the means of these ones.

        So a closed form can be used. The error is of the order of the squared distance of the
        knots, as is that of straight lines between samples of a smooth input. With waves, which
        are constant nowhere, the path stays as it is.
        """
        if self.interpolation == "previous" or self.waves is not None:
            return self
        means = (self.values[:, 1:] + self.values[:, :-1]) / 2
        values = torch.cat([self.values[:, :1], means, self.values[:, -1:]], 1)
        times = torch.cat([self.times[:, :1], self.times], 1)
        return InputPath(times, values, interpolation="previous")

    def _tabled(self) -> Tensor:
        """For each piece between knots its value, or its start, value there, and slope."""
        if self.interpolation == "previous":
            return self.held()
        lengths = self.times.diff(dim=1)[..., None]
        slopes = self.values.diff(dim=1) / torch.where(lengths > 0, lengths, 1)
        start = torch.cat([self.times[:, :1], self.times], 1)[..., None]
        flat = torch.zeros_like(self.values[:, :1])
        return torch.cat([start, self.held(), torch.cat([flat, slopes, flat], 1)], -1)


class Driven(Dynamics):
    """A dynamics closed over the inputs of a batch, which ``solve`` takes like any other.

    A closed form is used if it has one and the inputs are constant between knots. Steps should end
    at the knots; where the inputs jump, as those held constant do, ``"midpoint"`` is the method
    that keeps its order.

    Parameters
    ----------
    dynamics : Dynamics
        What is driven.
    path : InputPath
        Inputs of the rows to be solved, in their order and on their clock.

    Raises
    ------
    PluginError
        If the dynamics was not made for so many inputs.
    SolverError
        If derivatives are asked for by the times of jumps, which only a closed form has.

    Examples
    --------
    >>> import torch
    >>> from odeseries import solve
    >>> from odeseries.driving import Driven, InputPath
    >>> from odeseries.dynamics import MLP
    >>> path = InputPath(torch.tensor([[0.0, 1.0]]), torch.tensor([[[0.0], [2.0]]]))
    >>> driven = Driven(MLP(3, n_inputs=1), path)
    >>> solve(driven, torch.ones(1, 3), torch.tensor([0.0, 0.3, 1.0])).ys.shape
    torch.Size([1, 3, 3])
    """

    bound_to_rows = True

    def __init__(self, dynamics: Dynamics, path: InputPath) -> None:
        super().__init__(dynamics.dim)
        if dynamics.n_inputs != path.n_inputs:
            raise PluginError(
                f"{type(dynamics).__name__} was made for n_inputs={dynamics.n_inputs}, but there "
                f"are {path.n_inputs}: make it with n_inputs={path.n_inputs}, if its takes_inputs "
                f"is True."
            )
        self.dynamics, self.path = dynamics, path
        self.autonomous = False
        constant = path.interpolation == "previous" and path.waves is None
        self.closed_form = dynamics.closed_form and constant
        self.noise_type, self.sde_type = dynamics.noise_type, dynamics.sde_type
        sought = path.times.requires_grad and torch.is_grad_enabled()
        if sought and path.jumps and not self.closed_form:
            raise SolverError(
                "Steps give no derivatives by the times at which inputs jump: give the path "
                "times.detach(), or a dynamics with a closed form, such as 'linear', and inputs "
                "held between their knots."
            )

    @property
    def state_dim(self) -> int:
        """Dimension of the driven dynamics' state."""
        return self.dynamics.state_dim

    def lift(self, z: Tensor) -> Tensor:
        """Lift as the driven dynamics does."""
        return self.dynamics.lift(z)

    def read(self, state: Tensor) -> Tensor:
        """Read as the driven dynamics does."""
        return self.dynamics.read(state)

    def forward(self, t: Tensor, state: Tensor, inputs: Tensor | None = None) -> Tensor:
        """Derivative of the states of all rows, (batch, ..., state_dim)."""
        del inputs
        out: Tensor = self.dynamics(t, state, self._at(t, state))
        return out

    def diffusion(self, t: Tensor, state: Tensor, inputs: Tensor | None = None) -> Tensor:
        """Diffusion of a stochastic dynamics."""
        del inputs
        return self.dynamics.diffusion(t, state, self._at(t, state))

    def flow(self, state: Tensor, t0: Tensor, t1: Tensor, inputs: Tensor | None = None) -> Tensor:
        """Flow of states (batch, 1, ..., state_dim) from knot to knot, then to all times ``t1``.

        ``t0`` has the shape (batch, 1, ..., 1) and ``t1`` (batch, n_times, ..., 1), in every row
        on one side of ``t0``.
        """
        del inputs
        self.path.check_rows(len(state))
        sign = torch.where((t1 < t0).flatten(1).any(1, keepdim=True), -1, 1)
        asked = t1.flatten(1)
        legs, along = self._legs(sign, t0.reshape(len(t0), 1))
        # Those after the last time have no length: a solution may not exist beyond.
        last = (sign * asked).amax(1, keepdim=True).detach()
        ways = (legs.diff(dim=1) > 0) & (legs[:, :-1] <= last)
        passed = functional.pad(ways.any(0), (0, 1), value=True)
        legs, along = legs[:, passed], along[:, passed]
        starts, along = sign * torch.where(legs > last, last, legs), along.to(state.dtype)

        def shaped(x: Tensor) -> Tensor:
            """From (batch, n, width) to (batch, n, ..., width)."""
            return x.reshape(*x.shape[:2], *[1] * (t0.ndim - 3), x.shape[-1])

        states = self.dynamics.flow_through(state, shaped(starts[..., None]), shaped(along[:, :-1]))
        leg = torch.searchsorted(legs, sign * asked, right=True) - 1
        row = torch.arange(len(leg), device=leg.device)[:, None]
        start, held = starts[row, leg][..., None], along[row, leg]
        return self.dynamics.flow(states[row, leg], shaped(start), t1, shaped(held))

    def _legs(self, sign: Tensor, t0: Tensor) -> tuple[Tensor, Tensor]:
        """Starts of the legs on which inputs are constant, and these.

        Starts are counted along the row's direction, so that they rise. Legs before ``t0`` have
        no length.
        """
        knots, along = sign * self.path.times.to(t0.dtype), self.path.held()
        back = sign < 0
        knots = torch.where(back, knots.flip(1), knots)
        along = torch.where(back[..., None], along.flip(1), along)
        start = sign * t0
        return torch.cat([start, torch.where(knots <= start, start, knots)], 1), along

    def _at(self, t: Tensor, state: Tensor) -> Tensor:
        """Inputs at times that broadcast against the states."""
        inner = t.shape[1:] if t.ndim == state.ndim else [1] * (state.ndim - 1)
        return self.path(t.expand(len(state), *inner)).to(state.dtype)


def _picked(table: Tensor, index: Tensor) -> Tensor:
    """Rows ``table[b, index[b, i]]``."""
    return table.gather(1, index[..., None].expand(-1, -1, table.shape[-1]))


def _packed(times: Tensor, values: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Let what is no knot repeat the knot before it, or the first one, or be zero in all."""
    if times.shape[1] == 0:
        times, mask = functional.pad(times, (0, 1)), functional.pad(mask, (0, 1), value=False)
        values = functional.pad(values, (0, 0, 0, 1))
    index = torch.where(mask, torch.arange(mask.shape[1], device=mask.device), -1).cummax(1).values
    index = torch.where(index < 0, mask.int().argmax(1)[:, None], index)
    empty = ~mask.any(1)
    times = times.gather(1, index).masked_fill(empty[:, None], 0)
    values = values.gather(1, index[..., None].expand(values.shape))
    return times, values.masked_fill(empty[:, None, None], 0)


def _check_knots(times: Tensor, values: Tensor) -> None:
    """Refuse knots between which nothing can be interpolated."""
    broken = ~torch.isfinite(times).all(1) | ~torch.isfinite(values).flatten(1).all(1)
    if bool(broken.any()):
        raise DataError(
            f"Inputs of row {int(broken.int().argmax())} are not finite: fill them in, or mask "
            f"their knots."
        )
    unsorted = (times.diff(dim=1) < 0).any(1)
    if bool(unsorted.any()):
        raise DataError(f"The knots of row {int(unsorted.int().argmax())} are not sorted.")
