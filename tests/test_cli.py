"""The command line: right answers, and one readable line for what can't be done."""

from __future__ import annotations

import gzip
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import odeseries as ode
from odeseries.__main__ import main
from odeseries.csv_tables import _times, read_table

pytestmark = pytest.mark.usefixtures("few_windows")


class Quick(ode.LatentODEForecaster):
    """The latent ODE, trained for one epoch."""

    def __init__(
        self,
        horizon: Any = None,
        *,
        dynamics: Any = "linear",
        random_state: Any = None,
        verbose: bool = False,
    ) -> None:
        super().__init__(
            horizon, dynamics=dynamics, random_state=random_state, verbose=verbose, max_epochs=1
        )


@pytest.fixture(scope="module", autouse=True)
def _quick() -> None:
    ode.register(Quick, name="quick")


@pytest.fixture
def csv(tmp_path: Path) -> Path:
    """Sixty irregular days of one well, with a text column and a hole."""
    rng = np.random.default_rng(0)
    days = np.sort(rng.choice(200, 60, replace=False))
    frame = pd.DataFrame(
        {
            "when": (pd.Timestamp("2024-01-01") + pd.to_timedelta(days, unit="D")).astype(str),
            "level": np.round(5 + np.sin(days / 9), 3),
            "note": "dry",
        }
    )
    frame.loc[3, "level"] = None
    path = tmp_path / "well.csv"
    frame.to_csv(path, index=False)
    return path


