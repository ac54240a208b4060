"""Joint paths against independent draws from the same marginals, on the tasks of the benchmark.

Run from the folder of the benchmark, with this repository on the path:

    PYTHONPATH=$REPOSITORY OMP_NUM_THREADS=1 \
        python -m tests.benchmarks.joint_paths --model LatentODE --tasks co2_weekly,hopper
"""

from __future__ import annotations

import argparse
import importlib
import time
from typing import Any

import numpy as np

from odeseries.metrics import energy_score, variogram_score
from odeseries.panel import Float64
from tests.benchmarks import field

N_PATHS = 100


def drawn(model: Any, history: Any, query: Any) -> Float64:
    """Paths (n_paths, n_values) over all rows and channels of a query, in spreads of training."""
    asked = model.framed(query.assign(**dict.fromkeys(model.task.channels, np.nan)))
    paths = model.model.sample(
        asked.index, history=model.framed(history), n_samples=N_PATHS, random_state=0
    )
    return np.asarray(paths, dtype=float).reshape(N_PATHS, -1)


def scores(truth: Float64, paths: Float64, rng: np.random.Generator) -> dict[str, Float64]:
    """Energy and variogram score of the paths and of shuffled ones, and the rank of the maximum."""
    seen = np.isfinite(truth)
    y, joint = truth[seen], paths[:, seen]
    apart = rng.permuted(joint, axis=0)
    out = {}
    for name, found in (("joint", joint), ("apart", apart)):
        ranks = (found.max(1) < y.max()).mean()
        parts = [energy_score(y, found), variogram_score(y, found) / len(y) ** 2, ranks]
        out[name] = np.array(parts, dtype=float)
    return out


def measured(task: Any, model_class: type) -> dict[str, Float64]:
    """Mean scores, and ranks of the maxima, of all queries of a task."""
    rng = np.random.default_rng(0)
    found: dict[str, list[Float64]] = {"joint": [], "apart": []}
    for unit in task.units():
        model = model_class()
        model.fit(unit.train.copy(), unit)
        spread = unit.train[unit.channels].std().to_numpy()
        for q in unit.queries:
            truth = (q.query[unit.channels].to_numpy(dtype=float) / spread).ravel()
            if np.isfinite(truth).sum() < 2:
                continue
            rows = q.query[[unit.id, unit.time]].copy()
            paths = drawn(model, q.history.copy(), rows)
            paths = paths / np.tile(spread, len(rows))
            for name, one in scores(truth, paths, rng).items():
                found[name].append(one)
    return {name: np.array(ones) for name, ones in found.items()}


def line(name: str, found: dict[str, Float64], seconds: float) -> str:
    """A row of the table; the maximum's ranks should be uniform: mean 1/2, 80 % inside."""
    energy = [found[k][:, 0].mean() for k in ("joint", "apart")]
    variogram = [found[k][:, 1].mean() for k in ("joint", "apart")]
    inside = [((r >= 0.1) & (r <= 0.9)).mean() for r in (found[k][:, 2] for k in found)]
    means = [found[k][:, 2].mean() for k in found]
    cells = [f"{a:.4f} / {b:.4f}" for a, b in (energy, variogram)]
    cells += [f"{a:.2f} / {b:.2f}" for a, b in (means, inside)]
    return f"| {name} | {len(found['joint'])} | {' | '.join(cells)} | {seconds:.0f} |"


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="LatentODE")
    parser.add_argument("--tasks", default="all")
    args = parser.parse_args()
    known = importlib.import_module("tasks").TASKS
    print("| task | queries | energy | variogram | mean rank of the maximum | in 80 % | CPU s |")
    print("|---|---|---|---|---|---|---|")
    for name in known if args.tasks == "all" else args.tasks.split(","):
        started = time.process_time()
        found = measured(known[name](), getattr(field, args.model))
        print(line(name, found, time.process_time() - started), flush=True)


if __name__ == "__main__":
    main()
