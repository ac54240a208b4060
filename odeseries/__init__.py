"""Forecasting irregular time series with learned continuous-time dynamics."""

from odeseries import datasets, metrics
from odeseries.cnf import CNFDensityEstimator
from odeseries.encoders import Encoder
from odeseries.errors import (
    CompileError,
    ConvergenceWarning,
    DataError,
    GradientWarning,
    IntegrationError,
    OdeSeriesError,
    PersistenceError,
    PluginError,
    PluginWarning,
    SolverError,
)
from odeseries.forecasters import (
    AutoForecaster,
    BaseForecaster,
    BaselineForecaster,
    BoostedForecaster,
    ForestForecaster,
    LatentODEForecaster,
    LatentSDEForecaster,
    LinearSDEForecaster,
    NeuralODEForecaster,
    ODERNNForecaster,
    flow_network,
    n_row_features,
)
from odeseries.frames import future_times
from odeseries.hookspecs import hookimpl
from odeseries.interfaces import (
    Dynamics,
    Noise,
    Solution,
    SolveOptions,
    Solver,
    SolverStats,
    VectorField,
)
from odeseries.model import Model
from odeseries.model_selection import PanelSplit, TimeSplit, backtest
from odeseries.odenet import ODENetClassifier
from odeseries.persistence import load
from odeseries.plotting import phase_portrait, plot_forecast, plot_history
from odeseries.plugins import register
from odeseries.recipe import Spec
from odeseries.solvers import Event, Regularised, random_end, row_seeds, solve, solve_event
from odeseries.windows import Batch, Side

__all__ = [
    "AutoForecaster",
    "BaseForecaster",
    "BaselineForecaster",
    "Batch",
    "BoostedForecaster",
    "CNFDensityEstimator",
    "CompileError",
    "ConvergenceWarning",
    "DataError",
    "Dynamics",
    "Encoder",
    "Event",
    "ForestForecaster",
    "GradientWarning",
    "IntegrationError",
    "LatentODEForecaster",
    "LatentSDEForecaster",
    "LinearSDEForecaster",
    "Model",
    "NeuralODEForecaster",
    "Noise",
    "ODENetClassifier",
    "ODERNNForecaster",
    "OdeSeriesError",
    "PanelSplit",
    "PersistenceError",
    "PluginError",
    "PluginWarning",
    "Regularised",
    "Side",
    "Solution",
    "SolveOptions",
    "Solver",
    "SolverError",
    "SolverStats",
    "Spec",
    "TimeSplit",
    "VectorField",
    "backtest",
    "datasets",
    "flow_network",
    "future_times",
    "hookimpl",
    "load",
    "metrics",
    "n_row_features",
    "phase_portrait",
    "plot_forecast",
    "plot_history",
    "random_end",
    "register",
    "row_seeds",
    "solve",
    "solve_event",
]
