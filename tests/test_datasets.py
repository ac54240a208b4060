"""The bundled data are the published ones; the generators follow their formulas."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from odeseries import datasets
from odeseries.datasets import files
from odeseries.errors import DataError

CARDS = Path(__file__).parents[1] / "datasets"


def test_co2_keeps_the_rows_of_the_source_and_its_gaps() -> None:
    """2284 Saturdays, 59 of them without a value; first and last value as published."""
    co2 = datasets.load_co2()
    assert (co2.name, co2.index.name, len(co2), co2.isna().sum()) == ("co2", "time", 2284, 59)
    assert set(co2.index.day_of_week) == {5}
    assert co2.loc["1958-03-29"] == 316.1
    assert co2.loc["2001-12-29"] == 371.5
    gaps = co2.dropna().index.to_series().diff().dt.days
    assert ((gaps > 7).sum(), gaps.max()) == (22, 133)


def test_glucose_has_one_value_a_stamp() -> None:
    """Equal stamps of the source were averaged; the limits of the monitor are 40 and 400."""
    glucose = datasets.load_glucose()
    assert (glucose.name, len(glucose)) == ("glucose", 52278)
    assert glucose.index.is_unique
    assert glucose.index.is_monotonic_increasing
    assert glucose.loc["2010-08-13 06:41"].item() == 102.5
    assert (glucose.min(), glucose.max()) == (40, 400)


def test_stars_are_a_panel_and_one_star_is_its_rows() -> None:
    """The Series of a star holds the same numbers as the panel."""
    panel = datasets.load_variable_stars()
    assert panel.index.names == ["star", "time"]
    assert list(panel.columns) == ["magnitude"]
    assert panel.index.get_level_values("star").nunique() == 30
    star = datasets.load_variable_stars("asas_243412_V")
    assert isinstance(star, pd.Series)
    assert star.index.dtype == np.float64
    pd.testing.assert_series_equal(star, panel.loc["asas_243412_V", "magnitude"])
    assert star.loc[1914.86456] == 12.098


def test_ice_runs_forward_in_time() -> None:
    """Ages before 1950 became years; first, last and lowest value as published."""
    co2 = datasets.load_antarctic_co2()
    assert (co2.name, co2.index.name, len(co2)) == ("co2", "year", 1901)
    assert co2.index.is_monotonic_increasing
    assert co2.index.is_unique
    assert (co2.index[0], co2.iloc[0]) == (-803718.87, 207.29)
    assert (co2.index[-1], co2.iloc[-1]) == (2001.03, 368.02)
    assert co2.min() == 173.71


def test_sunspots_are_one_a_year() -> None:
    """The highest cycle was that of 1957; none were seen in 1711."""
    sunspots = datasets.load_sunspots()
    assert (sunspots.name, sunspots.index.name) == ("sunspots", "year")
    np.testing.assert_array_equal(sunspots.index, np.arange(1700, 2009))
    assert (sunspots[1711], sunspots[1957], sunspots[2008]) == (0, 190.2, 2.9)


def test_the_lynx_follows_the_hare() -> None:
    """First and last counts as published; the predator peaks after its prey."""
    pelts = datasets.load_lynx_hare()
    np.testing.assert_array_equal(pelts.index, np.arange(1900, 1921))
    assert pelts.loc[1900].tolist() == [4.0, 30.0]
    assert pelts.loc[1920].tolist() == [8.6, 24.7]
    assert (pelts["hare"].idxmax(), pelts["lynx"].idxmax()) == (1903, 1904)


def test_an_unknown_star_is_refused_with_the_names_that_exist() -> None:
    """The message names what was asked and what there is."""
    with pytest.raises(DataError, match=r"no star 'vega'.*asas_217801_V"):
        datasets.load_variable_stars("vega")


def test_the_list_tells_the_truth() -> None:
    """Rows and series of every listed set are those that its loader returns."""
    listed = datasets.list_datasets()
    loaded = {
        "antarctic_co2": datasets.load_antarctic_co2(),
        "co2": datasets.load_co2(),
        "glucose": datasets.load_glucose(),
        "lynx_hare": datasets.load_lynx_hare(),
        "sunspots": datasets.load_sunspots(),
        "variable_stars": datasets.load_variable_stars(),
    }
    assert list(listed.index) == list(loaded)
    for name, data in loaded.items():
        levels = data.index.nlevels
        series = data.index.get_level_values(0).nunique() if levels == 2 else 1
        assert (listed.loc[name, "rows"], listed.loc[name, "series"]) == (len(data), series)


@pytest.mark.parametrize("name", list(files.CARDS))
def test_card_and_file_agree(name: str) -> None:
    """The card in words carries the digest of the file beside it, which is below 1 MB."""
    card = files.CARDS[name]
    content = (CARDS / name / card.file).read_bytes()
    text = (CARDS / name / "README.md").read_text()
    assert hashlib.sha256(content).hexdigest() == card.sha256
    assert card.sha256 in text
    assert len(content) < 1_000_000
    for word in ("Licence", "Source", "Quirks", "Rebuild"):
        assert word in text


def test_a_changed_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One changed digit is noticed, and the file named."""
    path = tmp_path / "co2" / "data.csv"
    path.parent.mkdir()
    path.write_text((CARDS / "co2" / "data.csv").read_text().replace("316.1", "316.2", 1))
    monkeypatch.setattr(files, "INSTALLED", tmp_path)
    with pytest.raises(DataError, match=r"co2/data\.csv is not the file that was shipped"):
        datasets.load_co2()


