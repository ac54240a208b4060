"""The forecaster of boosted trees."""

from __future__ import annotations

from numbers import Integral
from typing import Any, ClassVar

from sklearn.utils._param_validation import Interval

from odeseries.forecasters.base import BaseForecaster
from odeseries.forecasters.baseline_network import n_features
from odeseries.forecasters.boosted_network import BoostedNetwork
from odeseries.recipe import Spec

__all__ = ["BoostedForecaster"]


class BoostedForecaster(BaseForecaster):
    """Gradient-boosted trees on a regression and on the level: for panels of many series.

    The forecast is the mean of two. One begins with a ridge regression, which foretells each
    channel from its own lags and from what all channels of a window tell, as `BaselineForecaster`
    with ``method="channels"`` does; boosted trees foretell what it leaves. The other one begins
    halfway between the last value and the mean of what is seen; boosted trees foretell the change.
    They see lagged and seasonal values, their ages, the lead, the phases of the periods, known
    inputs, and what all channels did. Unlike `ForestForecaster` it goes beyond the changes that it
    has seen where they follow a line. There are no dynamics.

    Its distribution is that of the errors of trees on windows that they have not seen: those of one
    half of the training foretell the other one. The errors are told apart by the forecast and by
    the age of the last value.

    Between two observations it answers with the straight line, before them as the regression does.
    So it does for a channel with few targets, or where trees would serve a few wild values alone.

    Parameters
    ----------
    horizon : str, Timedelta or float, optional
        How far ahead forecasts go; 10 % of the longest series by default.
    n_rounds : int, default=100
        Trees of either forecast, each grown on what those before it leave.
    summaries : bool, default=True
        Whether the trees also see the first, least and largest value, the mean, the spread and the
        number of values of every channel.
    n_rows, n_lags, seasonality, cutoffs, validation_fraction, targets, target_transformer, \
duplicates, time_col, id_col, device, random_state, verbose, max_time, callbacks, checkpoint_dir
        As in `LatentODEForecaster`; what concerns the training by batches alone changes nothing.

    Attributes
    ----------
    periods_, horizon_
        As in `LatentODEForecaster`.

    References
    ----------
    Friedman, J. H. (2001). Greedy Function Approximation: A Gradient Boosting Machine. Annals of
    Statistics 29, 1189. Algorithm 1.

    Examples
    --------
    >>> import numpy as np, pandas as pd, odeseries as ode
    >>> times = np.sort(np.random.default_rng(0).uniform(0, 60, 400))
    >>> y = pd.Series(np.sin(times) ** 3, index=times)
    >>> model = ode.BoostedForecaster(horizon=2.0, random_state=0).fit(y)
    >>> bool(abs(model.predict([61.0]).iloc[0] - np.sin(61.0) ** 3) < 0.2)
    True
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **BaseForecaster._parameter_constraints,
        "n_rounds": [Interval(Integral, 1, None, closed="left")],
        "summaries": ["boolean"],
    }

    n_rounds: int = 100
    summaries: bool = True

    def build(self, spec: Spec) -> BoostedNetwork:
        """Make a network without anything to be trained by batches."""
        n_columns = n_features(spec, self.n_lags)
        return BoostedNetwork(
            spec.n_channels, n_columns, self.n_rounds, with_summaries=self.summaries
        )
