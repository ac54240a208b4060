"""Integration of learned dynamics over ragged batches."""

from odeseries.solvers.solve import solve

__all__ = ["solve"]
