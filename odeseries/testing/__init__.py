"""The conformance kit: laws that every dynamics, solver and forecaster obeys, as checks to run."""

from odeseries.testing.checks import Check, Outcome, Report, check_class, checks_of
from odeseries.testing.parametrize import conforms

__all__ = ["Check", "Outcome", "Report", "check_class", "checks_of", "conforms"]
