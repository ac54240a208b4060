"""The network of a classifier, made from its parameters."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

from odeseries import plugins
from odeseries.arguments import require_keywords
from odeseries.interfaces import Dynamics, Solver
from odeseries.nets import seeded_weights
from odeseries.odenet.inputs import ImageShape
from odeseries.odenet.network import (
    ConvolutionalStem,
    Gradient,
    ODEBlock,
    ODENet,
    Pixels,
    perceptron_stem,
)

__all__ = ["Design"]

FLAT_WIDTH, IMAGE_WIDTH = 64, 32


@dataclass(frozen=True)
class Design:
    """What a user asks of the network.

    Attributes
    ----------
    hidden : int or None
        Features, or channels of images, that the block moves.
    dynamics : str or Dynamics class
        "auto" is "mlp" for features and "convolutional" for images.
    stem : {"auto", "identity"}
        Whether the data are mapped before the block.
    """

    hidden: int | None
    dynamics: str | type[Dynamics]
    dynamics_params: Mapping[str, Any]
    stem: str
    T: float
    learn_T: bool
    solver: str | type[Solver]
    gradient: Gradient
    options: Mapping[str, Any]

    def build(self, n_features: int, shape: ImageShape | None, n_classes: int, seed: int) -> ODENet:
        """Make an untrained network; global generators are not touched.

        Parameters
        ----------
        n_features : int
            Of plain features.
        shape : tuple of int or None
            Channels, height and width of images.
        n_classes : int
            Number of logits.
        seed : int
            Of the initial weights.
        """
        with seeded_weights(seed):
            if shape is None:
                return self._of_features(n_features, n_classes)
            return self._of_images(shape, n_classes)

    def _of_features(self, n_features: int, n_classes: int) -> ODENet:
        if self.dynamics != "auto" and plugins.get("dynamics", self.dynamics).on_images:
            raise ValueError(
                f"dynamics={self.dynamics!r} moves images: give image_shape, or X with four axes."
            )
        width = n_features if self.stem == "identity" else self.hidden or FLAT_WIDTH
        stem = nn.Identity() if self.stem == "identity" else perceptron_stem(n_features, width)
        block = self._block(width, "mlp")
        return ODENet(stem, block, nn.Identity(), nn.Linear(width, n_classes))

    def _of_images(self, shape: ImageShape, n_classes: int) -> ODENet:
        if self.stem == "identity":
            channels, *sides = shape
            return self._on_pixels(nn.Identity(), channels, math.prod(sides), n_classes)
        width = self.hidden or IMAGE_WIDTH
        stem = ConvolutionalStem(shape, width)
        return self._on_pixels(stem, width, stem.n_pixels, n_classes)

    def _on_pixels(self, stem: nn.Module, width: int, n_pixels: int, n_classes: int) -> ODENet:
        block = self._block(width, "convolutional")
        return ODENet(stem, block, Pixels(width), nn.Linear(n_pixels * width, n_classes))

    def _block(self, width: int, fitting: str) -> ODEBlock:
        name = fitting if self.dynamics == "auto" else self.dynamics
        cls: type[Dynamics] = plugins.get("dynamics", name)
        require_keywords(cls, self.dynamics_params, (), "dynamics_params")
        dynamics = cls(width, **self.dynamics_params)
        if dynamics.noise_type is not None:
            raise ValueError(f"dynamics={name!r} is stochastic: give an ordinary one.")
        return ODEBlock(
            dynamics,
            T=self.T,
            learn_T=self.learn_T,
            solver=self.solver,
            gradient=self.gradient,
            options=self.options,
        )
