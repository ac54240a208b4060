"""The command line: forecast, plugins, datasets."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from odeseries.errors import DataError, OdeSeriesError

if TYPE_CHECKING:
    from odeseries.forecasters import BaseForecaster

__all__ = ["main"]

N_TIMES = 100
N_SHOWN = 12
DATASET_HORIZONS: dict[str, str] = {"co2": "730D", "glucose": "2h"}
DATASET_ROWS = {"glucose": 5000}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit status."""
    args = _parser().parse_args(arguments)
    try:
        args.run(args)
    except (OdeSeriesError, OSError, ValueError, ImportError) as error:
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
    plugins.set_defaults(run=_plugins)
    datasets = commands.add_parser("datasets", parents=[debug], help="list the bundled series")
    datasets.set_defaults(run=_datasets)
    return parser


def _add_forecast(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``forecast``."""
    parser.add_argument("file", nargs="?", type=Path, help="CSV file with a header")
    parser.add_argument("--dataset", help="a bundled series instead of a file")
    parser.add_argument("--time", help="column of the times: dates or numbers")
    parser.add_argument("--id", help="column of the series' ids")
    parser.add_argument("--target", nargs="+", help="columns to forecast; default all others")
    parser.add_argument("--horizon", help="how far: 730D, 36h, or a number for numeric times")
    parser.add_argument("--model", default="latent_ode", help="forecaster (default latent_ode)")
    parser.add_argument("--dynamics", help="dynamics of the latent state (default the model's)")
    parser.add_argument("--coverage", type=float, default=0.9, help="of the intervals")
    parser.add_argument("--times", type=int, default=N_TIMES, help="number of times forecast")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="write the forecast to this CSV file")
    parser.add_argument("--plot", type=Path, help="write a picture to this PNG file")
    parser.set_defaults(run=_forecast)


def _forecast(args: argparse.Namespace) -> None:
    """Fit on everything and forecast a horizon past the end."""
    from odeseries import plugins
    from odeseries.frames import future_times

    if (args.file is None) == (args.dataset is None):
        raise DataError("Give a CSV file or --dataset, one of them.")
    data = _bundled(args.dataset) if args.dataset else _table(args)
    horizon = _horizon(args, data)
    chosen = {} if args.dynamics is None else {"dynamics": args.dynamics}
    forecaster = plugins.get("forecaster", args.model)
    model: BaseForecaster = forecaster(
        horizon, random_state=args.seed, verbose=sys.stderr.isatty(), **chosen
    )
    model.fit(data)
    times = future_times(data, horizon, n=args.times)
    median = model.predict(times)
    intervals = model.predict_interval(times, coverage=args.coverage)
    answer = _answer(median, intervals, args.coverage)
    print(_shown(answer))
    if args.out:
        answer.to_csv(args.out)
        print(f"All {len(answer)} rows: {args.out}")
    if args.plot:
        _plot(args.plot, data, median, model.predict_interval(times, coverage=[0.5, args.coverage]))
        print(f"Picture: {args.plot}")


def _bundled(name: str) -> pd.Series | pd.DataFrame:
    """A bundled data set."""
    from odeseries import datasets

    known = datasets.list_datasets().index
    if name not in known:
        raise DataError(f"There is no data set '{name}'; there are {', '.join(known)}.")
    loader = {
        "co2": datasets.load_co2,
        "glucose": datasets.load_glucose,
        "variable_stars": datasets.load_variable_stars,
    }
    data = loader[name]()
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


def _table(args: argparse.Namespace) -> pd.DataFrame:
    """The CSV file as a frame under its times, or under (id, time)."""
    if args.time is None:
        raise DataError("Name the column of the times: --time COL.")
    if not args.file.is_file():
        raise DataError(f"There is no file {args.file}.")
    try:
        frame = pd.read_csv(args.file)
    except (pd.errors.EmptyDataError, pd.errors.ParserError, UnicodeDecodeError) as error:
        raise DataError(f"{args.file} is not a CSV file with a header: {error}") from error
    keys = [args.time] if args.id is None else [args.id, args.time]
    targets = args.target or [c for c in frame.columns if c not in keys]
    missing = [c for c in [*keys, *targets] if c not in frame.columns]
    if missing:
        raise DataError(
            f"{args.file} has no column {', '.join(map(repr, missing))}; "
            f"it has {', '.join(map(repr, frame.columns))}."
        )
    times = _times(frame[args.time], args.file)
    index = times if args.id is None else pd.MultiIndex.from_arrays(
        [frame[args.id], times], names=keys
    )
    return frame[targets].set_axis(index)


def _times(column: pd.Series, file: Path) -> pd.Index:
    """Numbers as they are, everything else as dates."""
    if pd.api.types.is_numeric_dtype(column.dtype):
        return pd.Index(column)
    zoned = column.astype(str).str.contains(r"(?:Z|[+-]\d\d:?\d\d)$", regex=True)
    parsed = pd.to_datetime(column, errors="coerce", utc=True if zoned.all() else None)
    bad = parsed.isna()
    if bad.any():
        row = int(bad.to_numpy().argmax())
        raise DataError(
            f"Column '{column.name}' of {file} holds no date in row {row + 2}: "
            f"{column.iloc[row]!r}. Correct it or leave the row out."
        )
    return pd.DatetimeIndex(parsed, name=column.name)


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
            columns[f"{side} {coverage:.0%}{suffix}"] = intervals[target, coverage, side]
    return pd.DataFrame(columns)


def _shown(answer: pd.DataFrame) -> str:
    """A few rows, evenly spread."""
    step = max(1, -(-len(answer) // N_SHOWN))
    shown = answer.iloc[step - 1 :: step]
    index = shown.index
    if isinstance(index, pd.DatetimeIndex):
        spread = index[-1] - index[0] if len(index) else pd.Timedelta(0)
        shown = shown.set_axis(index.strftime("%Y-%m-%d" if spread.days > 60 else "%Y-%m-%d %H:%M"))
    return shown.to_string(float_format=lambda v: f"{v:.6g}")


def _plot(
    path: Path,
    data: pd.Series | pd.DataFrame,
    median: pd.Series | pd.DataFrame,
    intervals: pd.DataFrame,
) -> None:
    """The first target of the first series."""
    from odeseries.plotting import plot_forecast

    target = intervals.columns[0][0]
    seen = data if isinstance(data, pd.Series) else data[target]
    centre = median if isinstance(median, pd.Series) else median[target]
    if isinstance(seen.index, pd.MultiIndex):
        first = seen.index[0][0]
        seen, centre, intervals = seen.loc[first], centre.loc[first], intervals.loc[first]
    span = centre.index[-1] - centre.index[0]
    recent = seen[seen.index >= seen.index.max() - 5 * span]
    ax = plot_forecast(recent, centre, intervals, target=target)
    ax.figure.savefig(path, dpi=150)  # type: ignore[union-attr]  # a new figure, not a subfigure


def _plugins(args: argparse.Namespace) -> None:
    """What is installed, by whom, in which version, and what failed."""
    del args
    from odeseries import plugins

    listing = plugins.listing()
    for info in listing:
        print(f"{info.name} ({info.distribution} {info.version})")
        if info.failure:
            print(f"  failed: {info.failure}")
        for kind, names in info.provides.items():
            if names:
                print(f"  {kind}: {', '.join(names)}")
    if any(info.failure for info in listing):
        raise OdeSeriesError("At least one plugin failed; see above.")


def _datasets(args: argparse.Namespace) -> None:
    """The bundled series."""
    del args
    from odeseries.datasets import list_datasets

    print(list_datasets().to_string())


if __name__ == "__main__":
    sys.exit(main())
