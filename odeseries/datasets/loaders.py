"""Real irregular series, shipped with the package."""

from __future__ import annotations

import pandas as pd

from odeseries.datasets.files import CARDS, read_table
from odeseries.errors import DataError

__all__ = [
    "list_datasets",
    "load_antarctic_co2",
    "load_co2",
    "load_glucose",
    "load_lynx_hare",
    "load_sunspots",
    "load_variable_stars",
]

PRESENT = 1950  # the year that ages "before present" count from


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
    ['antarctic_co2', 'co2', 'glucose', 'lynx_hare', 'sunspots', 'variable_stars']
    """
    rows = {n: (c.rows, c.series, c.what, c.licence) for n, c in CARDS.items()}
    columns = ["rows", "series", "what", "licence"]
    return pd.DataFrame.from_dict(rows, orient="index", columns=columns).rename_axis("name")


def load_antarctic_co2() -> pd.Series:
    """Atmospheric CO2 over 805,000 years, from air in Antarctic ice.

    Returns
    -------
    Series of shape (1901,)
        Parts per million by volume at years of the common era, irregular: 275 years apart in the
        median, .02 at least and 4171 at most.

    References
    ----------
    Bereiter, B. et al. (2015). Revision of the EPICA Dome C CO2 record from 800 to 600 kyr before
    present. Geophysical Research Letters 42, 542.

    Examples
    --------
    >>> from odeseries.datasets import load_antarctic_co2
    >>> co2 = load_antarctic_co2()
    >>> round(co2.index[0]), float(co2.iloc[0])
    (-803719, 207.29)
    """
    frame = read_table("antarctic_co2")
    year = pd.Index(PRESENT - frame["age"], name="year").round(2)
    return frame["co2"].set_axis(year).sort_index()


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


def load_lynx_hare() -> pd.DataFrame:
    """Pelts of lynx and hare traded at Hudson Bay, 1900 to 1920.

    Returns
    -------
    DataFrame of shape (21, 2)
        Thousands of pelts of ``lynx`` and ``hare`` in each year.

    References
    ----------
    Howard, P. (2009). Modeling Basics. Lecture notes, Texas A&M University.

    Hewitt, C. G. (1921). The Conservation of the Wild Life of Canada.

    Examples
    --------
    >>> from odeseries.datasets import load_lynx_hare
    >>> load_lynx_hare().idxmax().to_dict()
    {'lynx': 1904, 'hare': 1903}
    """
    return read_table("lynx_hare").set_index("year")


def load_sunspots() -> pd.Series:
    """Yearly mean sunspot numbers, 1700 to 2008.

    Returns
    -------
    Series of shape (309,)
        Relative sunspot numbers (version 1) at years. They are regular; an irregular series is
        ``load_sunspots().sample(frac=0.5, random_state=0).sort_index()``.

    References
    ----------
    National Geophysical Data Center, yearly sunspot numbers.

    Examples
    --------
    >>> from odeseries.datasets import load_sunspots
    >>> load_sunspots().idxmax()
    1957
    """
    return read_table("sunspots").set_index("year")["sunspots"]


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
