"""The kit in pytest: one test a check."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from odeseries.testing.checks import Subject, checks_of, expected

if TYPE_CHECKING:
    import pytest

__all__ = ["conforms"]


def conforms(
    *classes: type[Any],
    params: Mapping[str, Any] | None = None,
    dim: int = 4,
    expected_failures: Mapping[str, str] | None = None,
) -> pytest.MarkDecorator:
    """Parametrize a test by the checks that apply to classes; each gets a ``check`` to call.

    Parameters
    ----------
    *classes : type
        Dynamics, solvers or forecasters, at least one.
    params : mapping, optional
        Hyperparameters that they are made with.
    dim : int, default=4
        Dimension at which dynamics are made.
    expected_failures : mapping of str to str, optional
        Reasons by names of checks that must fail. They are strict: a test whose check passes
        after all fails, so that no excuse outlives its fault.

    Returns
    -------
    pytest.MarkDecorator

    Raises
    ------
    TypeError
        If there is no class, one is of no kind, or no check applies to it.
    ValueError
        If an expected failure is unknown or has no reason.

    Examples
    --------
    >>> from odeseries.dynamics import MLP
    >>> from odeseries.testing import conforms
    >>> @conforms(MLP, params={"hidden": 8})
    ... def test_conformance(check):
    ...     check()
    """
    import pytest

    if not classes:
        raise TypeError("conforms() was given no class, so that nothing would be checked.")
    tests = []
    for cls in classes:
        checks = checks_of(cls, params=params, dim=dim)
        reasons = expected(checks, expected_failures)
        subject = Subject(cls, dict(params or {}), dim)
        for check in checks:
            run: Callable[[], None] = partial(check.run, subject)
            reason = reasons.get(check.name)
            marks = [] if reason is None else [pytest.mark.xfail(reason=reason, strict=True)]
            tests.append(pytest.param(run, id=f"{cls.__name__}-{check.name}", marks=marks))
    return pytest.mark.parametrize("check", tests)
