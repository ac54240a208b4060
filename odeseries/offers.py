"""What a plugin offers: collected through its hooks and checked all or nothing."""

from __future__ import annotations

import inspect
import os
import re
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from importlib.metadata import EntryPoint, PackageNotFoundError, version
from typing import Literal, TypeAlias

import pluggy

from odeseries import hookspecs
from odeseries.errors import PluginError
from odeseries.hookspecs import PROJECT
from odeseries.interfaces import Dynamics, Forecaster, Solver

__all__ = [
    "BASES",
    "Kind",
    "Offer",
    "check_class",
    "check_name",
    "collect",
    "distribution",
    "enabled",
    "enumerated",
    "identity",
    "kind_of",
    "meant",
    "names",
    "origin",
    "own_version",
    "source",
    "well_formed",
]

Kind: TypeAlias = Literal["dynamics", "solver", "forecaster"]
Offer: TypeAlias = dict[Kind, dict[str, type]]

BASES: dict[Kind, type] = {"dynamics": Dynamics, "solver": Solver, "forecaster": Forecaster}
HOOKS: dict[Kind, str] = {
    "dynamics": "odeseries_dynamics",
    "solver": "odeseries_solvers",
    "forecaster": "odeseries_forecasters",
}
ENVIRONMENT_VARIABLE = "ODESERIES_PLUGINS"
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.\-]*")


def collect(
    plugin: object, qualifier: str, kinds: Sequence[Kind], *, builtin: bool = False
) -> Offer:
    """Call a plugin's hooks and check what they return.

    Raises
    ------
    PluginError
        If a hook is misspelt, wraps others, or returns anything but a mapping of names to
        concrete classes of its kind. Nothing of such a plugin is used.
    """
    _check_hooks(plugin, qualifier)
    manager = pluggy.PluginManager(PROJECT)
    manager.add_hookspecs(hookspecs)
    manager.register(plugin, name=qualifier)
    manager.check_pending()
    offer: Offer = {}
    for kind in kinds:
        answers = getattr(manager.hook, HOOKS[kind])()
        offer[kind] = {}
        for answer in answers:
            offer[kind] |= _checked(answer, kind, qualifier, builtin=builtin)
    return offer


def _check_hooks(plugin: object, qualifier: str) -> None:
    """Refuse misspelt hooks, and hooks that would wrap those of others."""
    marked = 0
    for name, member in inspect.getmembers(plugin, callable):
        options = getattr(member, f"{PROJECT}_impl", None)
        if options is None:
            continue
        marked += 1
        if name not in HOOKS.values():
            known = list(HOOKS.values())
            raise PluginError(f"'{name}' is not a hook{meant(name, known)}.")
        if options.get("wrapper") or options.get("hookwrapper"):
            raise PluginError(f"'{name}' asks to wrap other plugins' hooks, which is not allowed.")
    if not marked:
        raise PluginError(
            f"'{qualifier}' implements no hook: mark a function named "
            f"{' or '.join(HOOKS.values())} with @odeseries.hookimpl."
        )


def _checked(answer: object, kind: Kind, qualifier: str, *, builtin: bool) -> dict[str, type]:
    """A hook's answer as a dictionary."""
    if not isinstance(answer, Mapping):
        raise PluginError(f"{HOOKS[kind]} returned a {type(answer).__name__}, not a mapping.")
    for name, cls in answer.items():
        if not builtin:
            check_name(name, qualifier)
        check_class(kind, cls, f"'{qualifier}:{name}'")
    return dict(answer)


def check_class(kind: Kind, cls: object, what: str) -> None:
    """Refuse what is not a concrete class of the kind."""
    base = BASES[kind]
    if not (isinstance(cls, type) and issubclass(cls, base)):
        raise PluginError(f"{what} must be a subclass of odeseries.{base.__name__}, got {cls!r}.")
    if inspect.isabstract(cls):
        missing = enumerated(sorted(cls.__abstractmethods__))
        raise PluginError(f"{what} is abstract: {cls.__name__} must implement {missing}.")


def check_name(name: object, qualifier: str) -> None:
    """Refuse names that can't be typed after a qualifier."""
    if not (isinstance(name, str) and NAME.fullmatch(name)):
        raise PluginError(
            f"{name!r} can't be a name of '{qualifier}': use letters, digits, '_', '-' and '.', "
            "beginning with a letter."
        )


def well_formed(qualifier: str) -> bool:
    """Whether a plugin may have this qualifier."""
    return NAME.fullmatch(qualifier) is not None


def kind_of(cls: type) -> Kind:
    """Kind of a class, by its base."""
    for kind, base in BASES.items():
        if isinstance(cls, type) and issubclass(cls, base):
            return kind
    bases = enumerated([f"odeseries.{base.__name__}" for base in BASES.values()])
    raise PluginError(f"{cls!r} is none of the kinds of plugin: subclass one of {bases}.")


def origin(cls: type) -> tuple[str, str]:
    """Module and qualified name: the same for a class that was defined again."""
    return cls.__module__, cls.__qualname__


def names(offer: Offer, qualifier: str) -> dict[Kind, tuple[str, ...]]:
    """Qualified names of an offer by kind, ready to be typed."""
    prefix = f"{qualifier}:" if qualifier else ""
    return {kind: tuple(sorted(prefix + n for n in found)) for kind, found in offer.items()}


def distribution(entry: EntryPoint) -> tuple[str, str]:
    """Name and version of the distribution of an entry point."""
    if entry.dist is None:
        return "unknown", "unknown"
    return entry.dist.name, entry.dist.version


def source(entry: EntryPoint) -> str:
    """Distribution and version in words."""
    return " ".join(distribution(entry))


def identity(entry: EntryPoint) -> tuple[str, str, str]:
    """What makes two entry points the same one, seen twice."""
    name, number = distribution(entry)
    return name.lower().replace("_", "-"), number, entry.value


def enabled(qualifier: str) -> bool:
    """Whether the environment allows a plugin: unset all, a list those, empty none."""
    listed = os.environ.get(ENVIRONMENT_VARIABLE)
    return listed is None or qualifier in [name.strip() for name in listed.split(",")]


def own_version() -> str:
    """Version of this package."""
    try:
        return version(PROJECT)
    except PackageNotFoundError:
        return "unknown"


def meant(name: str, known: Sequence[str], qualifier: str = "") -> str:
    """A guess at what was meant, to be put into a sentence; empty without one."""
    close = get_close_matches(name, known, 1)
    prefix = f"{qualifier}:" if qualifier else ""
    return f"; did you mean '{prefix}{close[0]}'?" if close else ""


def enumerated(items: Sequence[str]) -> str:
    """Names in a sentence."""
    return ", ".join(items) if items else "nothing"
