"""The forecaster of random trees on lags."""

from __future__ import annotations

from numbers import Integral
from typing import Any, ClassVar

from sklearn.utils._param_validation import Interval

from odeseries.forecasters.base import BaseForecaster
from odeseries.forecasters.forest_network import ForestNetwork
from odeseries.recipe import Spec

__all__ = ["ForestForecaster"]


class ForestForecaster(BaseForecaster):
    """Quantile regression forests on what was seen last: no dynamics, but hard to beat.

    For each channel a forest of random trees foretells how far the value asked for will be from
    the last one, from lagged and seasonal values, their ages, the lead, the phases of the periods,
    known inputs, and what all channels did last. The distribution is that of the training values
    in the leaves that are reached, so that it may be skewed, or have several modes. A fit takes
    seconds. It is at its best where channels foretell one another or the response is far from
    linear, and does not go beyond the changes that it has seen.

    Between two observations it answers with the straight line, before them with the first one, and
    with the errors that these had in training.

    Parameters
    ----------
    horizon : str, Timedelta or float, optional
        How far ahead forecasts go; 10 % of the longest series by default.
    n_trees : int, default=50
        Trees of each forest.
    n_windows : int, default=2048
        Forecasts that the trees are grown from, at most, and as many more as rare channels need.
        More of them take longer, and are worth it for panels of many series.
    summaries : bool, default=False
        Whether the trees also see the first, least and largest value, the mean, the spread and the
        number of values of every channel. It takes several times as long, and is worth it
        where many channels are seen once in a while, and each tells of the others.
    n_rows, n_lags, seasonality, cutoffs, validation_fraction, targets, target_transformer, \
duplicates, time_col, id_col, device, random_state, verbose, max_time, callbacks, checkpoint_dir
        As in `LatentODEForecaster`; what concerns the training by batches alone changes nothing.

    Attributes
    ----------
    periods_, horizon_
        As in `LatentODEForecaster`.

    References
    ----------
    Meinshausen, N. (2006). Quantile Regression Forests. JMLR 7, 983.

    Geurts, P., Ernst, D., Wehenkel, L. (2006). Extremely randomized trees. Machine Learning 63, 3.

    Examples
    --------
    >>> import numpy as np, pandas as pd, odeseries as ode
    >>> times = np.sort(np.random.default_rng(0).uniform(0, 60, 200))
    >>> y = pd.Series(np.sin(times) ** 3, index=times)
    >>> model = ode.ForestForecaster(horizon=2.0, random_state=0).fit(y)
    >>> bool(abs(model.predict([61.0]).iloc[0] - np.sin(61.0) ** 3) < 0.2)
    True
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **BaseForecaster._parameter_constraints,
        "n_trees": [Interval(Integral, 1, None, closed="left")],
        "n_windows": [Interval(Integral, 2, None, closed="left")],
        "summaries": ["boolean"],
    }

    n_trees: int = 50
    n_windows: int = 2048
    summaries: bool = False

    def build(self, spec: Spec) -> ForestNetwork:
        """Make a network without anything to be trained by batches."""
        return ForestNetwork(
            spec.n_channels, self.n_trees, self.n_windows, with_summaries=self.summaries
        )
