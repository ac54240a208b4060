"""The network of the latent SDE: filter the state, sample the prior, infer the path."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from odeseries.driving import InputPath
from odeseries.encoders import Encoder
from odeseries.forecasters.decoder import FIRST_NOISE, QUIETEST, Decoder
from odeseries.forecasters.evidence import Evidence, between, gathered, leads
from odeseries.forecasters.increments import Increments, explain
from odeseries.forecasters.network import Interpolation, input_path, read_waves
from odeseries.forecasters.posteriors import Gaussian, Given, Posterior, drawn
from odeseries.interfaces import Dynamics
from odeseries.model import Model
from odeseries.nets import Perceptron, last_bias, zero_last_layer
from odeseries.solvers.solve import solve
from odeseries.windows import Batch, Side

__all__ = ["Prior", "SDENetwork"]

CLIP = 10.0
OBSERVED = 2000
"""Stream of the observation noise."""
MOST_STATES = 1 << 16


class Prior(Dynamics):
    """The equation that the rows of a batch follow away from their anchors.

    Rows whose anchor lies after what is asked for follow a drift of their own, since the past
    given the present is another process, with the same diffusion.

    Parameters
    ----------
    dynamics : Dynamics
        Forward in time.
    back : nn.Module
        Drift backward in time.
    backward : Tensor of bool, shape (batch,)
        Which rows go back.
    paths : tuple of InputPath
        What drives them, away from their anchors: forward and, if any row goes back, backward.
        Empty for a dynamics without inputs.

    References
    ----------
    Anderson, B. D. O. (1982). Reverse-time diffusion equation models. Stochastic Processes and
    their Applications 12, 313. Section 5.
    """

    bound_to_rows = True

    def __init__(
        self,
        dynamics: Dynamics,
        back: nn.Module,
        backward: Tensor,
        paths: tuple[InputPath, ...] = (),
    ) -> None:
        super().__init__(dynamics.dim)
        self.inputs = paths
        self.dynamics, self.back, self.backward = dynamics, back, backward
        self.mixed = bool(backward.any())
        self.noise_type, self.sde_type = dynamics.noise_type, dynamics.sde_type
        self.autonomous = dynamics.autonomous and not paths

    @property
    def state_dim(self) -> int:
        """Dimension of the dynamics' state."""
        return self.dynamics.state_dim

    def forward(self, t: Tensor, state: Tensor, inputs: Tensor | None = None) -> Tensor:
        """Drift of every row."""
        inputs = self._at(t, state)
        drift: Tensor = self.dynamics(t, state, inputs)
        if not self.mixed:
            return drift
        seen = self.dynamics.with_inputs(state, inputs)
        return torch.where(self._per_row(state), self.back(seen), drift)

    def diffusion(self, t: Tensor, state: Tensor, inputs: Tensor | None = None) -> Tensor:
        """Diffusion, the same in both directions."""
        return self.dynamics.diffusion(t, state, self._at(t, state))

    def _at(self, t: Tensor, state: Tensor) -> Tensor | None:
        """Inputs at times that broadcast against the states; None without any."""
        if not self.inputs:
            return None
        clock = t.expand(len(state), *t.shape[1:])
        known = [path(clock).to(state.dtype) for path in self.inputs]
        return torch.where(self._per_row(state), known[-1], known[0]) if self.mixed else known[0]

    def _per_row(self, state: Tensor) -> Tensor:
        return self.backward.reshape(-1, *[1] * (state.ndim - 1))


