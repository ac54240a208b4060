"""The command line: forecast, plugins, datasets."""

from __future__ import annotations

import argparse
import inspect
import json
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from odeseries.csv_tables import read_table
from odeseries.errors import DataError, OdeSeriesError, PluginError

if TYPE_CHECKING:
    from odeseries.plugins import PluginInfo

__all__ = ["main"]

AUTO = "auto"
N_TIMES = 100
N_SHOWN = 12
HISTORY_SHOWN = 5  # horizons
DATASET_HORIZONS = {
    "antarctic_co2": "20000",
    "co2": "730D",
    "glucose": "2h",
    "lynx_hare": "3",
    "sunspots": "15",
}
CLOCKS = ("%Y-%m-%d", "%Y-%m-%d %H:%M", "%Y-%m-%d %H:%M:%S")
DATASET_ROWS = {"glucose": 5000}
PICTURES = (".png", ".pdf", ".svg")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit status."""
    args = _parser().parse_args(arguments)
    try:
        args.run(args)
    except (OdeSeriesError, OSError, ValueError, OverflowError, ImportError) as error:
        if args.debug:
            raise
        print(f"odeseries: {' '.join(str(error).split())}", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    """The parser of all commands."""
    debug = argparse.ArgumentParser(add_help=False)
    debug.add_argument("--debug", action="store_true", help="show tracebacks")
    parser = argparse.ArgumentParser(prog="odeseries", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="command")
    _add_forecast(commands.add_parser("forecast", parents=[debug], help="forecast a CSV file"))
    plugins = commands.add_parser("plugins", parents=[debug], help="list what is installed")
    plugins.add_argument("--json", action="store_true", help="as JSON, for programs")
    plugins.set_defaults(run=_plugins)
    datasets = commands.add_parser("datasets", parents=[debug], help="list the bundled series")
    datasets.set_defaults(run=_datasets)
    return parser


def _add_forecast(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``forecast``."""
    parser.add_argument("file", nargs="?", type=Path, help="CSV file with a header")
    parser.add_argument("--dataset", help="a bundled series instead of a file")
    parser.add_argument(
        "--time",
        help="column of the times: dates (best as ISO 8601: 2024-01-31, 20240131) or numbers",
    )
    parser.add_argument("--id", help="column of the series' ids")
    parser.add_argument("--target", nargs="+", help="columns to forecast; default all others")
    parser.add_argument("--horizon", help="how far: 730D, 36h, or a number for numeric times")
    parser.add_argument(
        "--model",
        default="latent_ode",
        help="forecaster (default latent_ode), or auto: tries all, and averages the good ones",
    )
    parser.add_argument("--dynamics", help="dynamics of the latent state (default the model's)")
    parser.add_argument(
        "--coverage", type=_probability, default=0.9, help="of the intervals (default 0.9)"
    )
    parser.add_argument("--times", type=int, default=N_TIMES, help="number of times forecast")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="write the forecast to this CSV file")
    parser.add_argument("--plot", type=Path, help="write a picture: .png, .pdf or .svg")
    parser.set_defaults(run=_forecast, refuse=parser.error)


def _probability(text: str) -> float:
    """A number in (0, 1)."""
    value = float(text)
    if not 0 < value < 1:
        hint = f"; did you mean {value / 100:g}?" if 1 < value < 100 else ""
        raise argparse.ArgumentTypeError(f"{text} is not a probability in (0, 1){hint}")
    return value


def _forecast(args: argparse.Namespace) -> None:
    """Fit on everything and forecast a horizon past the end."""
    from odeseries.frames import future_times

    _check_files(args)
    if args.dataset:
        data = _bundled(args.dataset)
    else:
        data = read_table(args.file, args.time, args.id, args.target)
    horizon = _horizon(args, data)
    times = future_times(data, horizon, n=args.times)
    forecaster = _forecaster(args.model)
    chosen = _dynamics(args, forecaster)
    model = forecaster(horizon, random_state=args.seed, verbose=sys.stderr.isatty(), **chosen)
    model.fit(data)
    median = model.predict(times)
    answer = _answer(median, model.predict_interval(times, coverage=args.coverage), args.coverage)
    print(_shown(answer))
    if args.out:
        answer.to_csv(args.out)
        print(f"All {len(answer)} rows: {args.out}")
    if args.plot:
        coverages = sorted({0.5, args.coverage})
        _plot(args.plot, data, median, model.predict_interval(times, coverage=coverages))
        print(f"Picture: {args.plot}")


