"""The exceptions and warnings of the package; every one carries its reason."""

from __future__ import annotations

__all__ = [
    "CompileError",
    "ConvergenceWarning",
    "DataError",
    "GradientWarning",
    "IntegrationError",
    "OdeSeriesError",
    "PersistenceError",
    "PluginError",
    "PluginWarning",
    "SolverError",
]


class OdeSeriesError(Exception):
    """Root of all errors that the package raises on purpose."""


class DataError(OdeSeriesError, ValueError):
    """The data can't be used: what is wrong, in which series and column, where, what to do."""


class SolverError(OdeSeriesError, RuntimeError):
    """Nothing can be integrated as it is asked for: what does not fit, and what to do."""


class IntegrationError(SolverError):
    """Rows could not be integrated: which, the cause, the time reached and what to try."""


class CompileError(SolverError, ValueError):
    """Steps can't be compiled: whether the method, the field or the machine is why, what to do."""


class PluginError(OdeSeriesError, LookupError):
    """A plugin is unknown, broken or ambiguous."""


class PersistenceError(OdeSeriesError, ValueError):
    """A model can't be saved, or a saved one can't be loaded: why, and what to do."""


class ConvergenceWarning(UserWarning):
    """A fit ended in a state that deserves a look."""


class PluginWarning(UserWarning):
    """A plugin is here in another version than the one that a saved model was made with."""


class GradientWarning(UserWarning):
    """The gradients of a solution may be wrong: why, by how much, and what to do."""
