"""The network of the built-in forecasters: encode a side, flow to the query, decode."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from odeseries.anchoring import Anchor, Anchored
from odeseries.driving import Driven, InputPath, Waves
from odeseries.encoders import Encoder
from odeseries.forecasters.places import Everywhere, Observed, Places
from odeseries.forecasters.traced import Traced
from odeseries.interfaces import Dynamics
from odeseries.likelihoods import Head
from odeseries.nets import Perceptron, zero_last_layer
from odeseries.solvers.solve import solve
from odeseries.windows import Batch, Side

__all__ = ["FlowNetwork", "Interpolation", "Sizes", "input_path", "read_waves"]

Interpolation = Literal["linear", "previous"]

CLIP = 10.0
RECONSTRUCTED = 1.0
SHORT, LONG = 0.1, 0.4
FARTHEST = 3.0
"""Horizons beyond which a lead is not told apart: hardly any query of training is so far."""
N_FADES = 3
HEAVIEST = 30.0


@dataclass(frozen=True)
class Sizes:
    """Dimensions of a network."""

    n_channels: int
    n_inputs: int
    n_lags: int
    n_seasonal: int
    n_row_phases: int
    n_query_phases: int
    hidden: int
    n_waves: int = 0

    @property
    def n_row_features(self) -> int:
        """Features of a row: values, masks, two kinds of time, phases, inputs, direction, waves."""
        waves = (1 + self.n_channels) * self.n_waves
        return 2 * self.n_channels + 3 + self.n_row_phases + self.n_inputs + waves

    @property
    def n_local(self) -> int:
        """Features of a channel at a query: lags, seasons, age, statics."""
        return 3 * self.n_lags + 2 * self.n_seasonal + 6


class FlowNetwork(Traced):
    """Latent flow from the anchor of each side to the query, decoded channel by channel.

    The state at a side's anchor comes from an encoder of its rows, follows the dynamics for the
    time to the query, and is decoded together with the channel's own lags. Where both sides are
    seen, their decodings are averaged, the nearer one weighing more.

    Parameters
    ----------
    sizes : Sizes
        Dimensions.
    encoder : Encoder
        From rows to a vector.
    dynamics : Dynamics
        Of the latent vector.
    head : Head
        Predictive distribution.
    anchor : Anchor
        First guess.
    solver, solver_params : str, dict
        Method of integration; the unit of time is the horizon.
    variational : bool
        Whether the initial state is drawn from a learned normal distribution and the seen rows
        are reconstructed (Rubanova et al. 2019, equation (9)).
    tied : bool
        Whether the state of the encoder is the initial state of the flow.
    interpolation : {"linear", "previous"}
        How known inputs go on between their knots, where they drive the dynamics.
    balance : float
        In the loss a value weighs by the inverse of this power of the number of its channel's.
    """

    importance: Tensor

    def __init__(
        self,
        sizes: Sizes,
        encoder: Encoder,
        dynamics: Dynamics,
        head: Head,
        anchor: Anchor,
        *,
        solver: str,
        solver_params: dict[str, Any],
        variational: bool = False,
        tied: bool = False,
        interpolation: Interpolation = "linear",
        balance: float = 0.0,
    ) -> None:
        super().__init__()
        self.balance = balance
        self.register_buffer("importance", torch.ones(sizes.n_channels), persistent=False)
        self.interpolation: Interpolation = interpolation
        self.sizes, self.variational, self.tied = sizes, variational, tied
        self.solver, self.solver_params = solver, solver_params
        self.encoder, self.dynamics, self.head, self.anchor = encoder, dynamics, head, anchor
        hidden = sizes.hidden
        n_static = 2 * sizes.n_channels
        factor = 2 if variational else 1
        if not tied:
            self.initial = nn.Linear(encoder.hidden + n_static, factor * dynamics.dim)
        n_shared = dynamics.dim + 4 + sizes.n_query_phases + 2 * sizes.n_inputs
        self.shared = nn.Linear(n_shared, hidden)
        self.local = nn.Linear(sizes.n_local, hidden, bias=False)
        self.channel = nn.Parameter(0.1 * torch.randn(sizes.n_channels, hidden))
        self.mixing = nn.Parameter(torch.zeros(N_FADES, sizes.n_channels, sizes.n_channels))
        self.decode = Perceptron((hidden, hidden, head.n_outputs))
        zero_last_layer(self.decode)
        self.skip = nn.Linear(N_FADES * (sizes.n_lags + sizes.n_seasonal + 1), 1, bias=False)
        nn.init.zeros_(self.skip.weight)
        self.effect = nn.Parameter(torch.zeros(2 * sizes.n_inputs, sizes.n_channels))

    def start(self, batches: Sequence[Batch]) -> None:
        """Fit the anchor to windows before the first step, and count the values of channels."""
        self.anchor.fit(batches)
        if self.balance:
            count = torch.stack([batch.observed.sum((0, 1)) for batch in batches]).sum(0)
            self.importance.copy_(balanced(count, self.balance))

    def forward(self, batch: Batch) -> tuple[Tensor, Anchored]:
        """Raw outputs of the head, (batch, n_queries, channels, n_outputs), and the anchors."""
        anchored = self.anchor(batch)
        raw, _ = self._decoded(batch, anchored, None, Everywhere())
        return raw, anchored

    def loss(self, batch: Batch, generator: torch.Generator | None) -> Tensor:
        """Loss of every window, shape (batch,).

        The future's loss is averaged over the observed targets; the variational one adds the
        mean loss of the reconstructed rows and the divergence from the prior per observation.
        """
        anchored, places = self.anchor(batch), Observed(batch.observed)
        drawn = generator if self.variational else None
        raw, extra = self._decoded(batch, anchored, drawn, places)
        known = (anchored.base, anchored.spread, batch.targets)
        each = self.head.loss(raw, *(places.of_both(values) for values in known))
        if self.balance:
            each = each * places.of_channel(self.importance.expand(len(batch.asked), -1))
        return _weights(batch, anchored) * places.means(each) + extra

    def quantiles(self, batch: Batch, levels: Tensor) -> tuple[Tensor, Tensor]:
        """Quantiles (batch, n_queries, channels, n_levels) and ages, standardised."""
        raw, anchored = self(batch)
        return self.head.quantiles(raw, anchored.base, anchored.spread, levels), anchored.age

    def _decoded(
        self,
        batch: Batch,
        anchored: Anchored,
        generator: torch.Generator | None,
        places: Places,
    ) -> tuple[Tensor, Tensor]:
        """Raw outputs at the places and the additional loss of each window."""
        total = torch.zeros((), device=batch.phases.device)
        weights, extra = total, total
        for side in batch.sides():
            hidden, skip, more = self._side(side, batch, anchored, generator, places)
            weight = places.of_query(side.present[:, None] / (side.lead + 1e-2))[..., None]
            total = total + weight * torch.cat([hidden, skip[..., None]], -1)
            weights = weights + weight
            extra = extra + more
        joined = total / weights.clamp(min=1e-6)
        raw: Tensor = self.decode(functional.silu(joined[..., :-1]))
        raw = torch.cat([raw[..., :1] + joined[..., -1:], raw[..., 1:]], -1)
        return raw, extra

    def _side(
        self,
        side: Side,
        batch: Batch,
        anchored: Anchored,
        generator: torch.Generator | None,
        places: Places,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Hidden features and linear skip at the places, and additional loss, of one side."""
        path = self._path(side)
        code = self._code(side, anchored, path)
        extra = torch.zeros(len(code), device=code.device)
        if self.variational:
            code, divergence = _sampled(code, generator)
            extra = self._reconstruction(side, anchored, code, divergence, path) * side.present
        state = self._flow(code, side.lead, path)
        inputs = _inputs(side, batch)
        common = self._common(state, side.lead, batch.phases, inputs, side.backward)
        local, skip = self._local(side, anchored, places)
        hidden = places.of_query(common) + local
        return hidden, skip + places.of_both(inputs @ self.effect), extra

    def _mixed(self, side: Side, anchored: Anchored) -> Tensor:
        """What the last values of all channels tell of each, (batch, channels, N_FADES)."""
        last = (side.lags[..., 0] - anchored.level) / anchored.scale * side.lag_mask[..., 0]
        return torch.einsum("bc,fcd->bdf", last.clamp(-CLIP, CLIP), self.mixing)

    def _rows(self, side: Side, anchored: Anchored) -> Tensor:
        """Features of the rows, (batch, n_rows, n_row_features)."""
        centred = (side.values - anchored.level[:, None]) / anchored.scale[:, None]
        centred = (centred * side.mask).clamp(-CLIP, CLIP)
        times = torch.stack([side.gaps, side.ages], -1)
        direction = torch.full_like(side.gaps, float(side.backward))[..., None]
        known = [side.phases, side.inputs.clamp(-CLIP, CLIP), direction, *read_waves(side, centred)]
        return torch.cat([centred, side.mask, torch.log1p(10 * times), *known], -1)

    def trace(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Latent states at the queries, and evaluations of the field."""
        anchored = self.anchor(batch)
        found = []
        for side in batch.sides():
            path = self._path(side)
            code = self._code(side, anchored, path)
            code = code.chunk(2, -1)[0] if self.variational else code
            found.append(self._states(code, side.lead, path))
        if batch.right is None:
            return found[0]
        ahead = batch.left.present | ~batch.right.present
        (first, work), (second, other) = found
        return torch.where(ahead[:, None, None], first, second), torch.where(ahead, work, other)

    def _code(self, side: Side, anchored: Anchored, path: InputPath | None) -> Tensor:
        """Initial vector at the anchor of a side, or its mean and spread."""
        code: Tensor = self.encoder(self._rows(side, anchored), side.gaps, side.length, path)
        if self.tied:
            return code
        statics = self._statics(side, anchored).flatten(1)
        out: Tensor = self.initial(torch.cat([code, statics], -1))
        return out

    def _statics(self, side: Side, anchored: Anchored) -> Tensor:
        """Level and scale of every channel, (batch, channels, 2)."""
        level = torch.tanh(self.anchor.clipped(anchored.level) / 2)
        scale = torch.log(anchored.scale / self.anchor.pooled.sqrt()).clamp(-3, 3)
        return torch.stack([level, scale], -1) * side.present[:, None, None]

    def _path(self, side: Side) -> InputPath | None:
        """What drives the flow, on the clock of the leads."""
        if self.dynamics.n_inputs == 0:
            return None
        path = input_path(side, self.interpolation)
        path = path.reversed() if side.backward else path
        return path.levelled() if self.dynamics.closed_form else path

    def _flow(self, code: Tensor, lead: Tensor, path: InputPath | None) -> Tensor:
        """Latent vector at every lead, (batch, n_queries, dim)."""
        return self.dynamics.read(self._states(code, lead, path)[0])

    def _states(self, code: Tensor, lead: Tensor, path: InputPath | None) -> tuple[Tensor, Tensor]:
        """State at every lead, (batch, n_queries, state_dim), and evaluations of the field."""
        far = lead.abs()
        if bool((far.diff(dim=1) >= 0).all()):
            return self._solved(code, lead, path)
        order = far.argsort(1)
        states, work = self._solved(code, lead.gather(1, order), path)
        back = order.argsort(1)[..., None].expand_as(states)
        return states.gather(1, back), work

    def _solved(self, code: Tensor, lead: Tensor, path: InputPath | None) -> tuple[Tensor, Tensor]:
        """The same at leads that go away from the anchor."""
        times = functional.pad(lead, (1, 0))
        flow = self.dynamics if path is None else Driven(self.dynamics, path)
        solution = solve(
            flow,
            flow.lift(code),
            times,
            solver=self.solver,
            on_failure="raise" if self.training else "nan",
            **self.solver_params,
        )
        return solution.ys[:, 1:], solution.stats.nfe

    def _common(
        self, state: Tensor, lead: Tensor, phases: Tensor, inputs: Tensor, backward: bool
    ) -> Tensor:
        """What all channels share at a query."""
        near = lead.clamp(-FARTHEST, FARTHEST)
        far = near.abs()
        times = [near, torch.log1p(10 * far), torch.exp(-far / SHORT)]
        flags = [*times, torch.full_like(lead, float(backward))]
        out: Tensor = self.shared(torch.cat([state, torch.stack(flags, -1), phases, inputs], -1))
        return out

    def _local(self, side: Side, anchored: Anchored, places: Places) -> tuple[Tensor, Tensor]:
        """Features of the channels at the places, and the linear skip; the first (..., hidden).

        What a channel knows for all queries of a window is multiplied once.
        """
        level, scale = anchored.level[..., None], anchored.scale[..., None]
        lags = ((side.lags - level) / scale * side.lag_mask).clamp(-CLIP, CLIP)
        ages = torch.log1p(10 * side.lag_ages) * side.lag_mask
        fixed = torch.cat([lags, ages, side.lag_mask, self._statics(side, anchored)], -1)
        seasonal = (side.seasonal - level[:, None]) / scale[:, None]
        seasonal = places.of_both((seasonal * side.seasonal_mask).clamp(-CLIP, CLIP))
        base, times = _first_guess(anchored, places)
        moving = [seasonal, places.of_both(side.seasonal_mask), base, times]

        of_fixed, of_moving = self.local.weight.tensor_split([fixed.shape[-1]], 1)
        own = functional.linear(fixed, of_fixed) + self.channel
        hidden = places.of_channel(own) + functional.linear(torch.cat(moving, -1), of_moving)

        weights = self.skip.weight.view(N_FADES, -1)
        of_lags, of_others = weights.tensor_split([lags.shape[-1]], 1)
        told = functional.linear(lags, of_lags) + self._mixed(side, anchored)
        here = functional.linear(torch.cat([seasonal, base], -1), of_others)
        fades = places.of_query(_fades(side.lead))
        return hidden, ((places.of_channel(told) + here) * fades).sum(-1)

    def _reconstruction(
        self,
        side: Side,
        anchored: Anchored,
        code: Tensor,
        divergence: Tensor,
        path: InputPath | None,
    ) -> Tensor:
        """Loss of the seen rows within a horizon of the anchor, from the latent path alone."""
        ages = side.ages.clamp(max=RECONSTRUCTED)
        state = self._flow(code, -ages, path)
        phases = torch.zeros(*ages.shape, self.sizes.n_query_phases, device=ages.device)
        inputs = torch.zeros(*ages.shape, 2 * self.sizes.n_inputs, device=ages.device)
        common = self._common(state, -ages, phases, inputs, side.backward)
        raw = self.decode(functional.silu(common[:, :, None] + self.channel))
        centre = anchored.level[:, None].expand_as(side.values)
        scale = anchored.scale[:, None].expand_as(side.values)
        seen = side.mask * (side.ages < RECONSTRUCTED)[..., None]
        each = self.head.loss(raw, centre, scale, side.values)
        count = seen.sum((1, 2)).clamp(min=1)
        return ((each * seen).sum((1, 2)) + divergence) / count


def _first_guess(anchored: Anchored, places: Places) -> tuple[Tensor, Tensor]:
    """Base, (..., 1), and its age and spread as features, (..., 3), at the places."""
    level, scale = (places.of_channel(x) for x in (anchored.level, anchored.scale))
    age = places.of_both(anchored.age)
    base = ((places.of_both(anchored.base) - level) / scale).clamp(-CLIP, CLIP)
    size = torch.log(places.of_both(anchored.spread) / scale)
    times = [torch.log1p(10 * age), torch.exp(-age / SHORT), size]
    return base[..., None], torch.stack(times, -1)


def input_path(
    side: Side, interpolation: Interpolation, rate: float = 1.0, waves: Waves | None = None
) -> InputPath:
    """Known inputs along a side, on a clock that is 0 at the anchor and runs at a rate."""
    inputs = side.knot_inputs.clamp(-CLIP, CLIP)
    return InputPath(
        rate * side.knots, inputs, side.knot_mask, interpolation=interpolation, waves=waves
    )


def read_waves(side: Side, values: Tensor) -> list[Tensor]:
    """Waves of the rows and their products with values (batch, n_rows, channels), if there are any.

    Sums of these products over the rows are what a periodogram is made of (Scargle 1982).
    """
    if not side.waves.shape[-1]:
        return []
    return [side.waves, (values[..., None] * side.waves[..., None, :]).flatten(-2)]


def _fades(lead: Tensor) -> Tensor:
    """How the weight of what is known now may change with the lead, (batch, n_queries, N_FADES)."""
    return torch.stack(
        [torch.ones_like(lead), lead.clamp(max=FARTHEST), torch.exp(-lead / LONG)], -1
    )


def _inputs(side: Side, batch: Batch) -> Tensor:
    """Known inputs at the queries, and their change since the anchor; (batch, n_queries, 2n)."""
    change = (batch.inputs - side.at_anchor(side.inputs)[:, None]) * side.present[:, None, None]
    return torch.cat([batch.inputs, change], -1).clamp(-CLIP, CLIP)


def balanced(count: Tensor, power: float) -> Tensor:
    """Weights of channels with so many values, whose mean over all values is 1.

    They fall with a power of the count: with 0 every value counts alike, with 1 every channel.
    """
    raw = count.clamp(min=1) ** -power
    return raw * (count.sum() / (count * raw).sum().clamp(min=1e-12))


def _weights(batch: Batch, anchored: Anchored) -> Tensor:
    """Weights of the windows: small errors between near observations count like large ones.

    A window that is seen from both sides weighs as much as its typical error is smaller than the
    window's scale, within bounds; a forecast or a backcast weighs 1.
    """
    if batch.right is None:
        return torch.ones(len(batch.asked), device=batch.asked.device)
    seen = batch.observed
    ratio = (anchored.scale[:, None] / anchored.spread.detach() * seen).sum((1, 2))
    ratio = (ratio / seen.sum((1, 2)).clamp(min=1)).clamp(1.0, HEAVIEST)
    return torch.where(batch.left.present & batch.right.present, ratio, 1.0)


def _sampled(code: Tensor, generator: torch.Generator | None) -> tuple[Tensor, Tensor]:
    """A draw of the initial state (its mean without a generator) and its divergence in nats."""
    mean, log_std = code.chunk(2, -1)
    log_std = log_std.clamp(-6, 2)
    divergence = (0.5 * (mean**2 + torch.exp(2 * log_std) - 1) - log_std).sum(-1)
    if generator is None:
        return mean, divergence
    noise = torch.randn(mean.shape, generator=generator).to(mean)
    return mean + torch.exp(log_std) * noise, divergence