def _forecaster(name: str) -> Any:
    """The forecaster of a name; ``auto`` tries all."""
    from odeseries import AutoForecaster, plugins

    return AutoForecaster if name == AUTO else plugins.get("forecaster", name)


def _dynamics(args: argparse.Namespace, forecaster: type) -> dict[str, str]:
    """The dynamics, for a forecaster that has any."""
    if args.dynamics is None:
        return {}
    if "dynamics" not in inspect.signature(forecaster).parameters:
        raise ValueError(
            f"--model {args.model} has no dynamics to choose: leave out --dynamics "
            f"{args.dynamics}, or name another model, such as latent_ode."
        )
    return {"dynamics": args.dynamics}


def _check_files(args: argparse.Namespace) -> None:
    """Refuse before the training what would fail after it."""
    if (args.file is None) == (args.dataset is None):
        raise DataError("Give a CSV file or --dataset, one of them.")
    given = [o for o in ("--time", "--id", "--target") if getattr(args, o[2:]) is not None]
    if args.dataset is not None and given:
        args.refuse(
            f"--dataset {args.dataset} comes with its times and columns: leave out "
            f"{' and '.join(given)}, or give a CSV file instead."
        )
    for path in (args.out, args.plot):
        if path is not None:
            _check_writable(path)
    if args.out is not None and args.file is not None and _are_same(args.out, args.file):
        raise DataError(f"--out {args.out} would overwrite the data: give another file.")
    if args.plot is not None:
        if args.plot.suffix.lower() not in PICTURES:
            raise DataError(f"--plot {args.plot} must end in one of {', '.join(PICTURES)}.")
        from odeseries.plotting import pyplot

        pyplot()


def _are_same(one: Path, other: Path) -> bool:
    return one.exists() and other.exists() and one.samefile(other)


def _check_writable(path: Path) -> None:
    """Refuse what is no file, or lies where nothing can be written."""
    if path.is_dir():
        raise DataError(f"{path} can't be written: it is a folder; add the name of a file.")
    if not path.parent.is_dir():
        raise DataError(f"{path} can't be written: there is no folder {path.parent}.")
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise DataError(f"{path} can't be written: it, or its folder, is write-protected.")


def _bundled(name: str) -> pd.Series | pd.DataFrame:
    """A bundled data set."""
    from odeseries import datasets

    known = datasets.list_datasets().index
    if name not in known:
        raise DataError(f"There is no data set '{name}'; there are {', '.join(known)}.")
    loaders: dict[str, Callable[[], pd.Series | pd.DataFrame]] = {
        "antarctic_co2": datasets.load_antarctic_co2,
        "co2": datasets.load_co2,
        "glucose": datasets.load_glucose,
        "lynx_hare": datasets.load_lynx_hare,
        "sunspots": datasets.load_sunspots,
        "variable_stars": datasets.load_variable_stars,
    }
    data = loaders[name]()
    return data.iloc[-DATASET_ROWS.get(name, len(data)) :]


def _horizon(args: argparse.Namespace, data: pd.Series | pd.DataFrame) -> Any:
    """The horizon as the index wants it."""
    given = args.horizon or (args.dataset and DATASET_HORIZONS.get(args.dataset))
    if not given:
        raise DataError("Say how far to forecast: --horizon 730D (or a number of time units).")
    index = data.index.get_level_values(-1)
    if not pd.api.types.is_numeric_dtype(index.dtype):
        return given
    try:
        return float(given)
    except ValueError:
        raise DataError(
            f"The times are numbers, so that --horizon must be one, not '{given}'."
        ) from None


