"""Compare what the models of `peers.py` compute: with equal weights, and equal noise.

    python tests/benchmarks/solver/agreement.py --peers ../shared/peers

Where all series share their times, the whole model on `odeseries.solve` must give the
log-likelihoods of the one on torchdiffeq. With private times the encoders differ, since the peer's
takes an Euler step at every time of the union, so that the decoders are compared from equal starts,
in units of the tolerance.
"""

from __future__ import annotations

import argparse
import importlib
import sys

import torch
from latent_ode import LATENT, SAMPLES, LatentODE
from torchdiffeq import odeint

RTOL, ATOL = 1e-3, 1e-4


def with_weights_of(own: LatentODE, peer: torch.nn.Module) -> torch.nn.Module:
    """The peer's model with our weights."""
    parts = (own.encoder.dynamics, own.decoder_field, own.encoder.cell, own.initial, own.readout)
    values = [value for part in parts for value in part.state_dict().values()]
    peer.load_state_dict(dict(zip(peer.state_dict(), values, strict=True)))
    return peer


def main() -> None:
    """Print the largest differences of every case."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peers", default="../shared/peers")
    sys.path.insert(0, parser.parse_args().peers)
    batches = importlib.import_module("batches")
    theirs = importlib.import_module("torchdiffeq_latent_ode")
    torch.set_num_threads(1)
    for case in batches.CASES:
        times, values, mask = (torch.from_numpy(a) for a in batches.make(case))
        torch.manual_seed(0)
        own = LatentODE(values.shape[-1])
        peer = with_weights_of(own, theirs.LatentODE(values.shape[-1]))
        start = torch.randn(SAMPLES * len(times), LATENT)
        with torch.no_grad():
            solution = own.decode(start, times)
            stamps, where = times.unique(return_inverse=True)
            grid = torch.cat([stamps.new_zeros(1), stamps[stamps > 0]])
            path = odeint(
                lambda t, y, f=peer.decoder_field: f(y), start, grid, rtol=RTOL, atol=ATOL
            )[-len(stamps) :]
            row = torch.arange(len(start))[:, None]
            expected = path[where.repeat(SAMPLES, 1), row]
            error = (solution.ys[:, 1:] - expected).abs() / (ATOL + RTOL * expected.abs())
            print(f"{case}: states differ by {float(error.max()):.2f} tolerances at most;", end=" ")
            steps = solution.stats.accepted.float().mean() + solution.stats.rejected.float().mean()
            nfe = solution.stats.nfe.float().mean()
            print(f"{float(steps):.2f} steps and {float(nfe):.1f} evaluations a row")
            if case == "periodic":
                torch.manual_seed(1)
                ours = own(times, values, mask)
                torch.manual_seed(1)
                off = (ours / peer(times[0], values, mask) - 1).abs().max()
                print(f"{case}: log-likelihoods differ by {float(off):.1e} of themselves at most")


if __name__ == "__main__":
    main()
