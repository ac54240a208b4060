"""Real irregular series, shipped with the package."""

from __future__ import annotations

import pandas as pd

from odeseries.datasets.files import CARDS, read_table
from odeseries.errors import DataError

__all__ = ["list_datasets", "load_co2", "load_glucose", "load_variable_stars"]


def list_datasets() -> pd.DataFrame:
    """What can be loaded.

    Returns
    -------
    DataFrame
        One row a data set, indexed by name: rows, series, what it is, licence.

    Examples
    --------
    >>> from odeseries.datasets import list_datasets
    >>> list(list_datasets().index)
    ['co2', 'glucose', 'variable_stars']
    """
    rows = {n: (c.rows, c.series, c.what, c.licence) for n, c in CARDS.items()}
    columns = ["rows", "series", "what", "licence"]
    return pd.DataFrame.from_dict(rows, orient="index", columns=columns).rename_axis("name")


def load_co2() -> pd.Series:
    """Weekly atmospheric CO2 at Mauna Loa, 1958 to 2001.

    Returns
    -------
    Series of shape (2284,)
        Parts per million by volume at dates; 59 weeks are missing (NaN), up to 133 days in a row.

    References
    ----------
    Keeling, C. D., Whorf, T. P. (2004). Atmospheric CO2 concentrations derived from flask air
    samples at sites in the SIO network. CDIAC.

    Examples
    --------
    >>> from odeseries.datasets import load_co2
    >>> co2 = load_co2()
    >>> int(co2.isna().sum()), co2.index[-1].year
    (59, 2001)
    """
    return _dated(read_table("co2"))["co2"]


def load_glucose() -> pd.Series:
    """Glucose of one person, by a continuous monitor in 2010.

    Returns
    -------
    Series of shape (52278,)
        mg/dL at dates about five minutes apart, with 187 gaps of more than seven minutes, up to
        27.9 hours.

    Examples
    --------
    >>> from odeseries.datasets import load_glucose
    >>> load_glucose().name
    'glucose'
    """
    return _dated(read_table("glucose"))["glucose"]


def load_variable_stars(star: str | None = None) -> pd.Series | pd.DataFrame:
    """Light curves of variable stars, observed at irregular nights.

    Parameters
    ----------
    star : str, optional
        One star, such as ``"asas_243412_V"``.

    Returns
    -------
    DataFrame or Series
        Magnitudes of all stars under the index (star, time), or of one star under its times, in
        days.

    Raises
    ------
    DataError
        If the star is unknown.

    References
    ----------
    Alcock, C. et al. (2000), the MACHO project. Pojmanski, G. (1997), the All Sky Automated
    Survey, Acta Astronomica 47, 467.

    Examples
    --------
    >>> from odeseries.datasets import load_variable_stars
    >>> load_variable_stars("asas_243412_V").shape
    (533,)
    """
    frame = read_table("variable_stars").groupby(["star", "time"], sort=True).mean()
    if star is None:
        return frame
    stars = frame.index.get_level_values("star").unique()
    if star not in stars:
        raise DataError(f"There is no star {star!r}; there are {', '.join(stars)}.")
    return frame["magnitude"].xs(star)


def _dated(frame: pd.DataFrame) -> pd.DataFrame:
    """The table under its dates."""
    return frame.set_index(pd.DatetimeIndex(pd.to_datetime(frame["time"]), name="time"))
