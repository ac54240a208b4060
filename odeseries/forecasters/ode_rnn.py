"""The ODE-RNN forecaster."""

from __future__ import annotations

from odeseries.anchoring import Anchor
from odeseries.encoders import ODERNNEncoder
from odeseries.forecasters.latent_ode import LatentODEForecaster
from odeseries.forecasters.network import FlowNetwork, Sizes
from odeseries.likelihoods import HEADS

__all__ = ["ODERNNForecaster"]
