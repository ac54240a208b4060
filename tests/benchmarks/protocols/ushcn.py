"""Daily weather at stations: the next month from two years of sporadic observations.

The cut of Zhang et al. (2024, t-PatchGNN): 60 % of the stations train, 20 % validate, 20 % test;
24 months are seen, the next one is asked for, for every month of the four years. Values are
standardised by the training stations; squared errors are averaged for every variable first, then
over the variables. The files differ from the published ones, so that only figures taken here
compare; GRU-D is trained here on the same windows.

    python -m tests.benchmarks.protocols.ushcn
    python -m tests.benchmarks.protocols.ushcn --forecaster gru_d
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator

import numpy as np
import pandas as pd
import torch
from sklearn.model_selection import train_test_split

from tests.benchmarks.protocols.forecasts import DATA, Timer, made, mean_forecast, parser
from tests.benchmarks.protocols.gru_d import GRUD, Window, batched, train

SPLIT_SEED = 42
MONTH, YEAR = 365.25 / 12, 365.25
N_MONTHS, N_SEEN = 48, 24
DEFAULTS: dict[str, object] = {
    "cutoffs": [MONTH * k for k in range(N_SEEN, N_MONTHS)],
    "seasonality": [YEAR],
    "batch_size": 64,
    "max_epochs": 30,
}


def read() -> pd.DataFrame:
    """All stations, indexed by station and day."""
    frame = pd.read_csv(DATA / "ushcn_daily" / "sporadic_60stations.csv.gz")
    return frame.set_index(["series_id", "time"]).astype(float)


def parts(stations: np.ndarray) -> dict[str, np.ndarray]:
    """Stations to train, to validate and to test."""
    seen, test = train_test_split(stations, train_size=0.8, random_state=SPLIT_SEED)
    train_part, valid = train_test_split(seen, train_size=0.75, shuffle=False)
    return {"train": train_part, "valid": valid, "test": test}


def windows(values: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame, pd.DataFrame]]:
    """Name, history and targets of every window of some stations."""
    for station, rows in values.groupby(level=0):
        month = rows.index.get_level_values(1).to_numpy() / MONTH
        for start in range(N_MONTHS - N_SEEN):
            seen = (month >= start) & (month < start + N_SEEN)
            ahead = (month >= start + N_SEEN) & (month < start + N_SEEN + 1)
            if seen.any() and ahead.any():
                yield f"{station}/{start}", rows[seen], rows[ahead]


def judged(values: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Histories and targets of all windows, as panels whose series are the windows."""
    named = [(name, *(p.droplevel(0) for p in both)) for name, *both in windows(values)]
    seen = pd.concat({name: history for name, history, _ in named})
    return seen, pd.concat({name: ahead for name, _, ahead in named})


def network_windows(values: pd.DataFrame) -> list[Window]:
    """The windows as GRU-D takes them: times in months, and a query's lead and time of year."""
    out = []
    for _, history, ahead in windows(values):
        days, asked = (f.index.get_level_values(1).to_numpy(float) for f in (history, ahead))
        turn = 2 * np.pi * asked / YEAR
        lead = (asked - days[-1]) / MONTH
        features = np.stack([lead, np.sin(turn), np.cos(turn)], 1)
        out.append(Window(days / MONTH, history.to_numpy(), features, ahead.to_numpy()))
    return out


def by_gru_d(
    known: pd.DataFrame, valid: pd.DataFrame, asked: pd.DataFrame, seed: int
) -> np.ndarray:
    """Forecasts of GRU-D, its training ended by the validation stations."""
    torch.set_num_threads(1)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        net = GRUD(known.shape[1], 3)
    best = train(net, network_windows(known), network_windows(valid), seed=seed)
    print(f"gru_d validation {best:.4f}", flush=True)
    wanted = network_windows(asked)
    with torch.no_grad():
        found = [net(batched([w]))[0, : len(w.targets)].numpy() for w in wanted]
    return np.concatenate(found)


def errors(given: argparse.Namespace) -> pd.Series:
    """Mean squared error of every variable on the part."""
    values = read()
    part = parts(values.index.get_level_values(0).unique().to_numpy())
    split = {name: values[_of(values, stations)] for name, stations in part.items()}
    mean, std = split["train"].mean(), split["train"].std()
    split = {name: (frame - mean) / std for name, frame in split.items()}
    history, truth = judged(split[given.part])
    if given.forecaster == "gru_d":
        found = by_gru_d(split["train"], split["valid"], split[given.part], given.seed)
    else:
        both = pd.concat([split["train"], split["valid"]])
        model = made(given, MONTH, DEFAULTS).fit(split["train"] if given.part == "valid" else both)
        found = mean_forecast(model, truth.index, history).to_numpy()
    return ((found - truth) ** 2).mean()


def _of(values: pd.DataFrame, stations: np.ndarray) -> np.ndarray:
    return np.asarray(values.index.get_level_values(0).isin(stations))


def main() -> None:
    """Print the error, and that of every variable."""
    arguments = parser(__doc__, more=("gru_d",))
    given = arguments.parse_args()
    timer = Timer()
    found = errors(given)
    each = ", ".join(f"{k} {v:.3f}" for k, v in found.items())
    print(f"{given.forecaster} {given.part} {found.mean():.4f} in {timer}; {each}")


if __name__ == "__main__":
    main()
