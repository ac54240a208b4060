"""Memory of the three ways to the gradients, from few to many steps.

Run as ``python tests/benchmarks/solver/memory.py``. The tolerance sets the number of steps. Bytes
kept for the way back are those of distinct storages that pass the hooks of saved tensors, what
the package's own functions save among them. Live bytes are the most that the storages of tensors
had at one time, from the solve to the end of the way back. Peaks of the resident memory
(``ru_maxrss``) are those of a fresh process that solves and goes back, less that of one without
the solve, the median of three. Both first look up the method, evaluate the field and go back, so
that what is loaded for that is in both. That of a process that does neither is printed too.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
import weakref
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from odeseries import plugins, solve
from odeseries.dynamics import Hamiltonian
from odeseries.nets import seeded_weights

DIM, HIDDEN, SHARPNESS, SPAN = 8, 64, 4.0, 3.1
TOLERANCES = {"few": 1e-2, "some": 1e-9, "many": 1e-13}
WAYS = ("autograd", "checkpoint", "adjoint")
RUNS = 3


class Live(TorchDispatchMode):
    """Counts the bytes of tensors that are made and not yet let go."""

    def __init__(self) -> None:
        super().__init__()
        self.bytes = self.most = 0
        self.known: set[int] = set()

    def __torch_dispatch__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Run an operation, and count the storages of what it returns."""
        out = func(*args, **(kwargs or {}))
        for x in tree_leaves(out):
            if isinstance(x, Tensor):
                self.count(x.untyped_storage())
        return out

    def count(self, storage: torch.UntypedStorage) -> None:
        """Add a storage, until it is let go."""
        place, size = storage.data_ptr(), storage.nbytes()
        if size and place not in self.known:
            self.known.add(place)
            self.bytes += size
            self.most = max(self.most, self.bytes)
            weakref.finalize(storage, self.let_go, place, size)

    def let_go(self, place: int, size: int) -> None:
        """Take a storage off."""
        self.known.discard(place)
        self.bytes -= size


def problem(rows: int) -> tuple[Hamiltonian, Tensor, Tensor]:
    """A conservative field sharp enough to need many steps, states and times."""
    with seeded_weights(0):
        dynamics = Hamiltonian(DIM, hidden=HIDDEN, springs=False).double()
    with torch.no_grad():
        for parameter in dynamics.parameters():
            parameter.mul_(SHARPNESS)
    generator = torch.Generator().manual_seed(0)
    y0 = torch.randn(rows, DIM, generator=generator, dtype=torch.float64)
    return dynamics, y0.requires_grad_(), torch.tensor([0.0, SPAN], dtype=torch.float64)


def measured(way: str, steps: str, meter: str, rows: int) -> dict[str, float]:
    """One solve and its way back in this process."""
    dynamics, y0, times = problem(rows)
    storages: dict[int, int] = {}

    def pack(x: Tensor) -> Tensor:
        storages[x.untyped_storage().data_ptr()] = x.untyped_storage().nbytes()
        return x

    begun = time.process_time()
    accepted = 0.0
    if way != "bare":
        plugins.get("solver", "dopri5")
        slope = dynamics(times[:1], y0)
        torch.autograd.grad(slope, y0, torch.ones_like(slope))
    live, tolerance = Live(), TOLERANCES[steps]
    if way in WAYS:
        kept_meter = torch.autograd.graph.saved_tensors_hooks(pack, _same)
        with live if meter == "live" else nullcontext():
            with kept_meter if meter == "kept" else nullcontext():
                solution = solve(
                    dynamics,
                    y0,
                    times,
                    solver="dopri5",
                    rtol=tolerance,
                    atol=tolerance,
                    gradient=way,
                )
            accepted = float(solution.stats.accepted.max())
            solution.ys[:, -1].sum().backward()
    return {
        "accepted": accepted,
        "kept": sum(storages.values()),
        "live": live.most,
        "seconds": time.process_time() - begun,
        "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    }


def _same(x: Tensor) -> Tensor:
    return x


def apart(way: str, steps: str, meter: str, rows: int) -> dict[str, float]:
    """The same in a fresh process."""
    command = [sys.executable, __file__, "--rows", str(rows)]
    command += ["--way", way, "--steps", steps, "--meter", meter]
    ran = subprocess.run(command, check=True, capture_output=True, text=True)
    found: dict[str, float] = json.loads(ran.stdout)
    return found


def table(ways: list[str], rows: int) -> None:
    """Print a row for every way and number of steps."""
    bare, control = (
        statistics.median(apart(way, "few", "peak", rows)["peak"] for _ in range(RUNS))
        for way in ("bare", "control")
    )
    print(f"{rows} rows; control: {control / 2**20:.1f} MiB, without the field {bare / 2**20:.1f}")
    print("| gradient | accepted steps | kept, KiB | live, KiB | peak, MiB | CPU seconds |")
    print("|---|---|---|---|---|---|")
    for way in ways:
        for steps in TOLERANCES:
            kept, live = (apart(way, steps, meter, rows) for meter in ("kept", "live"))
            runs = [apart(way, steps, "peak", rows) for _ in range(RUNS)]
            peak = statistics.median(run["peak"] for run in runs) - control
            seconds = statistics.median(run["seconds"] for run in runs)
            print(
                f"| {way} | {kept['accepted']:.0f} | {kept['kept'] / 2**10:,.0f} | "
                f"{live['live'] / 2**10:,.0f} | {peak / 2**20:,.1f} | {seconds:.2f} |",
                flush=True,
            )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=64)
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=[*WAYS])
    parser.add_argument("--way", choices=[*WAYS, "control", "bare"])
    parser.add_argument("--steps", choices=list(TOLERANCES), default="few")
    parser.add_argument("--meter", choices=["kept", "live", "peak"], default="peak")
    given = parser.parse_args()
    torch.set_num_threads(1)
    if given.way is None:
        table(given.ways, given.rows)
    else:
        print(json.dumps(measured(given.way, given.steps, given.meter, given.rows)))
