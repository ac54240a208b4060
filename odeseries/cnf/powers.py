"""Powers that bring skewed features nearer to normal ones."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize_scalar

__all__ = ["Powers"]

Float64 = npt.NDArray[np.float64]
LARGEST = 2.0


@dataclass(frozen=True)
class Powers:
    r"""The transformation of Yeo and Johnson, of every feature in standard units.

    .. math:: \psi(x) = \frac{(1 + x)^\lambda - 1}{\lambda} \text{ for } x \ge 0, \quad
        \psi(x) = -\frac{(1 - x)^{2 - \lambda} - 1}{2 - \lambda} \text{ for } x < 0

    with logarithms where a power is 0. For :math:`0 \le \lambda \le 2`, all that is used here, it
    maps the real line onto itself, so that a density stays one.

    Attributes
    ----------
    centre, scale : array of shape (dim,)
        Standard units.
    exponents : array of shape (dim,)
        :math:`\lambda`; 1 changes nothing.

    References
    ----------
    Yeo, I.-K., Johnson, R. A. (2000). A New Family of Power Transformations to Improve Normality
    or Symmetry. Biometrika 87(4). Section 2; the likelihood of Section 3.
    """

    centre: Float64
    scale: Float64
    exponents: Float64

    @classmethod
    def of(cls, X: Float64, weights: Float64, scale: Float64) -> Powers:
        """The exponents under which features ``(n, dim)`` are most likely to be normal."""
        centre = np.average(X, axis=0, weights=weights)
        exponents = [_most_likely(x, weights) for x in ((X - centre) / scale).T]
        return cls(centre, scale, np.array(exponents))

    def inside(self, X: Float64) -> Float64:
        """Transform data ``(n, dim)``."""
        return _forward((X - self.centre) / self.scale, self.exponents)

    def outside(self, bent: Float64) -> Float64:
        """Transform back."""
        rate = _rates(bent, self.exponents)
        size = np.abs(bent)
        size = np.where(rate > 0, np.log1p(rate * size) / _divisor(rate), size)
        return np.asarray(np.sign(bent) * np.expm1(size) * self.scale + self.centre)

    def log_volumes(self, X: Float64) -> Float64:
        """Logarithm of the determinant of the derivative at every row, (n,)."""
        slopes = _log_slopes((X - self.centre) / self.scale, self.exponents)
        return np.asarray((slopes - np.log(self.scale)).sum(1))


def _most_likely(x: Float64, weights: Float64) -> float:
    """Exponent with the highest likelihood of a normal distribution; 1 for a constant."""
    # In standard units the mean square is 1, or that of rounding.
    if np.average(x**2, weights=weights) < 0.5:
        return 1.0

    def loss(exponent: float) -> float:
        exponents = np.array(exponent)
        bent = _forward(x, exponents)
        spread = np.average((bent - np.average(bent, weights=weights)) ** 2, weights=weights)
        slope = np.average(_log_slopes(x, exponents), weights=weights)
        return float(np.log(spread) / 2 - slope)

    return float(minimize_scalar(loss, bounds=(0, LARGEST), method="bounded").x)


def _forward(x: Float64, exponents: Float64) -> Float64:
    rate, size = _rates(x, exponents), np.log1p(np.abs(x))
    size = np.where(rate > 0, np.expm1(rate * size) / _divisor(rate), size)
    return np.asarray(np.sign(x) * size)


def _log_slopes(x: Float64, exponents: Float64) -> Float64:
    return np.asarray((_rates(x, exponents) - 1) * np.log1p(np.abs(x)))


def _rates(x: Float64, exponents: Float64) -> Float64:
    """The power on either side of zero."""
    return np.where(x >= 0, exponents, LARGEST - exponents)


def _divisor(rate: Float64) -> Float64:
    return np.where(rate > 0, rate, 1.0)