def failure(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> str:
    """The one line on stderr of a command that exits with 1."""
    assert main([str(a) for a in arguments]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    (line,) = captured.err.splitlines()
    assert line.startswith("odeseries: ")
    return line


def test_a_file_is_forecast_shown_written_and_drawn(
    csv: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The table ends at the horizon, lies inside its interval and is what the file holds."""
    out, plot = csv.with_name("forecast.csv"), csv.with_name("forecast.png")
    command = f"forecast {csv} --time when --target level --horizon 30D --model local:quick"
    assert main([*command.split(), "--out", str(out), "--plot", str(plot), "--times", "30"]) == 0
    shown = capsys.readouterr().out.splitlines()
    written = pd.read_csv(out, index_col=0, parse_dates=True)
    last = pd.read_csv(csv, parse_dates=["when"])["when"].max()
    assert list(written.columns) == ["median", "lower 90%", "upper 90%"]
    assert len(written) == 30
    assert written.index.name == "when"
    assert written.index[-1] == last + pd.Timedelta("30D")
    assert (written["lower 90%"] <= written["median"]).all()
    assert (written["median"] <= written["upper 90%"]).all()
    row = next(line for line in shown if line.startswith(str(written.index[-1].date())))
    assert row.split()[1:] == [f"{v:.6g}" for v in written.iloc[-1]]
    assert f"All 30 rows: {out}" in shown
    assert plot.read_bytes().startswith(b"\x89PNG")


def test_a_panel_with_numeric_times_keeps_its_numbers(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Years stay years, and every id is forecast after its own end."""
    frame = pd.DataFrame(
        {
            "tree": ["b"] * 30 + ["a"] * 25,
            "year": [*range(1900, 1930), *range(1950, 1975)],
            "ring": np.sin(np.arange(55.0)),
            "core": np.cos(np.arange(55.0)),
        }
    )
    path, out = tmp_path / "rings.csv", tmp_path / "forecast.csv"
    frame.to_csv(path, index=False)
    command = f"forecast {path} --time year --id tree --horizon 4 --times 4 --model local:quick"
    plot = tmp_path / "rings.svg"
    more = ["--out", str(out), "--plot", str(plot), "--coverage", "0.975"]
    assert main([*command.split(), *more]) == 0
    assert "<svg" in plot.read_text()
    assert "upper 97.5% core" in capsys.readouterr().out
    written = pd.read_csv(out)
    assert list(zip(written["tree"], written["year"], strict=True)) == [
        *(("b", y) for y in range(1930, 1934)),
        *(("a", y) for y in range(1975, 1979)),
    ]
    assert "median ring" in written
    assert "median core" in written


@pytest.mark.parametrize(
    ("times", "instants"),
    [
        (["2024-01-01", "2024-01-02 12:00"], ["2024-01-01", "2024-01-02T12:00"]),
        (["05-01-2024", "06-13-2024"], ["2024-05-01", "2024-06-13"]),
        (["05/12/2023 10:00", "31/12/2023 10:00"], ["2023-12-05 10:00", "2023-12-31 10:00"]),
        (["31.12.2023", "01.01.2024"], ["2023-12-31", "2024-01-01"]),
        ([" 05/06/2024", "31/12/2024 "], ["2024-06-05", "2024-12-31"]),
        (["10:00 05/06/2024", "10:00 31/12/2024"], ["2024-06-05 10:00", "2024-12-31 10:00"]),
        (["10:00 2024-05-06", "10:00 2024-05-31"], ["2024-05-06 10:00", "2024-05-31 10:00"]),
        (["10:00 31-12-2024", "10:00 30-12-2025"], ["2024-12-31 10:00", "2025-12-30 10:00"]),
        (["05/05/2024", "06/06/2024"], ["2024-05-05", "2024-06-06"]),
        (["5 Jan 2024", "6 Jan 2024"], ["2024-01-05", "2024-01-06"]),
        (["20240229", "20240131"], ["2024-02-29", "2024-01-31"]),
        (
            ["2024-10-27 02:30+02:00", "2024-10-27 02:30+01:00"],
            ["2024-10-27T00:30Z", "2024-10-27T01:30Z"],
        ),
        (
            ["2024-01-01T00:00:00-0500", "2024-01-01T00:00:01.5-0500"],
            ["2024-01-01T05:00:00Z", "2024-01-01T05:00:01.5Z"],
        ),
        (
            ["2024-10-27 02:30+02", "2024-10-27 02:30:00.5 +01"],
            ["2024-10-27T00:30Z", "2024-10-27T01:30:00.5Z"],
        ),
        (
            ["20241027T0230+0200", "20241027T0230+0100"],
            ["2024-10-27T00:30Z", "2024-10-27T01:30Z"],
        ),
    ],
    ids=[
        "resolutions",
        "months",
        "days",
        "dots",
        "blanks",
        "hours-first",
        "year-first",
        "year-last",
        "alike",
        "names",
        "basic",
        "clock-change",
        "offset",
        "hours",
        "basic-offset",
    ],
)
def test_dates_are_read_as_instants(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, times: list[str], instants: list[str]
) -> None:
    """Mixed resolutions, no offset, one offset, two as over a clock change, days above 12."""
    seen = []

    def fit(self: Quick, X: pd.DataFrame, y: Any = None) -> Quick:
        seen.append(X.index)
        raise ode.DataError("That is enough.")

    monkeypatch.setattr(Quick, "fit", fit)
    path = tmp_path / "times.csv"
    pd.DataFrame({"t": times, "y": [1.0, 2.0]}).to_csv(path, index=False)
    assert main(f"forecast {path} --time t --horizon 2D --model local:quick".split()) == 1
    assert list(seen[0]) == [pd.Timestamp(t) for t in instants]


@pytest.mark.parametrize(
    "times",
    [
        ["05/01/2024", "06/01/2024"],
        ["31.12.2023", "12.31.2023"],
        [" 05/01/2024", " 06/01/2024"],
        ["10:00 05/01/2024", "10:00 06/01/2024"],
    ],
    ids=["neither", "both", "blanks", "hours-first"],
)
def test_day_and_month_that_cannot_be_told_apart_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], times: list[str]
) -> None:
    """No number above 12, or one in either place."""
    path = tmp_path / "times.csv"
    pd.DataFrame({"t": times, "y": [1.0, 2.0]}).to_csv(path, index=False)
    line = failure(capsys, "forecast", path, "--time", "t", "--horizon", "2D")
    assert f"column 't' of {path}, whose dates are like {times[0].strip()!r}" in line
    assert "ISO 8601" in line


@pytest.mark.parametrize(
    ("end", "horizon", "times", "labels"),
    [
        ("2024-01-01", "40D", 2, ["2024-01-21", "2024-02-10"]),
        ("2024-01-01 10:00", "200D", 2, ["2024-04-10", "2024-07-19"]),
        ("2024-01-01 10:00", "4h", 2, ["2024-01-01 12:00", "2024-01-01 14:00"]),
        ("2024-01-01 10:00", "20s", 2, ["2024-01-01 10:00:10", "2024-01-01 10:00:20"]),
        ("2024-01-01", "200ms", 2, ["2024-01-01 00:00:00.100", "2024-01-01 00:00:00.200"]),
        ("2024-01-01 10:00", "20s", 1, ["2024-01-01 10:00:20"]),
        ("2024-01-01 10:00", "200D", 1, ["2024-07-19 10:00"]),
        (2459000.25, "0.01", 2, ["2459000.255", "2459000.26"]),
        (2459000.5, "6e-5", 2, ["2459000.50003", "2459000.50006"]),
        (2459000.25, "2", 1, ["2459002.25"]),
    ],
)
@pytest.mark.parametrize("panel", [False, True], ids=["series", "panel"])
def test_times_are_shown_as_exactly_as_they_differ(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    end: str | float,
    horizon: str,
    times: int,
    labels: list[str],
    panel: bool,
) -> None:
    """Days, minutes, seconds or fractions; as many digits of numbers; one time in full."""
    last: Any = pd.Timestamp(end) if isinstance(end, str) else end
    reach: Any = pd.Timedelta(horizon) if isinstance(end, str) else float(horizon)
    path = tmp_path / "fast.csv"
    stamps = [last - k * reach / 4 for k in range(5)]
    pd.DataFrame({"id": "a", "t": stamps, "y": range(5)}).to_csv(path, index=False)
    command = f"forecast {path} --time t --target y --model baseline --times {times}"
    ids = ["--id", "id"] if panel else []
    assert main([*command.split(), "--horizon", horizon, *ids]) == 0
    rows = capsys.readouterr().out.splitlines()[2:]
    assert [row[3 * panel :].rsplit(maxsplit=3)[0] for row in rows] == labels


def test_ids_are_the_text_of_the_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """7 and 007 are two series, and NA is one; an empty cell is none."""
    path, out = tmp_path / "countries.csv", tmp_path / "forecast.csv"
    rows = [f"{who},{k},{np.sin(k):.3f}" for who in ("007", "7", "NA") for k in range(20)]
    path.write_text("\n".join(["who,when,level", *rows]))
    command = f"forecast {path} --time when --id who --horizon 3 --times 1 --model baseline"
    assert main([*command.split(), "--out", str(out)]) == 0
    written = pd.read_csv(out, dtype=str, keep_default_na=False)
    assert written["who"].tolist() == ["007", "7", "NA"]
    capsys.readouterr()
    path.write_text("\n".join(["who,when,level", *rows, ",3,1.0", ""]))
    assert "1 of 61 rows have no series id" in failure(capsys, *command.split())


def test_a_missing_file_or_column_is_named(csv: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The columns that exist are listed."""
    assert "There is no file nowhere.csv" in failure(
        capsys, "forecast", "nowhere.csv", "--time", "t", "--horizon", "3"
    )
    line = failure(capsys, "forecast", csv, "--time", "date", "--horizon", "3D")
    assert "no column 'date'; it has 'when', 'level', 'note'" in line
    line = failure(capsys, "forecast", csv, "--time", "when", "--target", "depth", "--horizon", "3")
    assert "no column 'depth'" in line


def test_what_is_no_date_is_named_with_its_line(
    csv: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Line 1 is the header; an empty cell and a row without its offset count as well."""
    text = csv.read_text().splitlines()
    for cell in ("soon", ""):
        rows = [*text[:5], f"{cell},5.0,dry", *text[5:]]
        csv.write_text("\n".join(rows))
        line = failure(capsys, "forecast", csv, "--time", "when", "--horizon", "3D")
        assert "Column 'when' in line 6" in line
        assert "is no date" in line
    for offset in ("Z", "+01", " -0330"):
        csv.write_text(f"when,level\n2024-01-01 10:00{offset},1\n2024-01-02 10:00,2\n")
        line = failure(capsys, "forecast", csv, "--time", "when", "--horizon", "3D")
        assert "line 3" in line
        assert "no UTC offset" in line


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("t,y\n\n2024-01-01,1\n \nsoon,2\n", "line 5"),
        ('t,y,note\n2024-01-01,1,"two\nlines"\n2024-01-02,2,"three\n\nlines"\nsoon,2,\n', "line 7"),
        ('\n"t","y\n(m)"\r\n2024-01-01,1\r\n"so\non",2\r\n', "line 5"),
        ("t,y\r2024-01-01,1\r\rsoon,2\r", "line 4"),
    ],
    ids=["blank-lines", "long-cells", "long-header", "returns"],
)
def test_blank_lines_and_lines_within_cells_count(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, place: str
) -> None:
    """As an editor counts them; compressed files have no lines but rows."""
    path, packed = tmp_path / "level.csv", tmp_path / "level.csv.gz"
    path.write_bytes(text.encode())
    packed.write_bytes(gzip.compress(text.encode()))
    for file, where in ((path, place), (packed, "row ")):
        line = failure(capsys, "forecast", file, "--time", "t", "--horizon", "3D")
        assert f"Column 't' in {where}" in line
        assert f"of {file} is no date" in line


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "Give a CSV file or --dataset"),
        (["--dataset", "co2", "{csv}"], "Give a CSV file or --dataset"),
        (["--dataset", "moon"], "no data set 'moon'; there are antarctic_co2, co2, glucose, "),
        (["--dataset", "variable_stars"], "Say how far to forecast: --horizon"),
        (["--dataset", "variable_stars", "--horizon", "3D"], "--horizon must be one, not '3D'"),
        (["--dataset", "co2", "--model", "oracle"], "oracle"),
        (["--dataset", "co2", "--model", "forest", "--dynamics", "mlp"], "forest has no dynamics"),
        (["--dataset", "co2", "--out", "nowhere/f.csv"], "there is no folder nowhere"),
        (["--dataset", "co2", "--plot", "forecast.xls"], "must end in one of .png, .pdf, .svg"),
        (["--dataset", "co2", "--horizon", "soon"], "soon"),
        (["--dataset", "co2", "--times", "0"], "n=0 must be a positive whole number"),
        (["--dataset", "co2", "--model", "auto", "--dynamics", "mlp"], "auto has no dynamics"),
        (["missing.csv", "--horizon", "3D"], "There is no file missing.csv"),
        (["{csv}", "--horizon", "3D"], "Name the column of the times: --time COL, one of 'when', "),
        (["{csv}", "--time", "when"], "Say how far to forecast: --horizon"),
        (["{csv}", "--time", "when", "--horizon", "3D"], "'note'"),
        (["{csv}", "--time", "when", "--id", "when", "--horizon", "3D"], "'when' is named twice"),
        (["{csv}", "--time", "when", "--target", "level", "when"], "'when' is named twice"),
    ],
)
def test_what_cannot_be_done_is_one_line(
    csv: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    """Before any training, with exit status 1."""
    line = failure(capsys, "forecast", *(a.format(csv=csv) for a in arguments))
    assert words in line


@pytest.mark.parametrize(
    ("times", "horizon", "words"),
    [
        (["1", "2"], "1e30", "horizon=1e+30 leads from 2 beyond 2**62"),
        (["1", "2"], "1e400", "horizon=inf must be positive and finite"),
        (["1.5", "2"], "nan", "horizon=nan must be positive and finite"),
        (["2024-01-01", "2024-01-02"], "1000000D", "horizon='1000000D' is too long"),
        (
            ["2024-01-01 10:00:00.123456789", "2024-01-02 10:00:00.123456789"],
            "100000D",
            "horizon='100000D' leads beyond 2262-04-11",
        ),
    ],
)
def test_a_horizon_that_is_too_long_is_called_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], times: list[str], horizon: str, words: str
) -> None:
    """Not one that is not understood; and no warning of NumPy's, no traceback."""
    path = tmp_path / "level.csv"
    pd.DataFrame({"t": times, "y": [1.0, 2.0]}).to_csv(path, index=False)
    line = failure(capsys, "forecast", path, "--time", "t", "--horizon", horizon)
    assert words in line


