"""Heads: from raw outputs to a distribution, its loss and its quantiles."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

import numpy as np
import torch
from scipy.special import stdtrit
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["HEADS", "GaussianHead", "Head", "QuantileHead", "StudentHead", "between_scores"]

LEAST_FREEDOM, MOST_FREEDOM, FIRST_FREEDOM = 2.05, 100.0, 8.0


class Head(nn.Module, ABC):
    """A family of distributions in standardised units, given by raw outputs.

    Attributes
    ----------
    n_outputs : int
        Raw outputs per channel: the location first, then the logarithm of the scale.
    """

    n_outputs: int

    @abstractmethod
    def loss(self, raw: Tensor, centre: Tensor, scale: Tensor, target: Tensor) -> Tensor:
        """Loss of every target, in the unit of the targets or in nats.

        Parameters
        ----------
        raw : Tensor of shape (..., n_outputs)
            Outputs of a network.
        centre, scale : Tensor of shape (...)
            Affine map from the head's standard units to those of the targets.
        target : Tensor of shape (...)
            Truth.

        Returns
        -------
        Tensor of shape (...)
        """

    @abstractmethod
    def quantiles(self, raw: Tensor, centre: Tensor, scale: Tensor, levels: Tensor) -> Tensor:
        """Quantiles at levels in (0, 1), never crossing, shape (..., n_levels)."""


class QuantileHead(Head):
    """Free quantiles at fixed levels, trained by the pinball loss.

    The levels between are reached linearly in the normal score, and so are the tails beyond the
    outermost levels. Quantiles are a location plus a cumulated sum of positive steps, so that
    they never cross.

    References
    ----------
    Koenker, R., Bassett, G. (1978). Regression Quantiles. Econometrica 46, 33. Equation (2.1).
    """

    levels: Tensor
    scores: Tensor
    raw_steps: Tensor
    weights: Tensor

    def __init__(self) -> None:
        super().__init__()
        levels = torch.tensor(
            [
                0.01,
                0.025,
                0.05,
                0.1,
                0.15,
                0.2,
                0.3,
                0.4,
                0.5,
                0.6,
                0.7,
                0.8,
                0.85,
                0.9,
                0.95,
                0.975,
                0.99,
            ]
        )
        scores = torch.special.ndtri(levels)
        self.register_buffer("levels", levels)
        self.register_buffer("scores", scores)
        self.register_buffer("raw_steps", torch.log(torch.expm1(torch.diff(scores))))
        edges = torch.cat([levels.new_zeros(1), (levels[1:] + levels[:-1]) / 2, levels.new_ones(1)])
        self.register_buffer("weights", torch.diff(edges))
        self.n_outputs = 1 + len(levels)

    def knots(self, raw: Tensor) -> Tensor:
        """Quantiles at the head's levels in standard units, shape (..., n_levels)."""
        steps = functional.softplus(self.raw_steps + raw[..., 2:])
        rising = functional.pad(steps.cumsum(-1), (1, 0))
        middle = len(self.levels) // 2
        spread = rising - rising[..., middle : middle + 1]
        return raw[..., :1] + torch.exp(raw[..., 1:2].clamp(-6, 4)) * spread

    def loss(self, raw: Tensor, centre: Tensor, scale: Tensor, target: Tensor) -> Tensor:
        """Twice the pinball loss integrated over the levels: an estimate of the CRPS."""
        error = target[..., None] - (centre[..., None] + scale[..., None] * self.knots(raw))
        pinball = torch.maximum(self.levels * error, (self.levels - 1) * error)
        return 2 * (pinball * self.weights).sum(-1)

    def quantiles(self, raw: Tensor, centre: Tensor, scale: Tensor, levels: Tensor) -> Tensor:
        """Quantiles, linear in the normal score between the knots and beyond them."""
        knots = centre[..., None] + scale[..., None] * self.knots(raw)
        return between_scores(knots, self.scores, levels)


