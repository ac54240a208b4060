"""Seconds and memory of an epoch and of a forecast on panels of private stamps.

An epoch asks for every observation at least once. Each size runs in a process of its own.

    python tests/benchmarks/panel_speed.py
"""

from __future__ import annotations

import resource
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import torch

import odeseries as ode

SIZES = (1_000, 10_000)


def panel(n_series: int, n_obs: int = 100) -> pd.DataFrame:
    """Sines at private random times."""
    return ode.datasets.make_periodic(n_series, n_obs, random_state=0)


def measure(n_series: int) -> None:
    """Fit one epoch on all rows and forecast 50 times of 1,000 series."""
    torch.set_num_threads(1)
    frame = panel(n_series)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started, used = time.perf_counter(), time.process_time()
    model = ode.LatentODEForecaster(1.0, max_epochs=1, random_state=0).fit(frame)
    fit, cpu = time.perf_counter() - started, time.process_time() - used
    epoch = model.history_["seconds"].iloc[0]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    asked = pd.MultiIndex.from_product(
        [range(1_000), np.linspace(10.01, 11.0, 50)], names=["series", "time"]
    )
    started = time.perf_counter()
    model.predict(asked)
    predict = time.perf_counter() - started
    print(
        f"{n_series} series: epoch {epoch:.1f} s, whole fit {fit:.1f} s ({cpu:.1f} s of processor "
        f"time), memory above the data {(peak - before) / 1024:.0f} MiB, "
        f"predict 1000 x 50 {predict:.1f} s"
    )


def main() -> None:
    """Measure each size in a process of its own."""
    if len(sys.argv) > 1:
        measure(int(sys.argv[1]))
        return
    for size in SIZES:
        subprocess.run([sys.executable, __file__, str(size)], check=True)


if __name__ == "__main__":
    main()