def _answer(
    median: pd.Series | pd.DataFrame, intervals: pd.DataFrame, coverage: float
) -> pd.DataFrame:
    """Median and interval of every target side by side."""
    table = median.to_frame() if isinstance(median, pd.Series) else median
    several = table.shape[1] > 1
    columns = {}
    for k, target in enumerate(table.columns):
        suffix = f" {target}" if several else ""
        columns[f"median{suffix}"] = table.iloc[:, k]
        for side in ("lower", "upper"):
            columns[f"{side} {100 * coverage:g}%{suffix}"] = intervals[target, coverage, side]
    return pd.DataFrame(columns)


def _shown(answer: pd.DataFrame) -> str:
    """A few rows, evenly spread, the first and the last among them."""
    rows = np.linspace(0, len(answer) - 1, min(N_SHOWN, len(answer))).round().astype(int)
    shown = answer.iloc[rows]
    return shown.set_axis(_labels(shown.index)).to_string(float_format=lambda v: f"{v:.6g}")


def _labels(index: pd.Index) -> pd.Index:
    """Times in the shortest form that tells them apart."""
    if isinstance(index, pd.MultiIndex):
        times = _labels(index.get_level_values(-1))
        return pd.MultiIndex.from_arrays([index.get_level_values(0), times], names=index.names)
    if isinstance(index, pd.DatetimeIndex):
        return _dates(index)
    return _numbers(index) if pd.api.types.is_float_dtype(index.dtype) else index


def _dates(index: pd.DatetimeIndex) -> pd.Index:
    """Days, minutes or seconds that tell dates apart; a single date in full."""
    days = index[-1] - index[0] > pd.Timedelta("60D") or (index == index.normalize()).all()
    for clock in CLOCKS[0 if days else 1 :]:
        text = index.strftime(clock)
        if text.nunique() == index.nunique() > 1 or (text.astype(index.dtype) == index).all():
            return text
    return index


def _numbers(index: pd.Index) -> pd.Index:
    """As many digits as keep a hundredth of the smallest distance, six at least."""
    distances = np.diff(np.unique(index))
    slack = distances.min() / 100 if len(distances) else 0.0
    for digits in range(6, 17):
        text = index.map(f"{{:.{digits}g}}".format)
        if np.abs(text.astype(float).to_numpy() - index.to_numpy()).max() <= slack:
            return text
    return index


def _plot(
    path: Path,
    data: pd.Series | pd.DataFrame,
    median: pd.Series | pd.DataFrame,
    intervals: pd.DataFrame,
) -> None:
    """The first target of the first series."""
    from odeseries.plotting import plot_forecast, pyplot

    target = intervals.columns[0][0]
    seen = data if isinstance(data, pd.Series) else data[target]
    centre = median if isinstance(median, pd.Series) else median[target]
    title = ""
    if isinstance(seen.index, pd.MultiIndex):
        first = seen.index[0][0]
        seen, centre = seen.xs(first, level=0), centre.xs(first, level=0)
        intervals, title = intervals.loc[[first]].droplevel(0), str(first)
    ahead = centre.index[-1] - seen.index.max()
    recent = seen[seen.index >= seen.index.max() - HISTORY_SHOWN * ahead]
    ax = plot_forecast(recent, centre, intervals)
    ax.set_title(title)
    pyplot().savefig(path, dpi=150)


def _plugins(args: argparse.Namespace) -> None:
    """What is installed, by whom, in which version, and what failed."""
    from odeseries import plugins

    with redirect_stdout(sys.stderr):  # what plugins print when they are imported
        listing = plugins.listing()
    print(json.dumps([asdict(info) for info in listing], indent=1) if args.json else _told(listing))
    if any(info.failure and not info.switched_off for info in listing):
        raise PluginError("At least one plugin failed; see above.")


def _told(listing: Sequence[PluginInfo]) -> str:
    """The list of what is installed, for people."""
    lines = []
    for info in listing:
        lines.append(f"{info.name} ({info.distribution} {info.version})")
        if info.failure:
            lines.append(f"  {'off' if info.switched_off else 'failed'}: {info.failure}")
        lines += [f"  {kind}: {', '.join(names)}" for kind, names in info.provides.items() if names]
    return "\n".join(lines)


def _datasets(args: argparse.Namespace) -> None:
    """The bundled series."""
    del args
    from odeseries.datasets import list_datasets

    print(list_datasets().to_string())


if __name__ == "__main__":
    sys.exit(main())
