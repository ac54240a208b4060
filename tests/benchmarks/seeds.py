"""A model beside the best baseline of each task, over seeds, with a paired bootstrap.

Run from the folder of the benchmark, with this repository on the path; first one task, model and
seed at a time, then the report on all that lies in the folder:

    PYTHONPATH=$REPOSITORY OMP_NUM_THREADS=1 python -m tests.benchmarks.seeds run \
        --model tests.benchmarks.field:Auto --tasks co2_weekly,lr04 --seed 1 --folder FOLDER
    PYTHONPATH=$REPOSITORY python -m tests.benchmarks.seeds report --folder FOLDER

A file holds, for each channel that is scored, the CRPS of every target by the model and by the
distribution of the training values. Targets are drawn anew, the same for model and baseline.
"""

from __future__ import annotations

import argparse
import importlib
import time
from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from odeseries.panel import Float64

N_DRAWS = 2000

Scored = list[Float64]


def scored(factory: type, task: Any) -> tuple[Scored, float]:
    """Fit every unit once; the CRPS (2, n_targets) by channel, of the model and of climatology.

    Also the share of targets within the 80 % interval, mean over channels.
    """
    scores = importlib.import_module("scores")
    scorer = scores.Scorer(task.channels, scale_parts=bool(task.parts))
    for unit in task.units():
        model = factory()
        scorer.start_part(unit.train)
        model.fit(unit.train.copy(), replace(unit, queries=[]))
        for q in unit.queries:
            rows = q.query[[unit.id, unit.time]].copy()
            scorer.add(q.query, model.forecast(q.history.copy(), rows))
    table = scorer.by_channel()
    if len(table) > 1:
        table = table[table["targets"] >= scores.LEAST_TARGETS]
    out = []
    for channel in table["channel"]:
        sums = scorer.sums[channel]
        truth = np.concatenate(sums.truth)
        both = (np.concatenate(sums.quantiles), np.concatenate(sums.climatology))
        out.append(np.stack([scores.crps(truth, q) for q in both]))
    return out, float(table["cov80"].mean())


def model_class(spec: str, seed: int) -> type:
    """`module:Class`, whose forecasters have the seed if they take one."""
    module, _, name = spec.partition(":")
    found: type = getattr(importlib.import_module(module), name)
    return type(name, (found,), {"random_state": seed})


def run(args: argparse.Namespace) -> None:
    """Score a model on tasks, a file each."""
    known = importlib.import_module("tasks").TASKS
    for name in args.tasks.split(","):
        started, cpu = time.perf_counter(), time.process_time()
        found, cover = scored(model_class(args.model, args.seed), known[name]())
        taken = [time.process_time() - cpu, time.perf_counter() - started]
        path = args.folder / f"{name}-{args.model.split(':')[1]}-{args.seed}.npz"
        np.savez(path, *found, seconds=np.array(taken))
        told = f"{mean_ratio(found):.4f}, {cover:.3f} within 80 %, {taken[0]:.0f} CPU s"
        print(path.name, told, f"{taken[1]:.0f} s", flush=True)


def mean_ratio(found: Scored) -> float:
    """Scaled CRPS, mean over channels."""
    return float(np.mean([ours.mean() / plain.mean() for ours, plain in found]))


def read(folder: Path) -> dict[str, dict[str, list[Scored]]]:
    """What lies in a folder, by task and model, a seed each."""
    out: dict[str, dict[str, list[Scored]]] = defaultdict(lambda: defaultdict(list))
    for path in sorted(folder.glob("*.npz")):
        task, model, _ = path.stem.rsplit("-", 2)
        with np.load(path) as held:
            out[task][model].append([held[key] for key in held.files if key != "seconds"])
    return out


def drawn_logs(ours: list[Scored], others: Scored, rng: np.random.Generator) -> Float64:
    """Logarithm of the ratio of both scaled CRPS, a draw of targets and a seed each."""
    out = np.empty(N_DRAWS)
    for i in range(N_DRAWS):
        mine = ours[rng.integers(len(ours))]
        pairs = []
        for a, b in zip(mine, others, strict=True):
            at = rng.integers(a.shape[1], size=a.shape[1])
            plain = a[1, at].mean()
            pairs.append((a[0, at].mean() / plain, b[0, at].mean() / plain))
        out[i] = np.log(np.divide(*np.mean(pairs, axis=0)))
    return out


def report(args: argparse.Namespace) -> None:
    """Table by task, and the geometric mean over tasks with its interval."""
    rng = np.random.default_rng(0)
    logs, means = [], []
    print("| task | by seed | best baseline | ratio | 95 % of draws | draws in which better |")
    print("|---|---|---|---|---|---|")
    for task, models in read(args.folder).items():
        ours = models.pop(args.ours, None)
        if ours is None or not models:
            continue
        best = min(models, key=lambda name: mean_ratio(models[name][0]))
        by_seed = [mean_ratio(one) for one in ours]
        base = mean_ratio(models[best][0])
        log = drawn_logs(ours, models[best][0], rng)
        low, high = np.exp(np.quantile(log, [0.025, 0.975]))
        ratio = float(np.mean(by_seed)) / base
        logs.append(log)
        means.append(np.log(ratio))
        seeds = " ".join(f"{s:.4f}" for s in by_seed)
        cells = (seeds, f"{best} {base:.4f}", f"{ratio:.3f}", f"{low:.3f}-{high:.3f}")
        print(f"| {task} | {' | '.join(cells)} | {(log < 0).mean():.2f} |")
    over = np.exp(np.mean(logs, axis=0))
    low, high = np.quantile(over, [0.025, 0.975])
    print(f"\ngeometric mean of the ratios {np.exp(np.mean(means)):.3f} ({low:.3f}-{high:.3f})")


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(required=True)
    one = commands.add_parser("run")
    one.add_argument("--model", required=True)
    one.add_argument("--tasks", required=True)
    one.add_argument("--seed", type=int, default=0)
    one.set_defaults(do=run)
    two = commands.add_parser("report")
    two.add_argument("--ours", default="Auto")
    two.set_defaults(do=report)
    for command in (one, two):
        command.add_argument("--folder", type=Path, required=True)
    args = parser.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    args.do(args)


if __name__ == "__main__":
    main()
