"""The network of the neural ODE forecaster: data as states, shot from where they are seen."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from odeseries.anchoring import Anchor, Anchored
from odeseries.driving import Driven, InputPath, Waves
from odeseries.encoders import Encoder
from odeseries.forecasters.network import CLIP, SHORT, Interpolation, Sizes, input_path, read_waves
from odeseries.forecasters.oscillations import Excerpt, Oscillations, acceleration
from odeseries.forecasters.traced import Traced
from odeseries.interfaces import Dynamics
from odeseries.likelihoods import Head
from odeseries.solvers.options import options_for_users
from odeseries.solvers.solve import solve
from odeseries.windows import Batch, Side

__all__ = ["ShootingNetwork"]

SLOWEST, FASTEST = 1.0, 100.0
LARGEST_STEP = 0.5
FASTEST_TURN = 1.0
MOST_WINDOWS = 64


class ShootingNetwork(Traced):
    """One path of the dynamics through the data, from the nearest rows to the queries.

    A dynamics of second order begins with the damped oscillations that explain the channels best.
    The state at the anchor of a window is the last values, lifted, and what a linear map and an
    encoder of the rows make of the rows before: noise, hidden coordinates, velocities. Ahead of
    the anchor the path runs with time, before it against time. Between two observations the path
    starts at the first one; what it misses the second one by is taken off in proportion to time.

    Parameters
    ----------
    sizes : Sizes
        Dimensions.
    encoder : Encoder
        From rows to a vector.
    dynamics : Dynamics
        Of the channels and of ``dynamics.dim - sizes.n_channels`` hidden coordinates.
    head : Head
        Distribution around the path.
    anchor : Anchor
        First guess of the errors' size.
    solver, solver_params : str, dict
        Method of integration; the unit of time is the horizon. Without options the step is the
        shorter of ``step`` and half a radian of the data's typical rate.
    step : float
        Longest step without options.
    interpolation : {"linear", "previous"}
        How known inputs go on between their knots.
    periods : tuple of float
        Periods in horizons: a dynamics made for two more inputs each is driven by their sines and
        cosines, another one starts at them.
    feedthrough : bool
        Whether known inputs also move the channels at once.
    """

    rate: Tensor

    def __init__(
        self,
        sizes: Sizes,
        encoder: Encoder,
        dynamics: Dynamics,
        head: Head,
        anchor: Anchor,
        *,
        solver: str,
        solver_params: dict[str, Any] | None,
        step: float,
        interpolation: Interpolation,
        periods: tuple[float, ...],
        feedthrough: bool = False,
    ) -> None:
        super().__init__()
        self.sizes, self.interpolation = sizes, interpolation
        self.solver, self.solver_params, self.step = solver, solver_params, step
        self.periods = periods
        self.encoder, self.dynamics, self.head, self.anchor = encoder, dynamics, head, anchor
        self.register_buffer("rate", torch.ones(()))
        n_seen = sizes.n_lags * (2 * sizes.n_channels + sizes.n_inputs)
        self.observer = nn.Linear(2 * n_seen, dynamics.state_dim, bias=False)
        self.correction = nn.Linear(encoder.hidden, dynamics.state_dim)
        self.local = nn.Linear(3, sizes.hidden)
        self.channel = nn.Parameter(0.1 * torch.randn(sizes.n_channels, sizes.hidden))
        self.decode = nn.Linear(sizes.hidden, head.n_outputs)
        n_direct = sizes.n_inputs if feedthrough else 0
        self.direct = nn.Parameter(torch.zeros(n_direct, sizes.n_channels))
        for layer in (self.observer, self.correction, self.decode):
            nn.init.zeros_(layer.weight)
        nn.init.zeros_(self.correction.bias)
        nn.init.zeros_(self.decode.bias)

    @torch.no_grad()
    def start(self, batches: Sequence[Batch]) -> None:
        """Measure the errors of first guesses, and how fast the data change."""
        self.anchor.fit(batches)
        self.rate.fill_(_typical_rate(batches))
        if self.periods:
            turns = 2 * torch.pi / torch.tensor(self.periods)
            self.dynamics.start_at((turns / self.rate.cpu()).float())
        if self.dynamics.order == 2:
            self._start_oscillating(batches)

    def _start_oscillating(self, batches: Sequence[Batch]) -> None:
        """Begin with the oscillations that explain every channel best, if there are any to find."""
        n, n_channels = self.dynamics.state_dim // 2, self.sizes.n_channels
        if n < n_channels:
            return
        fastest = FASTEST_TURN / self._options().get("step", LARGEST_STEP)
        chosen = [(b, self._drive(b.left)) for b in _forecasts(batches)]
        found = []
        for c in range(n_channels):
            excerpts = [Excerpt.of(b, path, self.pace, c) for b, path in chosen]
            count = len(range(c, n, n_channels))
            best = Oscillations.found(excerpts, count, fastest, len(self.direct))
            if best is None:
                return
            found.append(best)
        self.dynamics.start_acceleration(*acceleration(found, n))
        self.direct.copy_(torch.from_numpy(np.stack([x.direct for x in found], 1)))

    def loss(self, batch: Batch, generator: torch.Generator | None) -> Tensor:
        """Loss of every window, averaged over its observed targets; shape (batch,)."""
        del generator
        raw, path, anchored = self._predicted(batch)
        each = self.head.loss(raw, path, anchored.spread, batch.targets)
        return batch.mean_of_observed(each)

    def quantiles(self, batch: Batch, levels: Tensor) -> tuple[Tensor, Tensor]:
        """Quantiles (batch, n_queries, channels, n_levels) and ages, standardised."""
        raw, path, anchored = self._predicted(batch)
        return self.head.quantiles(raw, path, anchored.spread, levels), anchored.age

    def _predicted(self, batch: Batch) -> tuple[Tensor, Tensor, Anchored]:
        """Raw outputs around the path, the path of the channels, and the anchors."""
        anchored = self.anchor(batch)
        states, _ = self.trace(batch)
        path = self.dynamics.read(states)[..., : self.sizes.n_channels]
        path = path + self._at_once(batch.inputs)
        age = anchored.age
        size = torch.log(anchored.spread / anchored.scale[:, None])
        features = torch.stack([torch.log1p(10 * age), torch.exp(-age / SHORT), size], -1)
        raw = self.decode(functional.silu(self.local(features) + self.channel))
        # The path is the location.
        raw = torch.cat([torch.zeros_like(raw[..., :1]), raw[..., 1:]], -1)
        return raw, path, anchored

    def _at_once(self, inputs: Tensor) -> Tensor:
        """By how much known inputs (..., n_inputs) move the channels at once."""
        return inputs[..., : len(self.direct)].clamp(-CLIP, CLIP) @ self.direct

    @property
    def n_visible(self) -> int:
        """The channels."""
        return self.sizes.n_channels

    @property
    def pace(self) -> float:
        """The typical rate of the data."""
        return float(self.rate)

    def trace(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """States at the queries, (batch, n_queries, state_dim), and evaluations of the field."""
        left, right = batch.left, batch.right
        start, times, drive = self._start(left), left.lead, self._drive(left)
        if right is None:
            return self._shot(start, times, drive)
        ahead = left.present | ~right.present
        start = torch.where(ahead[:, None], start, self._start(right))
        times = torch.where(ahead[:, None], left.lead, -right.lead)
        drive = _chosen(ahead, drive, self._drive(right))
        both = left.present & right.present
        meeting = left.lead[:, :1] + right.lead[:, :1]
        end = torch.where(both[:, None], meeting, times[:, -1:])
        states, nfe = self._shot(start, torch.cat([times, end], 1), drive)
        share = torch.where(both[:, None], left.lead / meeting.clamp(min=1e-9), 0.0)
        miss = self._miss(states[:, -1], right)
        return states[:, :-1] + share[..., None] * miss[:, None], nfe

    def _start(self, side: Side) -> Tensor:
        """State at the anchor of a side, (batch, state_dim)."""
        moved = self._at_once(side.at_anchor(side.inputs))
        hidden = self.dynamics.dim - self.sizes.n_channels
        last = functional.pad(side.lags[..., 0] - moved, (0, hidden))
        seen = self._seen(side)
        # Against time, slopes and their like have the other sign.
        seen = functional.pad(seen, (seen.shape[1], 0) if side.backward else (0, seen.shape[1]))
        code = self.encoder(self._rows(side), side.gaps, side.length)
        change: Tensor = self.observer(seen) + self.correction(code)
        return self.dynamics.lift(last) + change * side.present[:, None]

    def _seen(self, side: Side) -> Tensor:
        """Changes and slopes back from the last values, and the inputs of the last rows."""
        change = (side.lags - side.lags[..., :1]) * side.lag_mask
        elapsed = (side.lag_ages - side.lag_ages[..., :1]) * self.rate
        slope = change / elapsed.clamp(min=1e-2)
        back = side.length[:, None] - 1 - torch.arange(self.sizes.n_lags, device=change.device)
        rows = back.clamp(min=0)[..., None].expand(-1, -1, self.sizes.n_inputs)
        inputs = side.inputs.gather(1, rows) * (back >= 0)[..., None]
        seen = [change.flatten(1), slope.flatten(1), inputs.flatten(1)]
        return torch.cat(seen, 1).clamp(-CLIP, CLIP)

    def _rows(self, side: Side) -> Tensor:
        """Features of the rows, (batch, n_rows, n_row_features)."""
        values = (side.values * side.mask).clamp(-CLIP, CLIP)
        times = torch.log1p(10 * torch.stack([side.gaps, side.ages], -1))
        direction = torch.full_like(side.gaps, float(side.backward))[..., None]
        known = [side.phases, side.inputs.clamp(-CLIP, CLIP), direction, *read_waves(side, values)]
        return torch.cat([values, side.mask, times, *known], -1)

    def _drive(self, side: Side) -> InputPath | None:
        """What drives the path, on the clock of the dynamics."""
        if self.dynamics.n_inputs == 0:
            return None
        if self.dynamics.n_inputs == self.sizes.n_inputs:
            return input_path(side, self.interpolation, self.pace)
        turns = 2 * torch.pi / side.phases.new_tensor(self.periods) / self.pace
        waves = Waves(side.at_anchor(side.phases), turns)
        if self.sizes.n_inputs == 0:
            rest = side.gaps.new_zeros(len(side.gaps), 1)
            return InputPath(rest, rest[..., None][..., :0], waves=waves)
        return input_path(side, self.interpolation, self.pace, waves)

    def _shot(self, start: Tensor, times: Tensor, drive: InputPath | None) -> tuple[Tensor, Tensor]:
        """States at times in horizons, from the start at 0, and evaluations of the field."""
        order = times.abs().argsort(1)
        clock = functional.pad(times.gather(1, order), (1, 0)) * self.rate
        flow = self.dynamics
        if drive is not None:
            flow = Driven(flow, drive.levelled() if flow.closed_form else drive)
        solution = solve(
            flow,
            start,
            clock,
            solver=self.solver,
            on_failure="raise" if self.training else "nan",
            **self._options(),
        )
        back = order.argsort(1)[..., None].expand(-1, -1, start.shape[1])
        return solution.ys[:, 1:].gather(1, back), solution.stats.nfe

    def _options(self) -> dict[str, Any]:
        """Options of the solver, a step on the clock of the dynamics."""
        rate = self.pace
        if self.solver_params is None:
            return {"step": min(self.step * rate, LARGEST_STEP)}
        options = options_for_users(self.solver_params)
        if "step" in options:
            options["step"] = options["step"] * rate
        return options

    def _miss(self, states: Tensor, right: Side) -> Tensor:
        """What the states lack at the first row after the queries, 0 where that is not known."""
        values, mask, inputs = map(right.at_anchor, (right.values, right.mask, right.inputs))
        n = self.sizes.n_channels
        miss = (values - self.dynamics.read(states)[:, :n] - self._at_once(inputs)) * mask
        return functional.pad(miss, (0, states.shape[1] - n))


def _forecasts(batches: Sequence[Batch]) -> Iterator[Batch]:
    """Some windows that are asked for from before them alone, and have been observed there."""
    left = MOST_WINDOWS
    for batch in batches:
        seen = batch.left.present & (batch.left.length > 1)
        if batch.right is not None:
            seen = seen & ~batch.right.present
        rows = seen.nonzero()[:left, 0]
        left -= len(rows)
        if len(rows):
            yield batch.take(rows).to(torch.device("cpu"))


def _chosen(first: Tensor, one: InputPath | None, other: InputPath | None) -> InputPath | None:
    """Rows of one path or the other."""
    if one is None or other is None:
        return None
    width = max(one.times.shape[1], other.times.shape[1])
    times = torch.where(first[:, None], _widened(one.times, width), _widened(other.times, width))
    values = torch.where(
        first[:, None, None], _widened(one.values, width), _widened(other.values, width)
    )
    waves = None
    if one.waves is not None and other.waves is not None:
        start = torch.where(first[:, None], one.waves.start, other.waves.start)
        waves = Waves(start, one.waves.turns)
    return InputPath(times, values, interpolation=one.interpolation, waves=waves)


def _widened(x: Tensor, width: int) -> Tensor:
    """(batch, width, ...), the last entries repeated."""
    return torch.cat([x, x[:, -1:].expand(-1, width - x.shape[1], *x.shape[2:])], 1)


def _typical_rate(batches: Sequence[Batch]) -> float:
    """Root mean square of the standardised values' slopes from row to row, within bounds."""
    rise = run = 0.0
    for side in (b.left for b in batches):
        known = side.lag_mask[..., 1:] * side.lag_mask[..., :-1]
        rise += float((side.lags.diff(dim=-1) * known).square().sum())
        run += float((side.lag_ages.diff(dim=-1) * known).square().sum())
    return min(max(math.sqrt(rise / max(run, 1e-12)), SLOWEST), FASTEST)
