"""The registry: from a name to a class of dynamics, solver or forecaster, and back.

A bare name is always a built-in, ``plugin:name`` is always that plugin's and ``local:name`` was
registered in this process, so installing a package never changes what existing code means. A
look-up imports at most one plugin, and a broken plugin fails only the person who names it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from importlib import import_module
from importlib.metadata import EntryPoint
from typing import Any, Literal, TypeVar, overload

from odeseries.distributions import discovered, origin, release_of, unmet
from odeseries.errors import PluginError
from odeseries.hookspecs import PROJECT
from odeseries.interfaces import Dynamics, Solver
from odeseries.offers import (
    BASES,
    Kind,
    Offer,
    check_class,
    check_name,
    collect,
    is_name,
    kind_of,
)

__all__ = [
    "PluginInfo",
    "Registry",
    "estimators",
    "get",
    "listing",
    "qualified_name",
    "register",
    "source",
]

LOCAL = "local"
_LOCAL = f"{LOCAL}:"
RESERVED = (LOCAL, "torchdiffeq", "torchsde")
SWITCH = "ODESERIES_PLUGINS"
"""Environment variable: unset, every plugin; otherwise only those listed, between commas."""

_REGISTER = (
    " Classes are registered per process: call odeseries.register(TheClass, name={name!r}) in this "
    "one too, be it a worker of the one where you did, or give the class itself."
)

_C = TypeVar("_C", bound=type)


@dataclass(frozen=True)
class PluginInfo:
    """What is known of one plugin.

    Attributes
    ----------
    name : str
        Qualifier, the part before the colon; ``"built-in"`` for the package's own.
    distribution, version : str
        Where the plugin comes from; ``"unknown"`` if its installer left no record.
    provides : mapping of kind to tuple of str
        Names as they are to be typed; empty if the plugin failed.
    failure : str or None
        Why the plugin can't be used.
    switched_off : bool
        Whether that is because the environment does not list it.
    """

    name: str
    distribution: str
    version: str
    provides: Mapping[Kind, tuple[str, ...]] = field(default_factory=dict)
    failure: str | None = None
    switched_off: bool = False


class Registry:
    """Names and classes, read lazily from the built-ins and the installed plugins.

    Parameters
    ----------
    discover : callable
        Returns the entry points of the installed plugins; it must import none of them.
    """

    def __init__(self, discover: Callable[[], Iterable[EntryPoint]]) -> None:
        self._discover = discover
        self._installed: dict[str, list[EntryPoint]] | None = None
        self._builtins: Offer = {}
        self._local: Offer = {kind: {} for kind in BASES}
        self._offers: dict[str, Offer] = {}
        self._failures: dict[str, str] = {}

    def get(self, kind: Kind, name: str | type) -> type:
        """See the function ``get``."""
        if not isinstance(name, str):
            check_class(kind, name)
            return name
        if name in self._builtin(kind):
            return self._builtin(kind)[name]
        qualifier, colon, bare = name.partition(":")
        if not colon:
            raise PluginError(self._unknown(kind, name))
        names = self._names_of(qualifier, kind)
        if bare not in names:
            full = [f"{qualifier}:{other}" for other in names]
            advice = _REGISTER.format(name=bare) if qualifier == LOCAL else ""
            raise PluginError(
                f"There is no {kind} '{name}'{_hint(name, full)} {_known(full)}{advice}"
            )
        return names[bare]

    def register(self, cls: _C, *, name: str) -> _C:
        """See the function ``register``."""
        kind = kind_of(cls)
        check_class(kind, cls)
        check_name(name)
        present = self._local[kind].get(name)
        if present is not None and _path(present) != _path(cls):
            raise PluginError(
                f"'{LOCAL}:{name}' is already the class {_path(present)}: choose another name "
                f"for {_path(cls)}."
            )
        self._local[kind][name] = cls
        return cls

    def qualified_name(self, cls: type) -> str:
        """See the function ``qualified_name``."""
        kind = kind_of(cls)
        for prefix, names in self._places(kind, cls):
            for name, candidate in names.items():
                if candidate is cls:
                    return prefix + name
        # A notebook's cell that is run again makes a new class, which took the name.
        same = [name for name, other in self._local[kind].items() if _path(other) == _path(cls)]
        if len(same) == 1:
            return _LOCAL + same[0]
        if same:
            raise PluginError(_ambiguous(cls, same))
        raise PluginError(
            f"The class {_path(cls)} has no name: register it with "
            f"odeseries.register({cls.__name__}, name=...) or offer it from an installed plugin."
        )

    def source(self, name: str) -> tuple[str, str]:
        """See the function ``source``."""
        qualifier, colon, _ = name.partition(":")
        if qualifier == LOCAL:
            return "this process", ""
        entries = self._plugins().get(qualifier, []) if colon else []
        return origin(entries[0]) if entries else (PROJECT, release_of(PROJECT))

    def listing(self) -> list[PluginInfo]:
        """See the function ``listing``."""
        infos = [self._describe_builtins()]
        if any(self._local.values()):
            infos.append(PluginInfo(LOCAL, "this process", "", _provides(self._local, LOCAL)))
        return infos + [self._describe(qualifier) for qualifier in sorted(self._plugins())]

    def _builtin(self, kind: Kind) -> dict[str, type]:
        if kind not in self._builtins:
            # The one inversion of the layering: what the package offers is listed by a module
            # that imports all the rest, so it is named here and imported at the first look-up.
            builtins = import_module("odeseries._builtins")
            self._builtins |= collect(builtins, [kind], qualified=True)
        return self._builtins[kind]

    def _plugins(self) -> dict[str, list[EntryPoint]]:
        """Distinct entry points by qualifier; the same one seen twice counts once."""
        if self._installed is None:
            self._installed = {}
            for entry in self._discover():
                same = self._installed.setdefault(entry.name, [])
                if all(_source(entry) != _source(e) or entry.value != e.value for e in same):
                    same.append(entry)
        return self._installed

    def _names_of(self, qualifier: str, kind: Kind) -> dict[str, type]:
        """Classes of a kind by their bare names under a qualifier."""
        if qualifier == LOCAL:
            return self._local[kind]
        if qualifier in RESERVED:
            prefix = f"{qualifier}:"
            builtin = self._builtin(kind).items()
            return {name.removeprefix(prefix): c for name, c in builtin if name.startswith(prefix)}
        return self._load(qualifier)[kind]

    def _load(self, qualifier: str) -> Offer:
        """Import one plugin, once; a failure is remembered and raised again."""
        refusal = self._failures.get(qualifier) or self._refusal(qualifier)
        if refusal is not None:
            raise PluginError(refusal)
        if qualifier not in self._offers:
            (entry,) = self._plugins()[qualifier]
            try:
                self._offers[qualifier] = collect(entry.load(), list(BASES))
            except (KeyboardInterrupt, GeneratorExit):
                raise
            except BaseException as error:
                # Not every fault is an Exception: exits, cancelled tasks, panics of native code.
                self._failures[qualifier] = (
                    f"The plugin '{qualifier}' of {_source(entry)} can't be used. "
                    f"{type(error).__name__}: {error}{_missing(entry)}"
                )
                raise PluginError(self._failures[qualifier]) from error
        return self._offers[qualifier]

    def _refusal(self, qualifier: str) -> str | None:
        """Why a plugin must not be imported."""
        entries = self._plugins().get(qualifier, [])
        if not entries:
            installed = sorted(self._plugins())
            hint = _hint(qualifier, installed)
            return f"No plugin '{qualifier}' is installed{hint} {_known(installed)}"
        sources = " and ".join(sorted(map(_source, entries)))
        if qualifier in RESERVED or not is_name(qualifier):
            return (
                f"The plugin name '{qualifier}' of {sources} is reserved or malformed: its "
                f"author must rename the entry point."
            )
        if len(entries) > 1:
            return f"The plugin name '{qualifier}' is claimed by {sources}: uninstall one of them."
        if not _switched_on(qualifier):
            return f"The plugin '{qualifier}' is switched off: {SWITCH} does not list it."
        return _misfit(qualifier, entries[0])

    def _unknown(self, kind: Kind, name: str) -> str:
        """Message for a bare name that is not built in; only here is every plugin imported."""
        qualified = [f"{LOCAL}:{bare}" for bare in self._local[kind]]
        for info in map(self._describe, sorted(self._plugins())):
            qualified += info.provides.get(kind, ())
        meant = [full for full in qualified if full.partition(":")[2] == name]
        if meant:
            choices = " or ".join(f"'{full}'" for full in meant)
            return f"'{name}' is not built in; did you mean {choices}?"
        everything = [*self._builtin(kind), *qualified]
        return f"There is no {kind} '{name}'{_hint(name, everything)} {_known(everything)}"

    def _places(self, kind: Kind, cls: type) -> Iterator[tuple[str, dict[str, type]]]:
        """Prefixes and names among which a class may be found, the cheapest first."""
        yield "", self._builtin(kind)
        yield _LOCAL, self._local[kind]
        for qualifier, offer in list(self._offers.items()):
            yield f"{qualifier}:", offer[kind]
        for qualifier, entries in self._plugins().items():
            if _package(entries[0].value) == _package(cls.__module__):
                yield f"{qualifier}:", self._load(qualifier)[kind]

    def _describe(self, qualifier: str) -> PluginInfo:
        origins = sorted({origin(entry) for entry in self._plugins()[qualifier]})
        distribution, release = (" and ".join(parts) for parts in zip(*origins, strict=True))
        try:
            provides = _provides(self._load(qualifier), qualifier)
        except PluginError as error:
            off = not _switched_on(qualifier)
            return PluginInfo(qualifier, distribution, release, {}, str(error), off)
        return PluginInfo(qualifier, distribution, release, provides)

    def _describe_builtins(self) -> PluginInfo:
        release = release_of(PROJECT)
        try:
            offer = {kind: self._builtin(kind) for kind in BASES}
        except ImportError as error:
            return PluginInfo("built-in", PROJECT, release, failure=str(error))
        return PluginInfo("built-in", PROJECT, release, _provides(offer, ""))


def _switched_on(qualifier: str) -> bool:
    listed = os.environ.get(SWITCH)
    return listed is None or qualifier in [name.strip() for name in listed.split(",")]


def _misfit(qualifier: str, entry: EntryPoint) -> str | None:
    """Why a plugin was made for another version of this package, if it was."""
    release = release_of(PROJECT)
    wanted = [need for need in unmet(entry) if need.name == PROJECT]
    if not wanted or release == "unknown":
        return None
    return (
        f"The plugin '{qualifier}' of {_source(entry)} needs {wanted[0]}, but {PROJECT} {release} "
        f"is installed: pip install --upgrade {PROJECT} {origin(entry)[0]}"
    )


def _missing(entry: EntryPoint) -> str:
    """What a plugin lacks, and how to get it."""
    lacking = sorted(str(need) for need in unmet(entry) if need.name != PROJECT)
    if not lacking:
        return ""
    quoted = " ".join(f"'{need}'" for need in lacking)
    return f". It needs {', '.join(lacking)}: pip install {quoted}"


def _source(entry: EntryPoint) -> str:
    return " ".join(origin(entry))


def _path(cls: type) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"


def _ambiguous(cls: type, names: Iterable[str]) -> str:
    return (
        f"The class {_path(cls)} has no name of its own, but {', '.join(names)} of {LOCAL} are "
        f"classes of that path: register it with odeseries.register({cls.__name__}, name=...)."
    )


def _package(dotted: str) -> str:
    return dotted.partition(":")[0].partition(".")[0].strip()


def _provides(offer: Offer, qualifier: str) -> dict[Kind, tuple[str, ...]]:
    prefix = f"{qualifier}:" if qualifier else ""
    return {kind: tuple(prefix + name for name in names) for kind, names in offer.items()}


def _hint(name: str, candidates: Iterable[str]) -> str:
    close = get_close_matches(name, list(candidates), n=1)
    return f"; did you mean '{close[0]}'?" if close else "."


def _known(names: Iterable[str]) -> str:
    return f"Known: {', '.join(sorted(names)) or 'none'}."


_registry = Registry(lambda: discovered(PROJECT))


@overload
def get(kind: Literal["dynamics"], name: str | type) -> type[Dynamics]: ...
@overload
def get(kind: Literal["solver"], name: str | type) -> type[Solver]: ...
@overload
def get(kind: Literal["forecaster"], name: str | type) -> type[Any]: ...
def get(kind: Kind, name: str | type) -> type:
    """Look up a class by name.

    Parameters
    ----------
    kind : {"dynamics", "solver", "forecaster"}
        What is looked for.
    name : str or type
        ``"name"`` of a built-in, ``"plugin:name"``, ``"local:name"``; a class is checked and
        returned.

    Returns
    -------
    type
        A concrete subclass of the kind's base.

    Raises
    ------
    PluginError
        If the name is unknown, its plugin is broken, ambiguous or switched off, or the class
        is not of that kind.

    Examples
    --------
    >>> from odeseries import plugins
    >>> plugins.get("solver", "rk4").order
    4
    """
    return _registry.get(kind, name)


def register(cls: _C, *, name: str) -> _C:
    """Make a class known as ``local:name`` in this process; the kind follows from its base.

    Registering a name again replaces a class of the same module and qualified name, so that a
    notebook's cell can be run twice.

    Parameters
    ----------
    cls : type
        Concrete subclass of a dynamics, solver or forecaster.
    name : str
        Name without a qualifier.

    Returns
    -------
    type
        The class, unchanged.

    Raises
    ------
    PluginError
        If the class is of no kind or abstract, or the name is malformed or taken.
    """
    return _registry.register(cls, name=name)


def qualified_name(cls: type) -> str:
    """Name under which ``get`` finds a class, such as ``"linear"`` or ``"vdp:vdp"``.

    Parameters
    ----------
    cls : type
        A dynamics, solver or forecaster.

    Returns
    -------
    str

    Raises
    ------
    PluginError
        If nothing offers the class, or several names are of older or newer versions of it.
    """
    return _registry.qualified_name(cls)


def source(name: str) -> tuple[str, str]:
    """Distribution and version that offer a name, without importing them.

    Parameters
    ----------
    name : str
        As ``qualified_name`` gives it.

    Returns
    -------
    distribution, version : str
    """
    return _registry.source(name)


def estimators() -> dict[str, type[Any]]:
    """The package's scikit-learn estimators, by the names that saved models know them by."""
    found: dict[str, type[Any]] = import_module("odeseries._builtins").estimators()
    return found


def listing() -> list[PluginInfo]:
    """All that is installed: the built-ins, this process's own classes, and every plugin.

    Returns
    -------
    list of PluginInfo
        A plugin that can't be used is listed with the reason; nothing is raised for it.
    """
    return _registry.listing()
