"""What one plugin offers: its hooks are called once and everything they return is checked."""

from __future__ import annotations

import inspect
import re
from abc import ABCMeta
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Any, Literal, TypeAlias

import pluggy

from odeseries import hookspecs
from odeseries.errors import PluginError
from odeseries.interfaces import Dynamics, Forecaster, Solver

__all__ = ["BASES", "Kind", "Offer", "check_class", "check_name", "collect", "is_name", "kind_of"]

Kind: TypeAlias = Literal["dynamics", "solver", "forecaster"]
Offer: TypeAlias = dict[Kind, dict[str, type]]

BASES: dict[Kind, type] = {"dynamics": Dynamics, "solver": Solver, "forecaster": Forecaster}
HOOKS: dict[Kind, str] = {
    "dynamics": "odeseries_dynamics",
    "solver": "odeseries_solvers",
    "forecaster": "odeseries_forecasters",
}
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.\-]*")


def collect(plugin: Any, kinds: Iterable[Kind], *, qualified: bool = False) -> Offer:
    """Call the hooks of one plugin and check what they return, all or nothing.

    Parameters
    ----------
    plugin : module or object
        Bears the functions marked with ``hookimpl``.
    kinds : iterable of str
        Kinds whose hooks are called.
    qualified : bool
        Whether names may carry a qualifier of their own, which only built-ins may.

    Returns
    -------
    dict of kind to dict of name to class

    Raises
    ------
    PluginError
        If a hook is misspelt or missing, or returns something else than names and classes.
    """
    manager = pluggy.PluginManager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    _check_hooks(manager, plugin)
    manager.register(plugin)
    return {kind: _call(manager, kind, qualified) for kind in kinds}


def _check_hooks(manager: pluggy.PluginManager, plugin: Any) -> None:
    """Refuse a plugin without hooks, with unknown ones or with wrappers."""
    found = {name: manager.parse_hookimpl_opts(plugin, name) for name in dir(plugin)}
    marked = {name: options for name, options in found.items() if options is not None}
    known = sorted(HOOKS.values())
    if not marked:
        raise PluginError(
            f"It implements no hook: mark a function named {' or '.join(known)} with "
            f"odeseries.hookimpl."
        )
    for name, options in marked.items():
        hook = options["specname"] or name
        if hook not in known:
            close = get_close_matches(hook, known, n=1, cutoff=0.0)
            raise PluginError(f"There is no hook '{hook}'; did you mean '{close[0]}'?")
        if options["wrapper"] or options["hookwrapper"]:
            raise PluginError(f"'{name}' is a hook wrapper: return a mapping instead.")


def _call(manager: pluggy.PluginManager, kind: Kind, qualified: bool) -> dict[str, type]:
    hook = getattr(manager.hook, HOOKS[kind])
    results = hook()
    if len(results) < len(hook.get_hookimpls()):
        raise PluginError(f"{HOOKS[kind]} returned None: return a mapping of names to classes.")
    offered: dict[str, type] = {}
    for result in results:
        if not isinstance(result, Mapping):
            if inspect.iscoroutine(result):
                # One that is dropped open is warned of, beside the error.
                result.close()
            raise PluginError(
                f"{HOOKS[kind]} returned a {type(result).__name__}: return a mapping of names "
                f"to classes."
            )
        for name, cls in result.items():
            check_name(str(name).rpartition(":")[2] if qualified else name)
            check_class(kind, cls)
            offered[name] = cls
    return offered


def is_name(name: object) -> bool:
    """Whether this is a string that may stand on either side of a qualified name's colon."""
    return isinstance(name, str) and _NAME.fullmatch(name) is not None


def check_name(name: object) -> None:
    """Raise PluginError unless ``name`` may follow a qualifier and a colon."""
    if not is_name(name):
        raise PluginError(
            f"{name!r} is no name of a plugin's class: use letters, digits, '_', '-' and '.', "
            f"beginning with a letter."
        )


def check_class(kind: Kind, cls: object) -> None:
    """Raise PluginError unless ``cls`` is a concrete class of that kind."""
    base = BASES[kind]
    if not (isinstance(cls, type) and issubclass(cls, base)):
        shown = cls.__qualname__ if isinstance(cls, type) else repr(cls)
        raise PluginError(
            f"{shown} is no {kind}: a subclass of {base.__module__}.{base.__qualname__} is needed."
        )
    if isinstance(cls, ABCMeta) and cls.__abstractmethods__:
        missing = ", ".join(sorted(cls.__abstractmethods__))
        raise PluginError(f"{cls.__qualname__} is an abstract {kind}: implement {missing}.")


def kind_of(cls: object) -> Kind:
    """Tell the kind of a class from its base; PluginError if it has none."""
    for kind, base in BASES.items():
        if isinstance(cls, type) and issubclass(cls, base):
            return kind
    bases = ", ".join(base.__name__ for base in BASES.values())
    raise PluginError(f"{cls!r} is no plugin class: it must be a subclass of one of {bases}.")
