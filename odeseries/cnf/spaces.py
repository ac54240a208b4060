"""Units in which a density is learnt: the data, or a map of them."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from odeseries.cnf.powers import Powers

__all__ = ["Space"]

Float64 = npt.NDArray[np.float64]
SMALLEST_SHARE = 1e-6


@dataclass(frozen=True)
class Space:
    """Affine map ``(x - centre) @ forward``, of powers of the data where there are such.

    Attributes
    ----------
    kind : {"none", "standard", "whiten", "power"}
    centre : array of shape (dim,)
        What is mapped to 0.
    forward, backward : array of shape (dim, dim)
        The map and its inverse.
    log_volume : float
        Logarithm of the determinant of ``forward``.
    powers : Powers or None
        What comes before.
    """

    kind: str
    centre: Float64
    forward: Float64
    backward: Float64
    log_volume: float
    powers: Powers | None = None

    @classmethod
    def of(cls, kind: str, X: Float64, weights: Float64) -> Space:
        """The space of some data.

        Parameters
        ----------
        kind : {"none", "standard", "whiten", "power"}
            Nothing, every feature to a variance of 1, all of them to the unit covariance, or this
            after powers that make every feature more symmetric.
        X : array of shape (n, dim)
            Data.
        weights : array of shape (n,)
            Weights of the rows.
        """
        dim = X.shape[1]
        if kind == "none":
            return cls(kind, np.zeros(dim), np.eye(dim), np.eye(dim), 0.0)
        if kind == "power":
            powers = Powers.of(X, weights, _scales(X, weights))
            return replace(cls.of("whiten", powers.inside(X), weights), kind=kind, powers=powers)
        centre = np.average(X, axis=0, weights=weights)
        scales = _scales(X, weights)
        if kind == "standard":
            volume = -float(np.log(scales).sum())
            return cls(kind, centre, np.diag(1 / scales), np.diag(scales), volume)
        forward, backward, spreads = _whitening((X - centre) / scales, weights)
        volume = -float(np.log(spreads * scales).sum())
        return cls(kind, centre, forward / scales[:, None], backward * scales, volume)

    def inside(self, X: Float64) -> Float64:
        """Map data ``(n, dim)`` into the space."""
        bent = X if self.powers is None else self.powers.inside(X)
        return np.asarray((bent - self.centre) @ self.forward)

    def outside(self, inner: Float64) -> Float64:
        """Map back."""
        bent = np.asarray(inner @ self.backward + self.centre)
        return bent if self.powers is None else self.powers.outside(bent)

    def log_volumes(self, X: Float64) -> Float64:
        """Logarithm of the determinant of the map's derivative at every row, (n,)."""
        bent = 0.0 if self.powers is None else self.powers.log_volumes(X)
        return np.full(len(X), self.log_volume) + bent


def _whitening(within: Float64, weights: Float64) -> tuple[Float64, Float64, Float64]:
    """The map of standard units to the unit covariance, its inverse, and what it divides by."""
    correlation = (within * weights[:, None]).T @ within / weights.sum()
    # It is so up to rounding but for constant features, which keep their unit.
    np.fill_diagonal(correlation, 1.0)
    values, vectors = np.linalg.eigh(correlation)
    spreads = np.sqrt(np.maximum(values, SMALLEST_SHARE * values[-1]))
    # The symmetric root: it keeps near the features, and signs of vectors don't matter.
    return (vectors / spreads) @ vectors.T, (vectors * spreads) @ vectors.T, spreads


def _scales(X: Float64, weights: Float64) -> Float64:
    """Standard deviations; 1 for a feature that is constant up to rounding."""
    centre = np.average(X, axis=0, weights=weights)
    scales = np.sqrt(np.average((X - centre) ** 2, axis=0, weights=weights))
    size = np.abs(X).max(0)
    return np.where(scales > np.finfo(float).eps * 10 * size, scales, 1.0)
