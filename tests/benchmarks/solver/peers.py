"""Seconds per training step of one latent ODE: on `odeseries.solve`, torchdiffeq and diffrax.

Every implementation runs in a process of its own, on one thread, and takes a step when it is
told to; the steps of all are interleaved, so that what else the machine does hits all alike.

    python tests/benchmarks/solver/peers.py --peers ../shared/peers --jax PYTHON --rounds 20

``--peers`` is the folder of the peers' scripts and of ``batches.py``; ``--jax`` is a Python with
jax, diffrax, equinox and optax.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

ENGINES = ("odeseries", "diffrax", "torchdiffeq")
SELDOM = 5
"""One step of torchdiffeq for so many of the others', since it is much slower."""


class Peer:
    """A process that takes training steps.

    Parameters
    ----------
    engine, case : str
        What it trains, and on which batch.
    arguments : argparse.Namespace
        Of the command line.
    """

    def __init__(self, engine: str, case: str, arguments: argparse.Namespace) -> None:
        python = arguments.jax if engine == "diffrax" else sys.executable
        script = Path(__file__).with_name("training_steps.py")
        one_thread = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
        self.engine = engine
        self.process = subprocess.Popen(
            [python, str(script), engine, case, "--peers", arguments.peers],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | one_thread,
        )
        self.seconds: list[tuple[float, float]] = []
        self.first = self.ask("step")

    def ask(self, what: str) -> Any:
        """Send a command, and wait for the answer."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(what + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def step(self) -> None:
        """Take a step, and note its seconds of processor and of the clock."""
        self.seconds.append(tuple(self.ask("step")))

    def median(self, which: int) -> float:
        """Median seconds of a step; 0 of the processor, 1 of the clock."""
        return statistics.median(one[which] for one in self.seconds)

    def stop(self) -> None:
        """End the process."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()


def timed(case: str, arguments: argparse.Namespace) -> None:
    """Print the medians of all on one batch."""
    peers = [Peer(engine, case, arguments) for engine in arguments.engines]
    for round_ in range(arguments.rounds):
        for peer in peers:
            if peer.engine != "torchdiffeq" or round_ % SELDOM == 0:
                peer.step()
    own = peers[0].median(0)
    for peer in peers:
        cpu, clock = peer.median(0), peer.median(1)
        print(
            f"{case:10} {peer.engine:12} cpu {cpu:7.4f} s, clock {clock:7.4f} s, "
            f"{cpu / own:6.2f} times {peers[0].engine}; first step {peer.first[0]:6.2f} s",
            flush=True,
        )
        peer.stop()


def main() -> None:
    """Run all cases."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peers", default="../shared/peers")
    parser.add_argument("--jax", default=sys.executable)
    parser.add_argument("--cases", nargs="+", default=["physionet", "private", "periodic"])
    parser.add_argument("--engines", nargs="+", default=list(ENGINES))
    parser.add_argument("--rounds", type=int, default=20)
    arguments = parser.parse_args()
    for case in arguments.cases:
        timed(case, arguments)


if __name__ == "__main__":
    main()
