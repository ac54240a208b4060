"""Units in which a density is learnt: the data, or an affine map of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["Space"]

Float64 = npt.NDArray[np.float64]
SMALLEST_SHARE = 1e-6


@dataclass(frozen=True)
class Space:
    """Affine map ``(x - centre) @ forward``.

    Attributes
    ----------
    kind : {"none", "standard", "whiten"}
    centre : array of shape (dim,)
        What is mapped to 0.
    forward, backward : array of shape (dim, dim)
        The map and its inverse.
    log_volume : float
        Logarithm of the determinant of ``forward``.
    """

    kind: str
    centre: Float64
    forward: Float64
    backward: Float64
    log_volume: float

    @classmethod
    def of(cls, kind: str, X: Float64, weights: Float64) -> Space:
        """The space of some data.

        Parameters
        ----------
        kind : {"none", "standard", "whiten"}
            Nothing, every feature to a variance of 1, or all of them to the unit covariance.
        X : array of shape (n, dim)
            Data.
        weights : array of shape (n,)
            Weights of the rows.
        """
        dim = X.shape[1]
        if kind == "none":
            return cls(kind, np.zeros(dim), np.eye(dim), np.eye(dim), 0.0)
        centre = np.average(X, axis=0, weights=weights)
        scales = _scales(X - centre, weights)
        if kind == "standard":
            volume = -float(np.log(scales).sum())
            return cls(kind, centre, np.diag(1 / scales), np.diag(scales), volume)
        within = (X - centre) / scales
        correlation = (within * weights[:, None]).T @ within / weights.sum()
        values, vectors = np.linalg.eigh(correlation)
        spreads = np.sqrt(np.maximum(values, SMALLEST_SHARE * values[-1]))
        # The symmetric root: it keeps near the features, and signs of vectors don't matter.
        forward = (vectors / spreads) @ vectors.T / scales[:, None]
        backward = (vectors * spreads) @ vectors.T * scales
        return cls(kind, centre, forward, backward, -float(np.log(spreads * scales).sum()))

    def inside(self, X: Float64) -> Float64:
        """Map data ``(n, dim)`` into the space."""
        return np.asarray((X - self.centre) @ self.forward)

    def outside(self, inner: Float64) -> Float64:
        """Map back."""
        return np.asarray(inner @ self.backward + self.centre)


def _scales(centred: Float64, weights: Float64) -> Float64:
    """Standard deviations; 1 for a feature that is constant up to rounding."""
    scales = np.sqrt(np.average(centred**2, axis=0, weights=weights))
    size = np.abs(centred).max(0)
    return np.where(scales > np.finfo(float).eps * 10 * size, scales, 1.0)