def test_an_overflow_is_one_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wherever it comes from."""

    def fit(*_: Any) -> None:
        raise OverflowError("That is too much.")

    monkeypatch.setattr(Quick, "fit", fit)
    command = ["forecast", "--dataset", "lynx_hare", "--model", "local:quick"]
    assert "That is too much." in failure(capsys, *command)


@pytest.mark.parametrize("option", ["--out", "--plot"])
def test_files_that_cannot_be_written_are_refused_before_the_training(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    option: str,
) -> None:
    """A folder, a place below a file or below nothing, a protected place."""
    monkeypatch.setattr(Quick, "fit", lambda *_: pytest.fail("It was trained."))
    command = ["forecast", "--dataset", "lynx_hare", "--model", "local:quick", option]
    (tmp_path / "a.png").mkdir()
    (tmp_path / "b").touch()
    said = failure(capsys, *command, tmp_path / "a.png")
    assert f"{tmp_path / 'a.png'} can't be written: it is a folder" in said
    for folder in ("b", "c"):
        said = failure(capsys, *command, tmp_path / folder / "d.png")
        assert f"there is no folder {tmp_path / folder}" in said
    monkeypatch.setattr("os.access", lambda *_: False)
    for name in ("b", "e.png"):
        assert "write-protected" in failure(capsys, *command, tmp_path / name)


def test_a_percentage_is_refused_with_a_hint(capsys: pytest.CaptureFixture[str]) -> None:
    """Wrong arguments exit with 2, as argparse does."""
    with pytest.raises(SystemExit) as exit_:
        main(["forecast", "--dataset", "co2", "--coverage", "90"])
    assert exit_.value.code == 2
    assert "90 is not a probability in (0, 1); did you mean 0.9?" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "named"),
    [(["--target", "lynx"], "--target"), (["--time", "year", "--id", "who"], "--time and --id")],
)
def test_columns_of_a_bundled_series_cannot_be_named(
    capsys: pytest.CaptureFixture[str], options: list[str], named: str
) -> None:
    """They are not ignored."""
    with pytest.raises(SystemExit) as exit_:
        main(["forecast", "--dataset", "lynx_hare", "--model", "baseline", *options])
    assert exit_.value.code == 2
    said = capsys.readouterr().err
    assert f"--dataset lynx_hare comes with its times and columns: leave out {named}, or" in said


def test_debug_shows_the_traceback() -> None:
    """The exception itself comes through."""
    with pytest.raises(ode.DataError, match="no data set"):
        main(["forecast", "--dataset", "moon", "--debug"])


def test_datasets_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    """Name, rows and licence of each."""
    assert main(["datasets"]) == 0
    shown = capsys.readouterr().out
    for word in ("co2", "2284", "glucose", "variable_stars", "public domain"):
        assert word in shown


def test_plugins_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    """The built-in names are what one types."""
    assert main(["plugins"]) == 0
    shown = capsys.readouterr().out
    for word in ("latent_ode", "ode_rnn", "linear", "rk4"):
        assert word in shown


@pytest.mark.parametrize(
    "times",
    [["20240131", "20240232"], ["20240131"], ["18991231", "19000101"], ["20240131.5", "20240201"]],
    ids=["no-day", "one", "early", "broken"],
)
def test_numbers_that_are_not_all_days_stay_numbers(tmp_path: Path, times: list[str]) -> None:
    """Such as counts of something; a single one may be anything."""
    column = pd.read_csv(StringIO("\n".join(["t", *times])))["t"]
    assert list(_times(column, tmp_path)) == [float(t) for t in times]


@pytest.mark.parametrize(("head", "end"), [("", ","), (",", ","), ("", "")])
def test_rows_that_end_in_a_comma_keep_their_columns(tmp_path: Path, head: str, end: str) -> None:
    """As without the comma, with and without ids."""
    path = tmp_path / "sales.csv"
    rows = [f"{k},{k // 2},{100 + k},20{end}" for k in range(4)]
    path.write_text("\n".join([f"id,t,sales,price{head}", *rows]))
    wide = read_table(path, "t", target=["sales", "price"])
    assert (wide.index.tolist(), wide["sales"].tolist()) == ([0, 0, 1, 1], [100, 101, 102, 103])
    panel = read_table(path, "t", "id")
    assert panel.index.tolist() == [("0", 0), ("1", 0), ("2", 1), ("3", 1)]
    assert (list(panel), set(panel["price"])) == (["sales", "price"], {20})


@pytest.mark.parametrize(
    ("rows", "line"),
    [
        (["0,1,2,", "1,2,3,", "2,3,4,x"], 5),
        (["0,1,2,,", "1,2,3,,"], 3),
        (["a,0,1,2"], 3),
        (["0,1,2", "", '"1",2,"3\n3"', "", "2,3,4,5"], 8),
        (["0,1,2", "", "1,2,3,"], 5),
    ],
)
def test_a_line_of_more_fields_than_the_header_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], rows: list[str], line: int
) -> None:
    """A decimal comma, or row names that the header leaves out, would move the columns."""
    path = tmp_path / "sales.csv"
    path.write_text("\n".join(["", "t,sales,price", *rows]))
    said = failure(capsys, "forecast", path, "--time", "t", "--horizon", "3")
    assert f"Line {line} of {path} has more fields than the header" in said


@pytest.mark.parametrize("index", [range(20), range(1, 21)], ids=["pandas", "r"])
def test_a_nameless_count_of_the_rows_is_not_forecast(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], index: range
) -> None:
    """It is said so, and it can still be named."""
    path, out = tmp_path / "level.csv", tmp_path / "forecast.csv"
    values = {"t": np.arange(20) / 2, "level": np.sin(np.arange(20))}
    pd.DataFrame(values, index=index).to_csv(path)
    command = f"forecast {path} --horizon 3 --times 1 --model baseline --out {out} --time".split()
    assert main([*command, "t"]) == 0
    assert f"column 'Unnamed: 0' of {path} counts its rows" in capsys.readouterr().err
    assert list(pd.read_csv(out)) == ["t", "median", "lower 90%", "upper 90%"]
    assert main([*command, "Unnamed: 0", "--target", "level"]) == 0
    assert capsys.readouterr().err == ""
    assert pd.read_csv(out)["Unnamed: 0"].tolist() == [index[-1] + 3]


@pytest.mark.parametrize("index", [[0, 1, 3], ["a", "b", "c"], [2.5, 3, 1]])
def test_a_nameless_column_of_values_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], index: list[Any]
) -> None:
    """Nobody can tell what it is, unless the columns are named."""
    path = tmp_path / "level.csv"
    pd.DataFrame({"t": [0, 1, 2], "level": [3.0, 4.0, 5.0]}, index=index).to_csv(path)
    line = failure(capsys, "forecast", path, "--time", "t", "--horizon", "3")
    assert f"Column 'Unnamed: 0' of {path} has no name in the header" in line
    assert list(read_table(path, "t", target=["level"])) == ["level"]
    assert list(read_table(path, "t", "Unnamed: 0")) == ["level"]


@pytest.mark.parametrize("head", ["t,flow,flow,y", "\ufefft,y,t,t", "\n\nt,y,NA,NA"])
def test_a_name_that_occurs_twice_in_the_header_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], head: str
) -> None:
    """The second is not forecast under a name that nobody gave."""
    path = tmp_path / "level.csv"
    path.write_text(f"{head}\n0,1,2,3\n1,2,3,4\n", encoding="utf-8")
    name = head.split(",")[2]
    line = failure(capsys, "forecast", path, "--time", "t", "--horizon", "3")
    assert f"The header of {path} has column '{name}' twice" in line
    path.write_text("t,a,a.1,,\n0,1,2,,\n", encoding="utf-8")
    assert list(read_table(path, "t")) == ["a", "a.1"]


def test_the_data_are_not_overwritten(
    csv: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """By whatever path they are named."""
    before = csv.read_bytes()
    monkeypatch.chdir(csv.parent)
    command = ["forecast", csv, "--time", "t", "--horizon", "2", "--out", csv.name]
    assert "would overwrite the data" in failure(capsys, *command)
    assert csv.read_bytes() == before
