"""What a check is, which checks apply to a class, and the report of having run them."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import torch

import odeseries as ode

__all__ = [
    "Check",
    "Outcome",
    "Report",
    "Subject",
    "Suite",
    "check_class",
    "checks_of",
    "expected",
    "require",
]

Status = Literal["passed", "failed", "failed as expected", "passed unexpectedly"]
SEED = 20_240_229


@dataclass(frozen=True, eq=False)
class Subject:
    """A class under test, and how it is made.

    Attributes
    ----------
    cls : type
        A dynamics, solver or forecaster.
    params : mapping
        Its hyperparameters.
    dim : int
        Dimension at which a dynamics is made.
    memory : dict
        What checks of one subject share, such as a fitted forecaster.
    """

    cls: type[Any]
    params: Mapping[str, Any]
    dim: int
    memory: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Check:
    """A law and the function that tests it.

    Attributes
    ----------
    name : str
        As it stands in reports and in ``expected_failures``.
    law : str
        What holds, in a sentence.
    test : callable
        Raises on a ``Subject`` that breaks the law.
    applies : callable
        Whether the law is one for that ``Subject``.
    """

    name: str
    law: str
    test: Callable[[Subject], None]
    applies: Callable[[Subject], bool]

    def run(self, subject: Subject) -> None:
        """Test the law with a seed of its own; warnings and the global generator are left out."""
        with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.manual_seed(SEED)
            self.test(subject)


class Suite:
    """The checks of one kind, in the order in which they are written."""

    def __init__(self) -> None:
        self.checks: list[Check] = []

    def law(
        self, applies: Callable[[Subject], bool] = lambda subject: True
    ) -> Callable[[Callable[[Subject], None]], Callable[[Subject], None]]:
        """Add a function as a check; its docstring is the law."""

        def add(test: Callable[[Subject], None]) -> Callable[[Subject], None]:
            text = (test.__doc__ or "").strip()
            self.checks.append(Check(test.__name__, text, test, applies))
            return test

        return add


@dataclass(frozen=True)
class Outcome:
    """Result of one check: its status, and why it failed or was expected to."""

    check: Check
    status: Status
    reason: str = ""

    @property
    def ok(self) -> bool:
        """Whether it is as it should be."""
        return self.status in ("passed", "failed as expected")


@dataclass(frozen=True)
class Report:
    """Results of all checks of a class.

    Attributes
    ----------
    subject : str
        Name of the class.
    outcomes : tuple of Outcome
        One per check that applies.
    """

    subject: str
    outcomes: tuple[Outcome, ...]

    @property
    def ok(self) -> bool:
        """Whether every check passed, or failed as expected."""
        return all(outcome.ok for outcome in self.outcomes)

    def __str__(self) -> str:
        lines = [f"{self.subject}: {len(self.outcomes)} checks"]
        for outcome in self.outcomes:
            reason = f" ({outcome.reason})" if outcome.reason else ""
            lines.append(f"  {outcome.status:19} {outcome.check.name}{reason}")
        return "\n".join(lines)


def require(condition: object, message: str) -> None:
    """Raise AssertionError with the message unless the condition holds."""
    if not bool(condition):
        raise AssertionError(message)


def checks_of(
    cls: type[Any], *, params: Mapping[str, Any] | None = None, dim: int = 4
) -> list[Check]:
    """Checks that apply to a class.

    Parameters
    ----------
    cls : type
        A dynamics, solver or forecaster.
    params : mapping, optional
        Hyperparameters that it is made with.
    dim : int, default=4
        Dimension at which a dynamics is made.

    Returns
    -------
    list of Check

    Raises
    ------
    TypeError
        If the class is of no kind, or abstract, or no check applies.

    Examples
    --------
    >>> from odeseries.testing import checks_of
    >>> from odeseries.dynamics import Linear
    >>> "flow_solves_the_field" in [check.name for check in checks_of(Linear)]
    True
    """
    subject = Subject(cls, dict(params or {}), dim)
    with torch.random.fork_rng(devices=[]):
        chosen = [check for check in _suite(cls).checks if check.applies(subject)]
    if not chosen:
        raise TypeError(f"No check applies to {cls.__qualname__}, so that nothing was shown.")
    return chosen


def _suite(cls: type[Any]) -> Suite:
    """The suite of the kind; imported when it is needed."""
    from odeseries.testing import dynamics, forecasters, solvers

    suites: list[tuple[type[Any], Suite]] = [
        (ode.Dynamics, dynamics.SUITE),
        (ode.Solver, solvers.SUITE),
        (ode.BaseForecaster, forecasters.SUITE),
    ]
    for base, suite in suites:
        if isinstance(cls, type) and issubclass(cls, base):
            if getattr(cls, "__abstractmethods__", None):
                missing = ", ".join(sorted(cls.__abstractmethods__))
                raise TypeError(f"{cls.__qualname__} is abstract: implement {missing}.")
            return suite
    raise TypeError(
        f"{cls!r} is no subclass of odeseries.Dynamics, odeseries.Solver or "
        f"odeseries.BaseForecaster."
    )


def expected(checks: Sequence[Check], failures: Mapping[str, str] | None) -> dict[str, str]:
    """Expected failures by name, each known and with a reason."""
    known = [check.name for check in checks]
    for name, reason in (failures or {}).items():
        if name not in known:
            raise ValueError(
                f"expected_failures names '{name}', which is no check of this class. Checks: "
                f"{', '.join(known)}."
            )
        if not (isinstance(reason, str) and reason.strip()):
            raise ValueError(f"expected_failures['{name}'] needs a reason, not {reason!r}.")
    return dict(failures or {})


def check_class(
    cls: type[Any],
    *,
    params: Mapping[str, Any] | None = None,
    dim: int = 4,
    expected_failures: Mapping[str, str] | None = None,
) -> Report:
    """Run every check that applies to a class, without pytest.

    Parameters
    ----------
    cls : type
        A dynamics, solver or forecaster.
    params : mapping, optional
        Hyperparameters that it is made with.
    dim : int, default=4
        Dimension at which a dynamics is made.
    expected_failures : mapping of str to str, optional
        Reasons by names of checks that must fail; one that passes is reported.

    Returns
    -------
    Report
        Print it; ``ok`` says whether all is well.

    Raises
    ------
    TypeError
        If the class is of no kind, or no check applies.
    ValueError
        If an expected failure is unknown or has no reason.

    Examples
    --------
    >>> from odeseries import testing
    >>> from odeseries.solvers import RK4
    >>> testing.check_class(RK4).ok
    True
    """
    checks = checks_of(cls, params=params, dim=dim)
    reasons = expected(checks, expected_failures)
    subject = Subject(cls, dict(params or {}), dim)
    outcomes = tuple(_outcome(check, subject, reasons) for check in checks)
    return Report(cls.__qualname__, outcomes)


def _outcome(check: Check, subject: Subject, reasons: Mapping[str, str]) -> Outcome:
    """Run one check."""
    try:
        check.run(subject)
    except Exception as error:
        if check.name in reasons:
            return Outcome(check, "failed as expected", reasons[check.name])
        kind = "" if isinstance(error, AssertionError) else f"{type(error).__name__}: "
        return Outcome(check, "failed", f"{kind}{error}")
    if check.name in reasons:
        return Outcome(check, "passed unexpectedly", "take it from expected_failures")
    return Outcome(check, "passed")
