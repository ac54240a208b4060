"""Density estimator by a continuous normalizing flow."""

from odeseries.cnf.estimator import CNFDensityEstimator

__all__ = ["CNFDensityEstimator"]
