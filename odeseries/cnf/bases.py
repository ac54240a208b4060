"""Distributions at the beginning of the time."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from sklearn.mixture import GaussianMixture
from torch import Tensor, nn

__all__ = ["Base", "MixtureBase", "NormalBase"]

LOG_TWO_PI = math.log(2 * math.pi)


class Base(nn.Module, ABC):
    """A distribution with a density, from which samples can be drawn.

    Attributes
    ----------
    n_components : int
        Of a mixture; 0 for a standard normal distribution.
    """

    n_components = 0

    @abstractmethod
    def log_density(self, z: Tensor) -> Tensor:
        """Logarithm of the density at ``[batch, dim]``, shape ``[batch]``."""

    @abstractmethod
    def sample(self, n: int, rng: np.random.Generator) -> npt.NDArray[np.float64]:
        """Draws of shape (n, dim)."""


class NormalBase(Base):
    """Standard normal distribution."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dim = dim

    def log_density(self, z: Tensor) -> Tensor:
        """Logarithm of the density."""
        return -0.5 * (z**2).sum(-1) - 0.5 * self.dim * LOG_TWO_PI

    def sample(self, n: int, rng: np.random.Generator) -> npt.NDArray[np.float64]:
        """Independent draws."""
        return rng.standard_normal((n, self.dim))


class MixtureBase(Base):
    """Mixture of normal distributions.

    Parameters
    ----------
    n_components, dim : int
        Their number and dimension.
    """

    log_weights: Tensor
    means: Tensor
    factors: Tensor

    def __init__(self, n_components: int, dim: int) -> None:
        super().__init__()
        self.n_components = n_components
        self.register_buffer("log_weights", torch.zeros(n_components))
        self.register_buffer("means", torch.zeros(n_components, dim))
        self.register_buffer("factors", torch.zeros(n_components, dim, dim))

    @classmethod
    def of(cls, mixtures: Sequence[GaussianMixture]) -> MixtureBase:
        """The mean of the densities of some of scikit-learn's, with full covariances."""
        means = np.concatenate([m.means_ for m in mixtures])
        base = cls(*means.shape)
        weights = np.concatenate([m.weights_ for m in mixtures]) / len(mixtures)
        base.log_weights.copy_(torch.from_numpy(np.log(weights)))
        base.means.copy_(torch.from_numpy(means))
        factors = np.concatenate([m.precisions_cholesky_ for m in mixtures])
        base.factors.copy_(torch.from_numpy(factors))
        return base

    def log_density(self, z: Tensor) -> Tensor:
        """Logarithm of the density."""
        white = torch.einsum("bkd,kde->bke", z[:, None] - self.means, self.factors)
        log_volume = self.factors.diagonal(dim1=-2, dim2=-1).log().sum(-1)
        each = log_volume - 0.5 * (white**2).sum(-1) - 0.5 * z.shape[-1] * LOG_TWO_PI
        return torch.logsumexp(self.log_weights + each, -1)

    def sample(self, n: int, rng: np.random.Generator) -> npt.NDArray[np.float64]:
        """Independent draws, in random order."""
        weights: Any = self.log_weights.double().exp().cpu().numpy()
        chosen = rng.choice(len(weights), n, p=weights / weights.sum())
        means, factors = self.means.double().cpu().numpy(), self.factors.double().cpu().numpy()
        white = rng.standard_normal((n, means.shape[1]))
        # The factors are those of the precisions, so that their inverses colour.
        return np.asarray(
            means[chosen] + np.einsum("ne,ned->nd", white, np.linalg.inv(factors)[chosen])
        )
