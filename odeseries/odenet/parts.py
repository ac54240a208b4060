"""The network of a classifier, made from its parameters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

from odeseries import plugins
from odeseries.interfaces import Dynamics, Solver
from odeseries.nets import seeded_weights
from odeseries.odenet.inputs import ImageShape
from odeseries.odenet.network import ConvolutionalStem, ImageHead, ODEBlock, ODENet, perceptron_stem

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
            stem, width = self._stem(n_features, shape)
            head = nn.Linear(width, n_classes) if shape is None else ImageHead(width, n_classes)
            return ODENet(stem, self._block(width, shape), head)

    def _stem(self, n_features: int, shape: ImageShape | None) -> tuple[nn.Module, int]:
        """The stem and the dimension that it leads to."""
        if self.stem == "identity":
            return nn.Identity(), n_features if shape is None else shape[0]
        if shape is None:
            width = self.hidden or FLAT_WIDTH
            return perceptron_stem(n_features, width), width
        width = self.hidden or IMAGE_WIDTH
        return ConvolutionalStem(shape, width), width

    def _block(self, width: int, shape: ImageShape | None) -> ODEBlock:
        fitting = "mlp" if shape is None else "convolutional"
        name = fitting if self.dynamics == "auto" else self.dynamics
        dynamics: Dynamics = plugins.get("dynamics", name)(width, **self.dynamics_params)
        if dynamics.noise_type is not None:
            raise ValueError(f"dynamics={name!r} is stochastic: give an ordinary one.")
        return ODEBlock(
            dynamics, T=self.T, learn_T=self.learn_T, solver=self.solver, options=self.options
        )
