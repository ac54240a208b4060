"""Configurations of the forecasters on the validation parts of the benchmark's tasks.

Run from the folder of the benchmark, with this repository on the path:

    PYTHONPATH=$REPOSITORY OMP_NUM_THREADS=1 python -m tests.benchmarks.recipe.validation \
        --tasks lr04,hopper --model LatentODE n_members=3

Of a single series the first 60 % are used, which the benchmark trains on: the last 30 % of them
are forecast. Of a panel the validation series take the place of the test series.
"""

from __future__ import annotations

import argparse
import ast
import importlib
import time
from typing import Any

import numpy as np

from tests.benchmarks import field


def redirected(tasks: Any) -> Any:
    """The module of the tasks, with validation parts in the place of test parts."""
    split = tasks.split_ids

    def split_ids(ids: Any, seed: int = 0) -> tuple[Any, Any, Any]:
        train, validation, test = split(ids, seed)
        return train, test, validation

    def single(
        name: str,
        frame: Any,
        unit: str,
        channels: list[str],
        horizon: float,
        k: int,
        *,
        lookback: float | None = None,
    ) -> Any:
        first, last = frame["time"].min(), frame["time"].max()
        frame = frame[frame["time"] <= first + 0.6 * (last - first)]
        last = frame["time"].max()
        cut = min(first + 0.7 * (last - first), last - horizon)
        cutoffs = np.linspace(cut, last - horizon, max(k, 8))
        asked = [tasks.make_query(frame, c, horizon, channels, lookback) for c in cutoffs]
        train = frame[frame["time"] <= cut].reset_index(drop=True)
        queries = [q for q in asked if q is not None]
        return tasks.Task(
            name, "single", unit, channels, horizon, train, queries, lookback=lookback
        )

    tasks.split_ids, tasks.single = split_ids, single
    return tasks


def value(text: str) -> Any:
    """A number, None or a truth value from the command line, otherwise the text."""
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", required=True)
    parser.add_argument("--model", default="LatentODE")
    parser.add_argument("params", nargs="*", help="parameters of the forecaster, name=value")
    args = parser.parse_args()
    given = {k: value(v) for k, v in (one.split("=", 1) for one in args.params)}
    model = type("Model", (getattr(field, args.model),), {"params": given})
    tasks, run = redirected(importlib.import_module("tasks")), importlib.import_module("run")
    for name in args.tasks.split(","):
        started = time.process_time()
        found = run.evaluate(model, tasks.TASKS[name](), False)
        seconds = time.process_time() - started
        shown = " ".join(f"{k} {found[k]:.4f}" for k in ("scrps", "smae", "cov80"))
        print(f"{name} {args.model} {given} {shown} CPU {seconds:.0f} s", flush=True)


if __name__ == "__main__":
    main()
