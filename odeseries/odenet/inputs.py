"""Features and images: the shape of a row, its units, and how images are shifted."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from sklearn.preprocessing import MinMaxScaler, StandardScaler
from torch import Tensor

__all__ = ["ImageShape", "Inputs", "Shift", "image_shape"]

FAR, WIDE = 8.0, 4.0

ImageShape = tuple[int, int, int]
Float64 = npt.NDArray[np.float64]


def image_shape(X: Any, given: Any) -> ImageShape | None:
    """Channels, height and width of the rows; None where they are plain features.

    Parameters
    ----------
    X : array of shape (n, n_features) or (n, channels, height, width)
        Data.
    given : tuple of int or None
        Shape that the user states, without channels if there is one.

    Raises
    ------
    ValueError
        If the two do not fit, or the array has other axes.
    """
    if X.ndim not in (2, 4):
        raise ValueError(
            f"X has the shape {X.shape}: give (n, n_features) or (n, channels, height, width); "
            "images of one channel are X[:, None]."
        )
    stated = None if given is None else tuple(int(side) for side in given)
    if stated is not None and len(stated) == 2:
        stated = (1, *stated)
    if stated is not None and (len(stated) != 3 or min(stated) < 1):
        raise ValueError(
            f"image_shape={given!r}: give (height, width) or (channels, height, width)."
        )
    found = None if X.ndim == 2 else X.shape[1:]
    matches = stated is None or stated == found
    if found is None and stated is not None:
        matches = X.shape[1] == np.prod(stated)
    if not matches:
        raise ValueError(f"X has the shape {X.shape}, which does not hold images of {stated}.")
    return found if stated is None else (stated[0], stated[1], stated[2])


@dataclass
class Inputs:
    """From rows as the user has them to tensors of comparable units.

    Features are standardised, then cut off at eight standard deviations, then divided by a
    quarter of their range where that is more than 1. So what is nearly always the same, whose
    standard deviation is tiny, has no huge values where it is not, and an outlier does not take
    the others their spread.

    Attributes
    ----------
    shape : tuple of int or None
        Channels, height and width; None for plain features.
    scaler : StandardScaler
        Means and standard deviations of every feature, or of every channel over all pixels.
    ends : MinMaxScaler
        Least and largest values of the same.
    """

    shape: ImageShape | None
    scaler: StandardScaler = field(default_factory=StandardScaler)
    ends: MinMaxScaler = field(default_factory=MinMaxScaler)

    def learn(self, X: Float64, weights: Float64) -> None:
        """Take the units from more rows; those without weight tell nothing."""
        flat = self._flat(X)
        of_each = np.repeat(weights, len(flat) // len(X))
        self.scaler.partial_fit(flat, sample_weight=of_each)
        self.ends.partial_fit(flat[of_each > 0])

    def scaled(self, X: Float64) -> Float64:
        """Features, or channels with a row a pixel, in their units."""
        ends = self._near(np.stack([self.ends.data_min_, self.ends.data_max_]))
        out: Float64 = self._near(self._flat(X)) / np.maximum((ends[1] - ends[0]) / WIDE, 1)
        return out

    def tensor(self, X: Float64, device: torch.device, dtype: torch.dtype) -> Tensor:
        """Scaled features ``[n, n_features]`` or images ``[n, height, width, channels]``.

        Raises
        ------
        ValueError
            If images have another shape than those that were learnt from.
        """
        scaled = self.scaled(X)
        if self.shape is not None:
            channels, height, width = self.shape
            scaled = scaled.reshape(-1, height, width, channels)
        return torch.as_tensor(scaled, dtype=dtype, device=device)

    def _near(self, flat: Float64) -> Float64:
        """Standardised, what is far away cut off."""
        out: Float64 = np.clip(self.scaler.transform(flat), -FAR, FAR)
        return out

    def _flat(self, X: Float64) -> Float64:
        """Columns of one unit each: features, or channels with a row a pixel."""
        if self.shape is None:
            return X
        if X.ndim == 4 and X.shape[1:] != self.shape:
            raise ValueError(f"X has images of {X.shape[1:]}, but was fitted on {self.shape}.")
        images = X.reshape(-1, *self.shape)
        return images.transpose(0, 2, 3, 1).reshape(-1, self.shape[0])


@dataclass(frozen=True)
class Shift:
    """Moves images by some pixels over their background.

    Attributes
    ----------
    background : Tensor of shape (channels,)
        What comes in at the borders.
    reach : int
        Most pixels in each direction.
    """

    background: Tensor
    reach: int

    @classmethod
    def of(cls, images: Tensor) -> Shift:
        """Up to a fourteenth of the side, over the median of the borders.

        Parameters
        ----------
        images : Tensor of shape (n, height, width, channels)
            Those that are learnt from.
        """
        edges = [images[:, 0], images[:, -1], images[:, :, 0], images[:, :, -1]]
        background = torch.cat(edges, 1).flatten(0, 1).median(0).values
        return cls(background, max(1, round(min(images.shape[1:3]) / 14)))

    def at_random(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Each image moved another way, of the same shape."""
        moves = torch.randint(
            -self.reach, self.reach + 1, (2, len(images)), generator=generator
        ).to(images.device)
        return self._moved(images, moves[0], moves[1])

    def around(self, images: Tensor) -> Iterator[Tensor]:
        """The images as they are, and moved by a pixel in each of the four directions."""
        yield images
        for down, right in ((-1, 0), (1, 0), (0, -1), (0, 1)):
            steps = images.new_tensor([[down], [right]], dtype=torch.int64)
            yield self._moved(images, *steps.expand(2, len(images)))

    def _moved(self, images: Tensor, down: Tensor, right: Tensor) -> Tensor:
        """Image i moved by ``down[i]`` and ``right[i]`` pixels."""
        n, height, width, _ = images.shape
        reach, device = self.reach, images.device
        background = self.background.to(images)
        padded = background.repeat(n, height + 2 * reach, width + 2 * reach, 1)
        padded[:, reach:-reach, reach:-reach] = images
        rows = (reach - down[:, None] + torch.arange(height, device=device))[:, :, None]
        columns = (reach - right[:, None] + torch.arange(width, device=device))[:, None]
        return padded[torch.arange(n, device=device)[:, None, None], rows, columns]
