"""Posterior laws of latent paths: simulated with a drift of their own, or given by marginals."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from odeseries.driving import InputPath
from odeseries.forecasters.bridges import Bridges
from odeseries.forecasters.evidence import Evidence
from odeseries.interfaces import Dynamics
from odeseries.nets import Perceptron, last_bias, zero_last_layer
from odeseries.path_laws import ito_drift, matched_drift, path_divergence, whitened
from odeseries.solvers.philox import normals
from odeseries.solvers.solve import solve

__all__ = ["Gaussian", "Given", "Inferred", "Matched", "Posterior", "Simulated", "drawn"]

START, NODES, PLACES, DISTURBANCES, CHAIN = range(1000, 1005)
"""Streams of normal numbers; those of Brownian motions are few and small."""
LOWEST, HIGHEST = -7.0, 2.0
QUIET = -3.0
QUADRATURE = 16
ALONE = 4.0


def drawn(keys: Tensor, shape: tuple[int, ...], stream: int, like: Tensor) -> Tensor:
    """Standard normal numbers (batch, *shape) that depend on the keys (batch,) alone."""
    place = torch.tensor([0, 0, stream], device=keys.device)[:, None, None]
    flat = normals(keys, place, math.prod(shape), like.dtype)
    return flat.reshape(len(keys), *shape).to(like)


@dataclass(frozen=True, eq=False)
class Gaussian:
    """Independent normal coordinates, (batch, dim)."""

    mean: Tensor
    log_std: Tensor

    def divergence(self, other: Gaussian) -> Tensor:
        """Kullback-Leibler divergence from the other, in nats, (batch,)."""
        ratio = torch.exp(2 * (self.log_std - other.log_std))
        shift = (self.mean - other.mean) * torch.exp(-other.log_std)
        each = 0.5 * (ratio + shift**2 - 1) - self.log_std + other.log_std
        return each.sum(-1)

    def draws(self, keys: Tensor, n: int) -> Tensor:
        """Points (batch, n, dim)."""
        noise = drawn(keys, (n, self.mean.shape[-1]), START, self.mean)
        return self.mean[:, None] + torch.exp(self.log_std)[:, None] * noise


@dataclass(frozen=True, eq=False)
class Given:
    """From what paths are inferred.

    Attributes
    ----------
    prior : Dynamics
        Of the rows of the batch.
    start : Gaussian
        Law of the state at the anchor before the evidence was seen.
    evidence : Evidence
    guess : Tensor of shape (batch, n, dim)
        States that explain what was seen at each time by themselves, as far as they can.
    """

    prior: Dynamics
    start: Gaussian
    evidence: Evidence
    guess: Tensor


@dataclass(frozen=True, eq=False)
class Inferred:
    """States at the times of the evidence, (batch, n, dim), and divergences, (batch,)."""

    states: Tensor
    of_start: Tensor
    of_path: Tensor


class Posterior(nn.Module, ABC):
    """Law of the latent path given evidence; the start and the evidence are read by one network.

    Parameters
    ----------
    n_channels, dim, hidden : int
        Channels, dimension of the state, width of the networks.
    """

    def __init__(self, n_channels: int, dim: int, hidden: int) -> None:
        super().__init__()
        self.dim, self.hidden = dim, hidden
        self.reader = nn.GRU(2 * n_channels + 2, hidden, batch_first=True, bidirectional=True)
        self.start = Perceptron((2 * hidden + 2 * dim, hidden, 2 * dim))
        zero_last_layer(self.start)

    @abstractmethod
    def infer(self, given: Given, keys: Tensor) -> Inferred:
        """One path for each row, at the times of the evidence.

        Parameters
        ----------
        given : Given
        keys : Tensor of int64, shape (batch,)
            Randomness of every row.
        """

    @abstractmethod
    def draw(self, given: Given, times: Tensor, keys: Tensor, n: int, *, joint: bool) -> Tensor:
        """States at rising times up to the last evidence, (batch, n_times, n, dim).

        On joint paths, or such that the states at a time depend on no other time that is asked
        for; the other arguments are as in `infer`.
        """

    def start_noise(self, log_std: Tensor) -> None:
        """Begin as sure of the first coordinates, (n,), as one observation; ignored by default."""
        del log_std

    def read(self, evidence: Evidence) -> Tensor:
        """Codes (batch, n, 2 * hidden) that know what comes before and after; 0 at padding."""
        gaps = torch.log1p(10 * evidence.gaps())[..., None]
        valid = evidence.valid.to(gaps.dtype)[..., None]
        rows = torch.cat([evidence.values, evidence.seen.to(gaps.dtype), gaps, valid], -1)
        packed = nn.utils.rnn.pack_padded_sequence(
            rows, evidence.count.clamp(min=1).cpu(), batch_first=True, enforce_sorted=False
        )
        codes, _ = nn.utils.rnn.pad_packed_sequence(
            self.reader(packed)[0], batch_first=True, total_length=rows.shape[1]
        )
        return codes * valid

    def started(self, start: Gaussian, codes: Tensor) -> Gaussian:
        """Law of the state at the anchor; before training that from which it starts."""
        seen = torch.cat([codes[:, 0], start.mean, start.log_std], -1)
        shift, factor = self.start(seen).chunk(2, -1)
        mean = start.mean + torch.exp(start.log_std) * shift
        return Gaussian(mean, (start.log_std + factor).clamp(LOWEST, HIGHEST))


class Simulated(Posterior):
    r"""Posterior with the drift :math:`f + g u`, where a network gives :math:`u`.

    The network sees the state, the code of the next observation and the time left to it; before
    training it is zero, and the posterior the prior. Gradients go through the solver.

    Parameters
    ----------
    n_channels, dim, hidden : int
        As in `Posterior`.
    solver, solver_params : str, dict
        Method of integration.

    References
    ----------
    Li, X., Wong, T.-K. L., Chen, R. T. Q., Duvenaud, D. (2020). Scalable Gradients for
    Stochastic Differential Equations. AISTATS. Section 5.
    """

    def __init__(
        self, n_channels: int, dim: int, hidden: int, solver: Any, solver_params: dict[str, Any]
    ) -> None:
        super().__init__(n_channels, dim, hidden)
        self.solver, self.solver_params = solver, solver_params
        self.control = Perceptron((dim + 2 * hidden + 1, hidden, hidden, dim), nn.Tanh)
        zero_last_layer(self.control)

    def infer(self, given: Given, keys: Tensor) -> Inferred:
        """Simulate a path and its divergence."""
        codes = self.read(given.evidence)
        first = self.started(given.start, codes)
        states, divergence = path_divergence(
            _Controlled(given, self.control, codes),
            given.prior,
            first.draws(keys, 1)[:, 0],
            given.evidence.knots(),
            solver=self.solver,
            seed=keys,
            **self.solver_params,
        )
        return Inferred(states[:, 1:], first.divergence(given.start), divergence[:, -1])

    def draw(self, given: Given, times: Tensor, keys: Tensor, n: int, *, joint: bool) -> Tensor:
        """Simulate paths, which depend on no time that is asked for anyway."""
        del joint
        codes = self.read(given.evidence)
        states = solve(
            _Controlled(given, self.control, codes),
            self.started(given.start, codes).draws(keys, n),
            functional.pad(times, (1, 0)),
            solver=self.solver,
            seed=keys,
            on_failure="nan",
            **self.solver_params,
        )
        return states.ys[:, 1:]


class _Controlled(Dynamics):
    """The prior with a control that leads it to the evidence."""

    bound_to_rows = True

    def __init__(self, given: Given, control: nn.Module, codes: Tensor) -> None:
        prior, evidence = given.prior, given.evidence
        super().__init__(prior.state_dim)
        self.prior, self.control = prior, control
        self.noise_type, self.sde_type = prior.noise_type, prior.sde_type
        self.autonomous = False
        ahead = torch.cat([codes, evidence.times[..., None]], -1)
        ahead = functional.pad(ahead, (0, 0, 0, 1))
        self.context = InputPath(evidence.knots(), ahead, interpolation="previous")

    def forward(self, t: Tensor, state: Tensor, inputs: Tensor | None = None) -> Tensor:
        """Drift of the posterior."""
        del inputs
        clock = t.expand(len(state), *t.shape[1:])
        context = self.context(clock).to(state.dtype)
        left = (context[..., -1:] - clock).clamp(min=0).to(state.dtype)
        seen = torch.cat([context[..., :-1], torch.log1p(10 * left)], -1)
        control = self.control(torch.cat([state, seen.expand(*state.shape[:-1], -1)], -1))
        diffusion = self.prior.diffusion(t, state)
        if diffusion.ndim == state.ndim:
            control = diffusion * control
        else:
            control = torch.einsum("...ij,...j->...i", diffusion, control)
        out: Tensor = self.prior(t, state) + control
        return out

    def diffusion(self, t: Tensor, state: Tensor, inputs: Tensor | None = None) -> Tensor:
        """Diffusion of the prior."""
        del inputs
        return self.prior.diffusion(t, state)


class Matched(Posterior):
    r"""Posterior given by its marginals, from which its drift follows: nothing is simulated.

    The marginals are normal with independent coordinates. At the times of the evidence mean and
    variance are read off it; between two of them, at the share :math:`\theta` of the gap
    :math:`\Delta`, they are those of a bridge,

    .. math::
        m = (1 - \theta) m_0 + \theta m_1 + \theta (1 - \theta) \Delta\, b, \qquad
        s^2 = (1 - \theta)^2 s_0^2 + \theta^2 s_1^2 + \theta (1 - \theta) \Delta\, v,

    with a learned bend :math:`b` and disturbance :math:`v`, in which the covariance of the ends,
    divided by :math:`\Delta / 2`, is included. The divergence of the path is the
    mean of the squared mismatch of the drifts at one random time in each gap, drawn from the
    arcsine law, since it is largest near the ends.

    References
    ----------
    Bartosh, G., Vetrov, D., Naesseth, C. A. (2025). SDE Matching: Scalable and Simulation-Free
    Training of Latent Stochastic Differential Equations. ICML. Sections 4.1 and 4.2.
    """

    def __init__(self, n_channels: int, dim: int, hidden: int) -> None:
        super().__init__(n_channels, dim, hidden)
        self.node = Perceptron((2 * hidden, hidden, 4 * dim))
        zero_last_layer(self.node)
        self.bridge = Perceptron((4 * hidden + 2 * dim, hidden, 3 * dim))
        zero_last_layer(self.bridge)

    def start_noise(self, log_std: Tensor) -> None:
        """Let the marginals at the observations have these spreads."""
        last_bias(self.node).chunk(4)[1][: len(log_std)] = log_std - QUIET

    def infer(self, given: Given, keys: Tensor) -> Inferred:
        """Draw states from the marginals, and the mismatch at one time in each gap."""
        bridges, first = self._bridges(given)
        noise = drawn(keys, (given.guess.shape[1], self.dim), NODES, given.guess)
        states = bridges.mean[:, 1:] + bridges.std[:, 1:] * noise
        path = _mismatch(given.prior, bridges, keys)
        return Inferred(states, first.divergence(given.start), path)

    def draw(self, given: Given, times: Tensor, keys: Tensor, n: int, *, joint: bool) -> Tensor:
        """Draw paths whose marginals are exact, and whose dependence is that of the posterior.

        Standardised, a path is an Ornstein-Uhlenbeck process with the rate
        :math:`g^2 / (2 s^2)`; the diffusion is taken at the mean.
        """
        bridges, _ = self._bridges(given)
        mean, std = (x[:, :, None] for x in bridges.at(times))
        if not joint:
            return mean + std * drawn(keys, (1, n, self.dim), CHAIN, mean)
        keep = torch.exp(-_clock(given.prior, bridges, functional.pad(times, (1, 0))))
        noise = drawn(keys, (times.shape[1] + 1, n, self.dim), CHAIN, mean)
        chain = [noise[:, 0]]
        for i in range(times.shape[1]):
            rho = keep[:, i, None]
            chain.append(rho * chain[-1] + (1 - rho**2).clamp(min=0).sqrt() * noise[:, i + 1])
        return mean + std * torch.stack(chain[1:], 1)

    def _bridges(self, given: Given) -> tuple[Bridges, Gaussian]:
        """Marginals of the path, and its law at the anchor."""
        evidence = given.evidence
        codes = self.read(evidence)
        first = self.started(given.start, codes)
        shift, log_std, *weights = self.node(codes).chunk(4, -1)
        mean = _smoothed(first.mean, given.guess, weights, evidence.valid) + shift
        mean = torch.cat([first.mean[:, None], mean * evidence.valid[..., None]], 1)
        log_std = torch.cat([first.log_std[:, None], log_std + QUIET], 1)
        std = torch.exp(log_std.clamp(LOWEST, HIGHEST))
        bend, variance = self._between(given, codes, mean, std)
        return Bridges(evidence.knots(), evidence.valid, mean, std, bend, variance), first

    def _between(
        self, given: Given, codes: Tensor, mean: Tensor, std: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Bend and disturbance of each gap, (batch, n, dim).

        Before training the disturbance is that of the prior, and the ends hang together as two
        observations do whose errors have the ends' variances.
        """
        ends = torch.cat([functional.pad(codes, (0, 0, 1, 0))[:, :-1], codes], -1)
        around = torch.cat([mean[:, :-1], mean[:, 1:]], -1)
        bend, wider, closer = self.bridge(torch.cat([ends, around], -1)).chunk(3, -1)
        knots = given.evidence.knots()
        at = (knots[:, 1:] + knots[:, :-1])[..., None] / 2
        disturbance = _variance(given.prior, at, (mean[:, 1:] + mean[:, :-1]) / 2)
        disturbance = disturbance * torch.exp(wider.clamp(-6, 6))
        gap = torch.where(given.evidence.valid, given.evidence.gaps(), 1)[..., None]
        product = std[:, 1:] * std[:, :-1]
        share = torch.sigmoid(torch.log(product / (gap * disturbance)) + closer)
        return bend, disturbance + 2 * share * product / gap