def between_scores(knots: Tensor, scores: Tensor, levels: Tensor) -> Tensor:
    """Quantiles (..., n_levels), linear in the normal score between knots and beyond them.

    Parameters
    ----------
    knots : Tensor of shape (..., n_knots)
        Quantiles that are known.
    scores : Tensor of shape (n_knots,)
        Normal scores of their levels, increasing.
    levels : Tensor of shape (n_levels,)
        In (0, 1).
    """
    want = torch.special.ndtri(levels.double()).to(scores)
    low = (torch.searchsorted(scores, want, right=True) - 1).clamp(0, len(scores) - 2)
    share = (want - scores[low]) / (scores[low + 1] - scores[low])
    out: Tensor = knots[..., low] + share * (knots[..., low + 1] - knots[..., low])
    return out


class GaussianHead(Head):
    """Normal distribution, trained by its likelihood."""

    def __init__(self) -> None:
        super().__init__()
        self.n_outputs = 2

    def loss(self, raw: Tensor, centre: Tensor, scale: Tensor, target: Tensor) -> Tensor:
        """Negative log-likelihood in nats."""
        mean = centre + scale * raw[..., 0]
        log_std = raw[..., 1].clamp(-6, 4) + torch.log(scale)
        score = (target - mean) * torch.exp(-log_std)
        return 0.5 * score**2 + log_std + 0.5 * math.log(2 * math.pi)

    def quantiles(self, raw: Tensor, centre: Tensor, scale: Tensor, levels: Tensor) -> Tensor:
        """Quantiles of the normal distribution."""
        score = torch.special.ndtri(levels.double()).to(raw)
        mean = centre + scale * raw[..., 0]
        std = scale * torch.exp(raw[..., 1].clamp(-6, 4))
        out: Tensor = mean[..., None] + std[..., None] * score
        return out


class StudentHead(Head):
    r"""Student's t distribution, trained by its likelihood: outliers weigh less than in a normal.

    The density of :math:`x = \mu + \sigma z` is

    .. math::
        \frac{\Gamma((\nu + 1) / 2)}{\Gamma(\nu / 2) \sqrt{\nu \pi} \sigma}
        (1 + z^2 / \nu)^{-(\nu + 1) / 2}.

    The degrees of freedom :math:`\nu` are learned for every forecast, above 2, so that the
    variance exists, and below 100, where the distribution is normal for all purposes.

    References
    ----------
    Lange, K. L., Little, R. J. A., Taylor, J. M. G. (1989). Robust Statistical Modeling Using
    the t Distribution. JASA 84, 881.
    """

    def __init__(self) -> None:
        super().__init__()
        self.n_outputs = 3
        share = (FIRST_FREEDOM - LEAST_FREEDOM) / (MOST_FREEDOM - LEAST_FREEDOM)
        self.raw_first = math.log(share / (1 - share))

    def freedom(self, raw: Tensor) -> Tensor:
        """Degrees of freedom, shape (...)."""
        share = torch.sigmoid(self.raw_first + raw[..., 2])
        return LEAST_FREEDOM + (MOST_FREEDOM - LEAST_FREEDOM) * share

    def loss(self, raw: Tensor, centre: Tensor, scale: Tensor, target: Tensor) -> Tensor:
        """Negative log-likelihood in nats."""
        nu = self.freedom(raw)
        log_scale = raw[..., 1].clamp(-6, 4) + torch.log(scale)
        z = (target - centre - scale * raw[..., 0]) * torch.exp(-log_scale)
        norm = torch.lgamma(nu / 2) - torch.lgamma((nu + 1) / 2) + 0.5 * torch.log(nu * math.pi)
        return norm + log_scale + (nu + 1) / 2 * torch.log1p(z**2 / nu)

    @torch.no_grad()
    def quantiles(self, raw: Tensor, centre: Tensor, scale: Tensor, levels: Tensor) -> Tensor:
        """Quantiles of the t distribution, by inverting its distribution in float64."""
        nu = self.freedom(raw).double()[..., None].cpu().numpy()
        score = torch.as_tensor(np.asarray(stdtrit(nu, levels.double().cpu().numpy()))).to(raw)
        mean = centre + scale * raw[..., 0]
        width = scale * torch.exp(raw[..., 1].clamp(-6, 4))
        out: Tensor = mean[..., None] + width[..., None] * score
        return out


HEADS: dict[str, type[Head]] = {
    "gaussian": GaussianHead,
    "quantile": QuantileHead,
    "student": StudentHead,
}