class SDENetwork(Model):
    r"""Filter, latent stochastic dynamics, decoder and posterior.

    An encoder reads the rows of a side into the normal law of the state at their last one, the
    filtered state. From there the prior equation leads on. Training maximises the bound

    .. math:: \log p(y \mid \text{rows}) \ge E_q \log p(y \mid z)
        - \mathrm{KL}(q(z_0) \| p(z_0 \mid \text{rows})) - \mathrm{KL}(q(z) \| p(z) \mid z_0)

    with a posterior that also knows what was asked for. Between two observations answers come
    from the posterior that knows the rows after them.

    Parameters
    ----------
    encoder : Encoder
        Of rows.
    dynamics : Dynamics
        Stochastic, of the latent vector.
    posterior : Posterior
    decoder : Decoder
    solver, solver_params : str, dict
        Method of integration; the unit of time is the horizon.
    n_paths : int
        Paths of which quantiles are taken.
    warmup : int
        Steps over which the weight of the divergences rises from 0 to 1.
    interpolation : {"linear", "previous"}
        How known inputs go on between their knots.
    """

    has_paths: ClassVar[bool] = True
    steps: Tensor

    def __init__(
        self,
        encoder: Encoder,
        dynamics: Dynamics,
        posterior: Posterior,
        decoder: Decoder,
        *,
        solver: Any,
        solver_params: dict[str, Any],
        n_paths: int,
        warmup: int,
        interpolation: Interpolation = "linear",
    ) -> None:
        super().__init__()
        self.encoder, self.dynamics, self.posterior = encoder, dynamics, posterior
        self.decoder = decoder
        self.solver, self.solver_params = solver, solver_params
        self.n_paths, self.warmup = n_paths, warmup
        self.interpolation: Interpolation = interpolation
        dim, n_channels = dynamics.state_dim, decoder.log_noise.shape[0]
        self.filter = Perceptron((encoder.hidden + 3 * n_channels, encoder.hidden, 2 * dim))
        zero_last_layer(self.filter)
        seen = dim + dynamics.n_inputs
        self.back = Perceptron((seen, encoder.hidden, encoder.hidden, dim), nn.Tanh)
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))

    def start(self, batches: Sequence[Batch]) -> None:
        """Turn the coordinates such that they are disturbed independently, as much as is seen.

        Where no window sees anything, nothing tells how fast values change: a horizon may then
        lead as far as values differ.
        """
        if not any(bool(side.present.any()) for batch in batches for side in batch.sides()):
            varies = torch.stack([(batch.targets != 0).any(0).any(0) for batch in batches]).any(0)
            self.dynamics.start_noise(varies[: self.dynamics.dim].to(self.decoder.log_noise))
            return
        seen = Increments.of(batches)
        sizes = self.decoder.start(seen)
        self.dynamics.start_noise(sizes)
        if len(sizes):
            self._start_noise(seen.thinned())

    @torch.no_grad()
    def _start_noise(self, seen: Increments) -> None:
        """Let disturbances and the noise of observations explain single increments."""
        here, change, noise = self.decoder.coordinates(seen)
        found = explain(self.dynamics, self.dynamics.lift(here), change, seen.gap, noise.log())
        self.decoder.start_noise(torch.exp(found))
        found = found.clamp(QUIETEST, FIRST_NOISE)
        self.posterior.start_noise(found)
        spread = last_bias(self.filter).chunk(2)[1]
        spread[: len(found)] = found - FIRST_NOISE

    def loss(self, batch: Batch, generator: torch.Generator | None) -> Tensor:
        """Negative bound per observation, in nats, shape (batch,)."""
        keys = torch.ones(len(batch.asked), dtype=torch.int64, device=batch.asked.device)
        weight = 1.0
        if generator is not None:
            keys = torch.randint(2**62, keys.shape, generator=generator).to(keys.device)
        if self.training and self.warmup:
            weight = min(1.0, (int(self.steps) + 1) / self.warmup)
            self.steps += 1
        evidence = gathered(batch)
        prior, start = self.prior(batch), self.filtered(batch)
        bound = self.bound(prior, start, evidence, keys, weight)
        return -bound / evidence.seen.sum((1, 2)).clamp(min=1)

    def bound(
        self,
        prior: Dynamics,
        start: Gaussian,
        evidence: Evidence,
        keys: Tensor,
        weight: float = 1.0,
    ) -> Tensor:
        """Lower bound of the log-likelihood of the evidence, estimated from one path, (batch,)."""
        found = self.posterior.infer(self._given(prior, start, evidence), keys)
        vectors = self.dynamics.read(found.states)
        fit = self.decoder.log_likelihood(vectors, evidence.values, evidence.seen)
        return fit - weight * (found.of_start + found.of_path)

    def quantiles(self, batch: Batch, levels: Tensor) -> tuple[Tensor, Tensor]:
        """Quantiles (batch, n_queries, channels, n_levels) of paths, and ages."""
        keys = torch.ones(len(batch.asked), dtype=torch.int64, device=batch.asked.device)

        def answer(part: Batch, key: Tensor) -> Tensor:
            return _quantiles(self._observed(part, key, self.n_paths, joint=False), levels)

        return self._in_parts(batch, keys, self.n_paths, answer), _ages(batch)

    def paths(self, batch: Batch, keys: Tensor, n_paths: int) -> Tensor:
        """Joint paths of every window, (batch, n_queries, channels, n_paths)."""
        return self._in_parts(
            batch, keys, n_paths, lambda part, key: self._observed(part, key, n_paths, joint=True)
        )

    def prior(self, batch: Batch) -> Prior:
        """The equation of the rows of a batch."""
        return Prior(self.dynamics, self.back, ~batch.left.present, self._driving(batch))

    def _driving(self, batch: Batch) -> tuple[InputPath, ...]:
        """Known inputs, away from the anchors on both sides."""
        if self.dynamics.n_inputs == 0:
            return ()
        ahead = input_path(batch.left, self.interpolation)
        if batch.right is None:
            return (ahead,)
        return ahead, input_path(batch.right, self.interpolation).reversed()

    def filtered(self, batch: Batch) -> Gaussian:
        """Law of the state at the anchor of each window, given the rows up to there."""
        left = self._read(batch.left)
        if batch.right is None:
            return left
        right = self._read(batch.right)
        seen = batch.left.present[:, None]
        return Gaussian(
            torch.where(seen, left.mean, right.mean),
            torch.where(seen, left.log_std, right.log_std),
        )

    def _read(self, side: Side) -> Gaussian:
        code = self.encoder(_rows(side), side.gaps, side.length)
        known = side.lag_mask[..., 0]
        last = torch.cat([side.lags[..., 0] * known, known, torch.log1p(side.lag_ages[..., 0])], -1)
        shift, log_std = self.filter(torch.cat([code, last], -1)).chunk(2, -1)
        nearest = self.dynamics.lift(self.decoder.encode(side.lags[..., 0], known))
        return Gaussian(nearest + shift, (log_std + FIRST_NOISE).clamp(-7, 2))

    def _in_parts(
        self,
        batch: Batch,
        keys: Tensor,
        n_paths: int,
        answer: Callable[[Batch, Tensor], Tensor],
    ) -> Tensor:
        """Answers for a few windows at a time, so that paths fit into memory."""
        size = max(1, MOST_STATES // (n_paths * max(batch.asked.shape[1], 1)))
        rows = torch.split(torch.arange(len(keys), device=keys.device), size)
        return torch.cat([answer(batch.take(r), keys[r]) for r in rows])

    def _observed(self, batch: Batch, keys: Tensor, n: int, *, joint: bool) -> Tensor:
        """Values with their noise, (batch, n_queries, channels, n).

        On joint paths, or such that the values at a query depend on no other query.
        """
        values = self.decoder(self.dynamics.read(self._states(batch, keys, n, joint)))
        shape = values.shape[1:] if joint else (1, *values.shape[2:])
        noise = drawn(keys, tuple(shape), OBSERVED, values)
        observed: Tensor = values + self.decoder.noise() * noise
        return observed.movedim(2, -1)

    def _states(self, batch: Batch, keys: Tensor, n: int, joint: bool) -> Tensor:
        """States at the queries, (batch, n_queries, n, state_dim)."""
        lead = leads(batch)
        order = lead.argsort(1)
        times, back = lead.gather(1, order), order.argsort(1)
        inner = between(batch)
        states = lead.new_empty(*lead.shape, n, self.dynamics.state_dim)
        for chosen, follow in ((~inner, self._ahead), (inner, self._between)):
            rows = chosen.nonzero()[:, 0]
            if len(rows):
                states[rows] = follow(batch.take(rows), times[rows], keys[rows], n, joint)
        return states.gather(1, back[..., None, None].expand_as(states))

    def _ahead(self, batch: Batch, times: Tensor, keys: Tensor, n: int, joint: bool) -> Tensor:
        """States on paths of the prior from the filtered state; one does not depend on others."""
        del joint
        solution = solve(
            self.prior(batch),
            self.filtered(batch).draws(keys, n),
            functional.pad(times, (1, 0)),
            solver=self.solver,
            seed=keys,
            on_failure="nan",
            **self.solver_params,
        )
        return solution.ys[:, 1:]

    def _between(self, batch: Batch, times: Tensor, keys: Tensor, n: int, joint: bool) -> Tensor:
        """States on paths of the posterior that knows the rows after the queries."""
        given = self._given(self.prior(batch), self.filtered(batch), gathered(batch))
        return self.posterior.draw(given, times, keys, n, joint=joint)

    def _given(self, prior: Dynamics, start: Gaussian, evidence: Evidence) -> Given:
        guess = self.dynamics.lift(self.decoder.encode(evidence.values, evidence.seen))
        return Given(prior, start, evidence, guess)


def _rows(side: Side) -> Tensor:
    """Features of the rows, (batch, n_rows, n_row_features)."""
    times = torch.log1p(10 * torch.stack([side.gaps, side.ages], -1))
    direction = torch.full_like(side.gaps, float(side.backward))[..., None]
    values = (side.values * side.mask).clamp(-CLIP, CLIP)
    inputs = side.inputs.clamp(-CLIP, CLIP)
    waves = read_waves(side, values)
    return torch.cat([values, side.mask, times, side.phases, inputs, direction, *waves], -1)


def _quantiles(values: Tensor, levels: Tensor) -> Tensor:
    """Quantiles of the last axis by linear interpolation of the order statistics.

    The k-th of n values is the quantile at :math:`(k - 1/2) / n`; beyond the outermost ones
    they are held.
    """
    n = values.shape[-1]
    place = (levels.double() * n - 0.5).clamp(0, n - 1)
    low = place.floor().long().clamp(max=max(n - 2, 0))
    share = (place - low).to(values)
    ordered = values.sort(-1).values
    high = (low + 1).clamp(max=n - 1)
    return ordered[..., low] + share * (ordered[..., high] - ordered[..., low])


def _ages(batch: Batch) -> Tensor:
    """Time to the nearest observation, of both sides their harmonic sum, as for every channel."""
    age = leads(batch)
    if batch.right is not None:
        other = batch.right.lead
        harmonic = age * other / (age + other).clamp(min=1e-9)
        age = torch.where(between(batch)[:, None], harmonic, age)
    return age[..., None].expand_as(batch.targets)
