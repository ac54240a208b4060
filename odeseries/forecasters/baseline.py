"""Simple forecasts that the learned ones have to beat."""

from __future__ import annotations

from typing import Any, ClassVar

from sklearn.utils._param_validation import StrOptions

from odeseries.forecasters.base import BaseForecaster
from odeseries.forecasters.baseline_network import METHODS, BaselineNetwork, n_features
from odeseries.recipe import Spec

__all__ = ["BaselineForecaster"]


class BaselineForecaster(BaseForecaster):
    """The last value, the mean, or a regression on lags, with the errors that they had.

    Nothing is trained: a fit takes seconds. Widths by lead time (and, with ``method="channels"``,
    by level) are the quantiles of the errors on the training data, adjusted on held-out forecasts
    like those of every forecaster. All else is that of the learned forecasters, so that they can be
    compared, and `AutoForecaster` picks this one where nothing learned is better.

    Parameters
    ----------
    horizon : str, Timedelta or float, optional
        How far ahead forecasts go; 10 % of the longest series by default.
    method : {"lags", "channels", "last", "mean", "climatology"}, default="lags"
        Ridge regression on lagged and seasonal values of each channel by itself, the same
        corrected by what all channels of a window tell of each, the nearest value, the mean of
        what is seen, or the distribution of the training values. ``"channels"`` is for panels of
        many series, such as patients, with many channels.
    n_rows, n_lags, seasonality, cutoffs, validation_fraction, targets, target_transformer, \
duplicates, time_col, id_col, device, random_state, verbose, max_time, callbacks, checkpoint_dir
        As in `LatentODEForecaster`; what concerns the training alone changes nothing.

    Attributes
    ----------
    periods_, horizon_
        As in `LatentODEForecaster`.

    References
    ----------
    Hyndman, R. J., Athanasopoulos, G. (2021). Forecasting: Principles and Practice. Third
    edition. Section 5.2 (simple methods), 5.5 (distributions from past errors).

    Examples
    --------
    >>> import numpy as np, pandas as pd, odeseries as ode
    >>> y = pd.Series([2.0, 3.0, 2.0, 3.0, 2.0, 3.0], index=[0.0, 1.0, 2.5, 3.0, 4.0, 5.5])
    >>> model = ode.BaselineForecaster(1.0, method="climatology", random_state=0).fit(y)
    >>> float(model.predict([6.5]).iloc[0])
    2.5
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **BaseForecaster._parameter_constraints,
        "method": [StrOptions(set(METHODS))],
    }

    method: str = "lags"

    def build(self, spec: Spec) -> BaselineNetwork:
        """Make a network without anything to be trained."""
        n_columns = n_features(spec, self.n_lags)
        return BaselineNetwork(self.method, spec.n_channels, n_columns)
