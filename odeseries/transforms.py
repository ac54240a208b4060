"""Invertible transforms of the targets, one for each, by a scikit-learn transformer."""

from __future__ import annotations

import warnings
from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from sklearn.base import clone

from odeseries.errors import DataError
from odeseries.panel import Float64, Panel

__all__ = ["Transform"]

REACH = 10.0
BISECTIONS = 60


@dataclass(frozen=True, eq=False)
class Transform:
    """Fitted transformers of the targets; further channels are left as they are.

    Attributes
    ----------
    labels : tuple of hashable, length n_targets
        Names of the targets.
    transformers : tuple of scikit-learn transformer, length n_targets
        Monotone, with ``transform`` and ``inverse_transform`` of arrays of shape (n, 1).
    low, high : ndarray of shape (n_targets,)
        Transformed values beyond which nothing is inverted: ten times the range of the training
        values beyond them, or as far as the inverse is finite.
    decreasing : ndarray of bool, shape (n_targets,)
        Whether larger values have smaller images.
    """

    labels: tuple[Hashable, ...]
    transformers: tuple[Any, ...]
    low: Float64
    high: Float64
    decreasing: np.ndarray[Any, np.dtype[np.bool_]]

    @classmethod
    def fitted(cls, transformer: Any, panel: Panel) -> Self:
        """Fit a clone to the observed values of each target.

        Raises
        ------
        DataError
            If the image of a value is not finite, or rises here and falls there.
        """
        fitted, reach, falling = [], [], []
        for c in range(panel.n_targets):
            seen = panel.values[np.isfinite(panel.values[:, c]), c]
            with _quiet():
                one = clone(transformer).fit(seen[:, None])
            image = _image(one, seen, panel.channels[c])
            _require_order(seen, image, panel.channels[c])
            fitted.append(one)
            reach.append(_reach(one, image))
            falling.append(image[seen.argmin()] > image[seen.argmax()])
        low, high = np.array(reach).T
        return cls(panel.channels[: panel.n_targets], tuple(fitted), low, high, np.array(falling))

    def apply(self, values: Float64) -> Float64:
        """Transformed values (n_rows, n_channels); NaN stays NaN."""
        out = values.copy()
        for c, one in enumerate(self.transformers):
            seen = np.isfinite(values[:, c])
            if seen.any():
                out[seen, c] = _image(one, values[seen, c], self.labels[c])
        return out

    def invert(self, values: Float64) -> Float64:
        """Values (n_rows, n_targets, n_levels) on the scale of the data."""
        out = np.empty_like(values)
        for c, one in enumerate(self.transformers):
            inside = values[:, c].clip(self.low[c], self.high[c])
            with _quiet():
                back = one.inverse_transform(inside.reshape(-1, 1))
            out[:, c] = back.reshape(inside.shape)
        return out


@contextmanager
def _quiet() -> Iterator[None]:
    """No warnings of arithmetic: what is not finite is looked for."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore", RuntimeWarning)
        yield


def _image(one: Any, values: Float64, label: object) -> Float64:
    """Transformed values of one target, all finite."""
    with _quiet():
        image = np.asarray(one.transform(values[:, None]), dtype=np.float64).ravel()
    bad = np.flatnonzero(~np.isfinite(image))
    if len(bad):
        raise DataError(
            f"target_transformer gives {image[bad[0]]} for the value {values[bad[0]]} of target "
            f"{label!r} ({len(bad)} such values): choose one that is defined for all values."
        )
    return image


def _require_order(values: Float64, image: Float64, label: object) -> None:
    """Refuse what turns quantiles into no quantiles."""
    order = np.argsort(values, kind="stable")
    values, image = values[order], image[order]
    steps = np.where(np.diff(values) > 0, np.diff(image), 0.0)
    slack = 1e-9 * np.ptp(image)
    up, down = steps > slack, steps < -slack
    if up.any() and down.any():
        odd = int((up if up.sum() < down.sum() else down).argmax())
        raise DataError(
            f"target_transformer rises and falls: it turns the values {values[odd]:g} and "
            f"{values[odd + 1]:g} of target {label!r} into {image[odd]:g} and {image[odd + 1]:g}, "
            "but goes the other way elsewhere. Choose one that keeps the order of values."
        )


def _reach(one: Any, image: Float64) -> tuple[float, float]:
    """The lowest and highest transformed values that are inverted."""
    low, high = float(image.min()), float(image.max())
    spread = REACH * (high - low if high > low else max(abs(high), 1.0))
    return _finite(one, low, low - spread), _finite(one, high, high + spread)


def _finite(one: Any, good: float, far: float) -> float:
    """The farthest value from a good one towards a far one whose inverse is finite."""
    if _invertible(one, far):
        return far
    for _ in range(BISECTIONS):
        middle = (good + far) / 2
        good, far = (middle, far) if _invertible(one, middle) else (good, middle)
    return good


def _invertible(one: Any, value: float) -> bool:
    with _quiet():
        return bool(np.isfinite(one.inverse_transform(np.array([[value]]))).all())
