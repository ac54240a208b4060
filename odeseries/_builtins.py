"""What the package itself offers, through the same hooks as any plugin.

Each hook imports when it is called, so that a look-up of one kind loads that kind only.
"""

from __future__ import annotations

from odeseries.hookspecs import hookimpl
from odeseries.interfaces import Dynamics, Forecaster, Solver


@hookimpl
def odeseries_dynamics() -> dict[str, type[Dynamics]]:
    """Dynamics of the package."""
    from odeseries.dynamics.augmented import Augmented
    from odeseries.dynamics.convolutional import Convolutional
    from odeseries.dynamics.first_order import MLP
    from odeseries.dynamics.fourier import Fourier
    from odeseries.dynamics.hamiltonian import Hamiltonian
    from odeseries.dynamics.linear import Linear
    from odeseries.dynamics.second_order import SecondOrder
    from odeseries.dynamics.stochastic import SDE

    return {
        "augmented": Augmented,
        "convolutional": Convolutional,
        "fourier": Fourier,
        "hamiltonian": Hamiltonian,
        "linear": Linear,
        "mlp": MLP,
        "sde": SDE,
        "second_order": SecondOrder,
    }


@hookimpl
def odeseries_solvers() -> dict[str, type[Solver]]:
    """Solvers of the package, and those of torchdiffeq and torchsde under their qualifiers."""
    from odeseries.solvers import scipy, torchdiffeq, torchsde
    from odeseries.solvers.runge_kutta import RK4, Dopri5, Euler, Heun, Midpoint, Tsit5
    from odeseries.solvers.stochastic import EulerMaruyama, Milstein, StochasticHeun
    from odeseries.solvers.symplectic import Leapfrog

    own: dict[str, type[Solver]] = {"euler": Euler, "midpoint": Midpoint, "rk4": RK4}
    own |= {"heun": Heun, "dopri5": Dopri5, "tsit5": Tsit5, "leapfrog": Leapfrog}
    own |= {
        "adams": torchdiffeq.ImplicitAdams,
        "euler_maruyama": EulerMaruyama,
        "milstein": Milstein,
        "stochastic_heun": StochasticHeun,
    }
    offered = torchdiffeq.METHODS | scipy.METHODS
    theirs = {f"torchdiffeq:{name}": method for name, method in offered.items()}
    theirs |= {f"torchsde:{name}": method for name, method in torchsde.METHODS.items()}
    return own | theirs


@hookimpl
def odeseries_forecasters() -> dict[str, type[Forecaster]]:
    """Forecasters of the package."""
    from odeseries.forecasters.baseline import BaselineForecaster
    from odeseries.forecasters.boosted import BoostedForecaster
    from odeseries.forecasters.forest import ForestForecaster
    from odeseries.forecasters.latent_ode import LatentODEForecaster
    from odeseries.forecasters.latent_sde import LatentSDEForecaster
    from odeseries.forecasters.linear_sde import LinearSDEForecaster
    from odeseries.forecasters.neural_ode import NeuralODEForecaster
    from odeseries.forecasters.ode_rnn import ODERNNForecaster

    return {
        "baseline": BaselineForecaster,
        "boosted": BoostedForecaster,
        "forest": ForestForecaster,
        "latent_ode": LatentODEForecaster,
        "latent_sde": LatentSDEForecaster,
        "linear_sde": LinearSDEForecaster,
        "neural_ode": NeuralODEForecaster,
        "ode_rnn": ODERNNForecaster,
    }


def estimators() -> dict[str, type]:
    """scikit-learn estimators of the package, which are no plugins."""
    from odeseries.cnf.estimator import CNFDensityEstimator
    from odeseries.forecasters.auto import AutoForecaster
    from odeseries.odenet.classifier import ODENetClassifier

    return {
        "auto": AutoForecaster,
        "cnf_density": CNFDensityEstimator,
        "odenet_classifier": ODENetClassifier,
    }