def _mismatch(prior: Dynamics, bridges: Bridges, keys: Tensor) -> Tensor:
    """Divergence of the path, (batch,)."""
    gaps = bridges.knots.diff(dim=1)
    place = drawn(keys, (gaps.shape[1],), PLACES, gaps)
    uniform = torch.special.ndtr(place).clamp(1e-4, 1 - 1e-4)
    share = torch.sin(math.pi / 2 * uniform) ** 2
    weight = math.pi * (share * (1 - share)).sqrt() * gaps
    noise = drawn(keys, (gaps.shape[1], bridges.mean.shape[-1]), DISTURBANCES, bridges.mean)
    mean, std, velocity, widening = bridges.moving(share[..., None])
    t = (bridges.knots[:, :-1] + share * gaps)[..., None]
    state = mean + std * noise
    drift = matched_drift(prior, t, state, velocity + widening * noise, -noise / std)
    control = whitened(prior.diffusion(t, state), drift - ito_drift(prior, t, state))
    return (weight * control.square().sum(-1) / 2 * bridges.valid).sum(1)


def _smoothed(start: Tensor, guess: Tensor, weights: Sequence[Tensor], valid: Tensor) -> Tensor:
    """Means of every guess and of those before and after it, weighted by two logits.

    Before training the guess itself has nearly all the weight.
    """
    before = torch.cat([start[:, None], guess[:, :-1]], 1)
    after = torch.cat([guess[:, 1:], guess[:, -1:]], 1)
    follows = functional.pad(valid[:, 1:], (0, 1))[..., None]
    last = torch.where(follows, weights[1] - ALONE, -torch.inf)
    logits = torch.stack([torch.zeros_like(last), weights[0] - ALONE, last])
    share = torch.softmax(logits, 0)
    return share[0] * guess + share[1] * before + share[2] * after


def _clock(prior: Dynamics, bridges: Bridges, times: Tensor) -> Tensor:
    """Integral of the rate of the standardised path between times, (batch, n_times - 1, dim)."""
    shares = (torch.arange(QUADRATURE, device=times.device) + 0.5) / QUADRATURE
    lengths = times.diff(dim=1)
    inner = (times[:, :-1, None] + lengths[..., None] * shares).flatten(1)
    mean, std = bridges.at(inner)
    rate = _variance(prior, inner[..., None], mean) / (2 * std**2)
    rate = rate.reshape(*lengths.shape, QUADRATURE, -1).mean(2)
    return lengths[..., None] * rate


def _variance(prior: Dynamics, t: Tensor, state: Tensor) -> Tensor:
    """Squared disturbance of every coordinate, of the shape of the state."""
    diffusion = prior.diffusion(t, state)
    if diffusion.ndim > state.ndim:
        return diffusion.square().sum(-1)
    return diffusion.square()
