"""Looking into a fitted forecaster: its field, its energy, its states, its work."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from odeseries.dynamics.hamiltonian import Hamiltonian
from odeseries.errors import DataError, PluginError
from odeseries.forecasters.base import PREDICT_QUERIES, BaseForecaster
from odeseries.forecasters.traced import Traced
from odeseries.panel import Float64
from odeseries.sampling import query_windows
from odeseries.scaling import ROUND
from odeseries.scenarios import scenarios

__all__ = ["FlowForecaster"]


class FlowForecaster(BaseForecaster):
    """A forecaster whose forecasts follow one dynamics, which can be looked at.

    Coordinates that are channels, as the first ones of a `NeuralODEForecaster` are, have the
    data's units, after the ``target_transformer`` if there is one; other ones, such as velocities
    and the coordinates of latent states, are those of the model. Where series are of very different
    sizes they are those of a series of typical size. Time runs in clock units (seconds for dates).
    """

    def vector_field(self, grid: ArrayLike, inputs: ArrayLike | None = None) -> Float64:
        """Time derivatives of states.

        Parameters
        ----------
        grid : array-like of shape (..., state_dim) or (..., dim)
            States, or vectors from which the dynamics makes states: the values of all channels,
            say. `latent` tells how many coordinates a state has.
        inputs : array-like of shape (..., n_inputs), optional
            Known covariates there, in their own units; their training means by default.

        Returns
        -------
        ndarray of shape (..., state_dim)
            Change per clock unit, of the channels in their units.

        Raises
        ------
        NotFittedError
            Before ``fit``.
        DataError
            If the last axis fits neither states nor vectors.
        """
        net = self._traced()
        unit = self._units(net)[1]
        with torch.no_grad():
            states = self._states(net, grid)
            slopes = net.dynamics(states.new_zeros(1), states, self._known(net, inputs, states))
        return _array(slopes) * unit * net.pace / self.horizon_

    def energy(self, grid: ArrayLike) -> Float64:
        """Learned energy of states, up to a constant and in the model's unit.

        Parameters
        ----------
        grid : array-like of shape (..., state_dim)
            States; see `vector_field`.

        Returns
        -------
        ndarray of shape (...)

        Raises
        ------
        PluginError
            If the dynamics is not Hamiltonian, so that there is no energy.
        """
        net = self._traced()
        if not isinstance(net.dynamics, Hamiltonian):
            raise PluginError(
                f"{type(net.dynamics).__name__} has no energy: fit with dynamics='hamiltonian'."
            )
        with torch.no_grad():
            return _array(net.dynamics.energy(self._states(net, grid)))

    def latent(self, X: Any, history: Any = None) -> pd.DataFrame:
        """States of the dynamics at any time: the path that a forecast follows.

        Parameters
        ----------
        X, history
            As in ``predict_quantiles``.

        Returns
        -------
        DataFrame
            One row per time, in the order asked; the channels' columns have their names, further
            coordinates are numbered.
        """
        net = self._traced()
        queries, panel = self._asked(X, history)
        fitted, recipe = self._fitted, self._recipe_
        times = np.round(queries.times / recipe.horizon, ROUND)
        out = np.empty((len(times), net.dynamics.state_dim))
        asked = (queries.series, queries.times, queries.inputs)
        for rows, known in scenarios(panel, *asked):
            loader = fitted.loader(known, recipe, queries.inputs[rows])
            windows, order = query_windows(
                loader.panel, queries.series[rows], times[rows], PREDICT_QUERIES
            )
            batch = loader.batch(windows).to(recipe.device)
            with torch.no_grad():
                states = net.trace(batch)[0][batch.asked]
            out[rows[order]] = _array(states)
        mean, std = self._units(net)
        columns = [*panel.channels[: net.n_visible], *range(net.n_visible, out.shape[1])]
        return pd.DataFrame(out * std + mean, index=queries.index, columns=columns)

    @property
    def nfe_(self) -> float:
        """Mean number of evaluations of the field for a forecast one horizon ahead."""
        net = self._traced()
        loader = self._fitted.loader(self.panel_, self._recipe_)
        last = loader.panel.spans() + 1.0
        windows, _ = query_windows(loader.panel, np.arange(len(last)), last, 1)
        with torch.no_grad():
            work = net.trace(loader.batch(windows).to(self._recipe_.device))[1]
        return float(work.double().mean())

    def _traced(self) -> Traced:
        """The network, ready to be looked at."""
        check_is_fitted(self)
        net = self._fitted.net
        assert isinstance(net, Traced)
        return net

    def _units(self, net: Traced) -> tuple[Float64, Float64]:
        """Location and scale of every coordinate of a state, (state_dim,)."""
        mean, std = np.zeros(net.dynamics.state_dim), np.ones(net.dynamics.state_dim)
        seen = slice(net.n_visible)
        scaling = self._fitted.scaling
        mean[seen], std[seen] = scaling.mean[seen], scaling.std[seen]
        if scaling.typical is not None:
            typical = np.nan_to_num(scaling.typical[seen], nan=1.0)
            mean[seen], std[seen] = typical * mean[seen], typical * std[seen]
        return mean, std

    def _states(self, net: Traced, grid: ArrayLike) -> Tensor:
        """States of the model at points in the units of `_units`."""
        points = np.asarray(grid, dtype=np.float64)
        dynamics = net.dynamics
        width = points.shape[-1] if points.ndim else 0
        if width not in (dynamics.state_dim, dynamics.dim):
            raise DataError(
                f"The points have {width} coordinates: give {dynamics.state_dim} of a state, or "
                f"the {dynamics.dim} that the dynamics is given."
            )
        mean, std = (x[:width] for x in self._units(net))
        z = torch.tensor((points - mean) / std, dtype=torch.float32, device=self._recipe_.device)
        return z if width == dynamics.state_dim else dynamics.lift(z)

    def _known(self, net: Traced, inputs: ArrayLike | None, states: Tensor) -> Tensor | None:
        """Standardised inputs that broadcast against the states."""
        n = net.dynamics.n_inputs
        if n == 0:
            return None
        if inputs is None:
            return states.new_zeros(*states.shape[:-1], n)
        known = self._fitted.scaling.standard_inputs(np.asarray(inputs, dtype=np.float64))
        return torch.tensor(known).to(states).expand(*states.shape[:-1], n)


def _array(x: Tensor) -> Float64:
    return np.asarray(x.double().cpu().numpy())
