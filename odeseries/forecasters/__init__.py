"""Built-in forecasters, and the network for those of plugins."""

from odeseries.forecasters.assembly import flow_network, n_row_features
from odeseries.forecasters.auto import AutoForecaster
from odeseries.forecasters.base import BaseForecaster
from odeseries.forecasters.baseline import BaselineForecaster
from odeseries.forecasters.boosted import BoostedForecaster
from odeseries.forecasters.forest import ForestForecaster
from odeseries.forecasters.latent_ode import LatentODEForecaster
from odeseries.forecasters.latent_sde import LatentSDEForecaster
from odeseries.forecasters.linear_sde import LinearSDEForecaster
from odeseries.forecasters.neural_ode import NeuralODEForecaster
from odeseries.forecasters.ode_rnn import ODERNNForecaster

__all__ = [
    "AutoForecaster",
    "BaseForecaster",
    "BaselineForecaster",
    "BoostedForecaster",
    "ForestForecaster",
    "LatentODEForecaster",
    "LatentSDEForecaster",
    "LinearSDEForecaster",
    "NeuralODEForecaster",
    "ODERNNForecaster",
    "flow_network",
    "n_row_features",
]