def test_the_installed_file_comes_before_that_of_the_checkout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A wheel needs no checkout; without either file the error says where it was looked for."""
    shutil.copytree(CARDS / "co2", tmp_path / "installed" / "co2")
    monkeypatch.setattr(files, "INSTALLED", tmp_path / "installed")
    monkeypatch.setattr(files, "CHECKOUT", tmp_path / "nowhere")
    assert len(datasets.load_co2()) == 2284
    with pytest.raises(DataError, match="The file of 'glucose' is missing"):
        datasets.load_glucose()


def test_spirals_without_noise_are_the_formula() -> None:
    """The radius shrinks as exp(-0.2 t) and the angle turns by 1.5 a unit of time."""
    frame = datasets.make_damped_spirals(3, 25, noise=0.0)
    assert frame.index.names == ["series", "time"]
    for _, series in frame.groupby(level="series"):
        t = series.index.get_level_values("time").to_numpy()
        z = series["x"].to_numpy() + 1j * series["y"].to_numpy()
        start = z * np.exp((0.2 - 1.5j) * t)
        np.testing.assert_allclose(start, start[0], rtol=1e-12)


def test_waves_without_noise_are_sines_of_their_own_period() -> None:
    """Unit amplitude, and a sine and cosine of one period in [1.5, 3] fit every series."""
    frame = datasets.make_periodic(4, 40, noise=0.0)
    for _, series in frame.groupby(level="series"):
        t, y = series.index.get_level_values("time").to_numpy(), series["y"].to_numpy()
        errors = []
        for period in np.linspace(1.5, 3.0, 301):
            phase = 2 * np.pi * t / period
            basis = np.column_stack([np.sin(phase), np.cos(phase)])
            weights, squares, _, _ = np.linalg.lstsq(basis, y, rcond=None)
            errors.append((np.sqrt(squares[0] / len(t)), np.hypot(*weights)))
        error, amplitude = min(errors)
        assert error < 0.03
        assert amplitude == pytest.approx(1.0, abs=0.02)


@pytest.mark.parametrize("make", [datasets.make_damped_spirals, datasets.make_periodic])
def test_generators_are_irregular_and_seeded(make: Callable[..., pd.DataFrame]) -> None:
    """Private times in [0, duration], and the same numbers for the same seed."""
    frame = make(30, 50, noise=0.5, random_state=3)
    times = frame.index.get_level_values("time")
    assert len(frame) == 1500
    assert times.is_unique
    assert times.min() >= 0
    assert times.max() <= 10
    pd.testing.assert_frame_equal(frame, make(30, 50, noise=0.5, random_state=3))
    assert not frame.equals(make(30, 50, noise=0.5, random_state=4))


@pytest.mark.parametrize("make", [datasets.make_damped_spirals, datasets.make_periodic])
def test_the_same_seed_without_noise_is_the_truth(make: Callable[..., pd.DataFrame]) -> None:
    """At the same times the observations differ from it by the stated noise."""
    difference = make(30, 50, noise=0.5) - make(30, 50, noise=0.0)
    assert not difference.isna().any(axis=None)
    assert difference.to_numpy().std() == pytest.approx(0.5, rel=0.06)
