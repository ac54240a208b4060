"""The registry: from a name to a class of dynamics, solver or forecaster, and back.

A bare name is always a built-in, ``plugin:name`` is always that plugin's and ``local:name`` was
registered in this process, so installing a package never changes what existing code means. A
look-up imports at most one plugin, and a broken plugin fails only the person who names it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import TypeVar

from odeseries import offers
from odeseries.errors import PluginError
from odeseries.hookspecs import PROJECT
from odeseries.offers import BASES, ENVIRONMENT_VARIABLE, Kind, Offer

__all__ = ["Kind", "PluginInfo", "Registry", "get", "listing", "qualified_name", "register"]

LOCAL = "local"
RESERVED = (LOCAL, "torchdiffeq", "torchsde")

_C = TypeVar("_C", bound=type)


@dataclass(frozen=True)
class PluginInfo:
    """What is known of one plugin.

    Attributes
    ----------
    name : str
        Qualifier, the part before the colon.
    distribution, version : str
        Where the plugin comes from; ``"unknown"`` if its installer left no record.
    provides : mapping of kind to tuple of str
        Qualified names, ready to be typed; empty if the plugin failed.
    failure : str or None
        Why the plugin can't be used.
    """

    name: str
    distribution: str
    version: str
    provides: Mapping[Kind, tuple[str, ...]]
    failure: str | None = None


class Registry:
    """Names and classes, read lazily from the built-ins and the installed plugins.

    Parameters
    ----------
    discover : callable
        Returns the entry points of the installed plugins; nothing is imported by it.
    """

    def __init__(self, discover: Callable[[], Iterable[EntryPoint]]) -> None:
        self._discover = discover
        self._installed: dict[str, list[EntryPoint]] | None = None
        self._builtins: Offer = {}
        self._local: Offer = {kind: {} for kind in BASES}
        self._offers: dict[str, Offer] = {}
        self._failures: dict[str, str] = {}

    def get(self, kind: Kind, name: str | type) -> type:
        """The class of that kind and name; a class is checked and returned.

        Raises
        ------
        PluginError
            If the name is unknown or its plugin is broken, or the class is of another kind.
        """
        if isinstance(name, type):
            offers.check_class(kind, name, f"{kind}={name.__name__}")
            return name
        if not isinstance(name, str):
            raise PluginError(f"{kind}={name!r} is neither a name nor a class: pass one of them.")
        builtin = self._builtin(kind)
        if name in builtin:
            return builtin[name]
        qualifier, colon, bare = name.partition(":")
        if not colon:
            raise PluginError(self._unknown_bare(kind, name))
        if qualifier in RESERVED:
            return self._get_reserved(kind, qualifier, bare)
        offer = self._load(qualifier)
        if bare not in offer[kind]:
            found = sorted(offer[kind])
            raise PluginError(
                f"The plugin '{qualifier}' has no {kind} '{bare}'"
                f"{offers.meant(bare, found, qualifier)}. It offers {offers.enumerated(found)}."
            )
        return offer[kind][bare]

    def register(self, cls: _C, *, name: str) -> _C:
        """Make a class known as ``local:name`` in this process."""
        kind = offers.kind_of(cls)
        offers.check_class(kind, cls, f"'{LOCAL}:{name}'")
        offers.check_name(name, LOCAL)
        known = self._local[kind].get(name)
        if known is not None and offers.origin(known) != offers.origin(cls):
            raise PluginError(
                f"'{LOCAL}:{name}' is already {'.'.join(offers.origin(known))}: choose another name for "
                f"{'.'.join(offers.origin(cls))}."
            )
        self._local[kind][name] = cls
        return cls

    def qualified_name(self, cls: type) -> str:
        """The name under which ``get`` finds this class.

        Raises
        ------
        PluginError
            If nothing offers the class.
        """
        kind = offers.kind_of(cls)
        for prefix, names in self._known(kind, cls):
            for name, candidate in names.items():
                if candidate is cls:
                    return prefix + name
        raise PluginError(
            f"{cls.__module__}.{cls.__qualname__} has no name: register it with "
            f"odeseries.register({cls.__name__}, name=...) or offer it from an installed plugin."
        )

    def listing(self) -> list[PluginInfo]:
        """Everything installed, the built-ins first; a plugin that fails is listed as failed."""
        entries = [self._describe_builtins()]
        if any(self._local.values()):
            entries.append(PluginInfo(LOCAL, "this process", "-", offers.names(self._local, LOCAL)))
        return entries + [self._describe(name) for name in sorted(self._plugins())]

    def _builtin(self, kind: Kind) -> dict[str, type]:
        if kind not in self._builtins:
            # The one inversion of the layering: the built-ins import the whole package, so that
            # they are imported by name and only when a name is looked up.
            module = import_module("odeseries._builtins")
            self._builtins[kind] = offers.collect(module, "odeseries", [kind], builtin=True)[kind]
        return self._builtins[kind]

    def _plugins(self) -> dict[str, list[EntryPoint]]:
        """Distinct entry points by qualifier; the same one seen twice counts once."""
        if self._installed is None:
            self._installed = {}
            for entry in self._discover():
                same = self._installed.setdefault(entry.name, [])
                if offers.identity(entry) not in map(offers.identity, same):
                    same.append(entry)
        return self._installed

    def _get_reserved(self, kind: Kind, qualifier: str, bare: str) -> type:
        names = self._local[kind] if qualifier == LOCAL else self._builtin(kind)
        if qualifier == LOCAL and bare in names:
            return names[bare]
        prefix = "" if qualifier == LOCAL else f"{qualifier}:"
        offered = sorted(n.removeprefix(prefix) for n in names if n.startswith(prefix))
        remedy = " Register it in this process with odeseries.register." * (qualifier == LOCAL)
        raise PluginError(
            f"There is no {kind} '{qualifier}:{bare}'{offers.meant(bare, offered, qualifier)}.{remedy} "
            f"'{qualifier}' offers {offers.enumerated(offered)}."
        )

    def _load(self, qualifier: str) -> Offer:
        """Import one plugin, once; a failure is remembered and raised again."""
        if qualifier in self._offers:
            return self._offers[qualifier]
        refusal = self._failures.get(qualifier) or self._refusal(qualifier)
        if refusal is not None:
            raise PluginError(refusal)
        (entry,) = self._plugins()[qualifier]
        try:
            offer = offers.collect(entry.load(), qualifier, list(BASES))
        except (Exception, SystemExit) as error:
            self._failures[qualifier] = (
                f"The plugin '{qualifier}' of {offers.source(entry)} can't be used: "
                f"{type(error).__name__}: {error}"
            )
            raise PluginError(self._failures[qualifier]) from error
        self._offers[qualifier] = offer
        return offer

    def _refusal(self, qualifier: str) -> str | None:
        """Why a plugin must not be imported."""
        entries = self._plugins().get(qualifier, [])
        if not entries:
            installed = sorted(self._plugins())
            return (
                f"No plugin '{qualifier}' is installed{offers.meant(qualifier, installed)}. "
                f"Installed plugins: {offers.enumerated(installed)}."
            )
        if qualifier in RESERVED or not offers.well_formed(qualifier):
            return (
                f"The plugin '{qualifier}' of {offers.source(entries[0])} is refused: the name is "
                f"reserved or malformed. Rename the entry point."
            )
        if len(entries) > 1:
            sources = " and ".join(sorted(map(offers.source, entries)))
            return f"The plugin name '{qualifier}' is claimed by {sources}: uninstall one of them."
        if not offers.enabled(qualifier):
            return (
                f"The plugin '{qualifier}' is switched off: the environment variable "
                f"{ENVIRONMENT_VARIABLE} does not name it."
            )
        return None

    def _loadable(self) -> dict[str, Offer]:
        """Every plugin that works; used only to help after an unknown name."""
        loadable = {}
        for qualifier in sorted(self._plugins()):
            try:
                loadable[qualifier] = self._load(qualifier)
            except PluginError:
                continue
        return loadable

    def _unknown_bare(self, kind: Kind, name: str) -> str:
        known = self._loadable() | {LOCAL: self._local}
        everything = sorted(self._builtin(kind)) + [
            f"{qualifier}:{bare}" for qualifier, offer in known.items() for bare in offer[kind]
        ]
        exact = [full for full in everything if full.partition(":")[2] == name]
        if exact:
            meant = "; did you mean " + " or ".join(f"'{full}'" for full in exact) + "?"
            return f"'{name}' is not built in{meant}"
        return (
            f"There is no {kind} '{name}'{offers.meant(name, everything)}. "
            f"Known: {offers.enumerated(everything)}."
        )

    def _known(self, kind: Kind, cls: type) -> Iterable[tuple[str, dict[str, type]]]:
        """Prefixes and names in which a class may be found, the cheapest first."""
        yield "", self._builtin(kind)
        yield f"{LOCAL}:", self._local[kind]
        for qualifier, offer in self._offers.items():
            yield f"{qualifier}:", offer[kind]
        package = cls.__module__.partition(".")[0]
        for qualifier, entries in self._plugins().items():
            from_package = entries[0].value.partition(":")[0].partition(".")[0] == package
            if from_package and qualifier not in self._offers:
                yield f"{qualifier}:", self._load(qualifier)[kind]

    def _describe(self, qualifier: str) -> PluginInfo:
        entries = self._plugins()[qualifier]
        distribution = " and ".join(sorted({offers.distribution(e)[0] for e in entries}))
        version = " and ".join(sorted({offers.distribution(e)[1] for e in entries}))
        try:
            provides = offers.names(self._load(qualifier), qualifier)
        except PluginError as error:
            return PluginInfo(qualifier, distribution, version, {}, str(error))
        return PluginInfo(qualifier, distribution, version, provides)

    def _describe_builtins(self) -> PluginInfo:
        offer = {kind: self._builtin(kind) for kind in BASES}
        return PluginInfo("built-in", PROJECT, offers.own_version(), offers.names(offer, ""))


def _discover() -> Iterable[EntryPoint]:
    """Entry points of the installed plugins."""
    return entry_points(group=PROJECT)


_REGISTRY = Registry(_discover)


def get(kind: Kind, name: str | type) -> type:
    """The class of that kind and name.

    Parameters
    ----------
    kind : {"dynamics", "solver", "forecaster"}
        What is looked for.
    name : str or type
        A built-in's bare name, ``"plugin:name"``, ``"local:name"``, or a class of the kind.

    Returns
    -------
    type

    Raises
    ------
    PluginError
        If the name is unknown, its plugin broken, or the class of another kind.
    """
    return _REGISTRY.get(kind, name)


def register(cls: _C, *, name: str) -> _C:
    """Make a class known as ``local:name`` in this process.

    Parameters
    ----------
    cls : type
        Subclass of `Dynamics`, `Solver` or a forecaster's base.
    name : str
        Bare name.

    Returns
    -------
    type
        The class itself.

    Raises
    ------
    PluginError
        If the name is taken by another class or the class is of no known kind.
    """
    return _REGISTRY.register(cls, name=name)


def qualified_name(cls: type) -> str:
    """The name under which `get` finds a class; `PluginError` if nothing offers it."""
    return _REGISTRY.qualified_name(cls)


def listing() -> list[PluginInfo]:
    """Everything installed; works with every plugin broken."""
    return _REGISTRY.listing()
