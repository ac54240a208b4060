"""Built-in forecasters."""

from odeseries.forecasters.base import BaseForecaster
from odeseries.forecasters.latent_ode import LatentODEForecaster
from odeseries.forecasters.ode_rnn import ODERNNForecaster

__all__ = ["BaseForecaster", "LatentODEForecaster", "ODERNNForecaster"]
