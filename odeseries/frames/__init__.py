"""Pandas in, pandas out: times, ids and values into a panel, answers back on the asked index."""

from __future__ import annotations

from odeseries.frames.clock import Clock
from odeseries.frames.future import future_times
from odeseries.frames.outputs import interval_output, point_output, quantile_output, sample_output
from odeseries.frames.queries import Queries, read_queries
from odeseries.frames.reading import read_frame
from odeseries.frames.schema import Schema

__all__ = [
    "Clock",
    "Queries",
    "Schema",
    "future_times",
    "interval_output",
    "point_output",
    "quantile_output",
    "read_frame",
    "read_queries",
    "sample_output",
]
