"""What a saved model names: classes of plugins and of the package, and who offered them."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from odeseries import plugins
from odeseries.distributions import UNKNOWN, release_of
from odeseries.errors import PluginError, PluginWarning
from odeseries.hookspecs import PROJECT
from odeseries.offers import Kind

__all__ = ["look_up", "part_of", "sources"]


def part_of(kind: Kind, name: str) -> dict[str, str]:
    """What is named, and who offered it in which version, or which class of this process it is."""
    distribution, release = plugins.source(name)
    part = {"kind": kind, "name": name, "distribution": distribution, "version": release}
    if name.startswith(f"{plugins.LOCAL}:"):
        cls = plugins.get(kind, name)
        part["class"] = f"{cls.__module__}.{cls.__qualname__}"
    return part


def look_up(path: Path, parts: Iterable[dict[str, str]]) -> list[type]:
    """Find the classes of all parts here.

    Parameters
    ----------
    path : path
        Of the model, for messages.
    parts : iterable
        As ``part_of`` gives them.

    Raises
    ------
    PluginError
        If one is not here; the message says how to get it.

    Warns
    -----
    PluginWarning
        If a plugin has another version than the one that the model was saved with.
    """
    found = []
    for part in parts:
        kind: Any = part["kind"]
        try:
            found.append(plugins.get(kind, part["name"]))
        except PluginError as error:
            raise PluginError(
                f"The model in {path} needs the {kind} '{part['name']}', {_remedy(part, error)}"
            ) from error
        _compare(path, part)
    return found


def sources(parts: Iterable[dict[str, str]]) -> str:
    """Who offered the parts."""
    return ", ".join(f"{p['name']} of {p['distribution']} {p['version']}".strip() for p in parts)


def _remedy(part: dict[str, str], error: PluginError) -> str:
    """How to get a part that can't be looked up."""
    distribution, release = part["distribution"], part["version"]
    if "class" in part:
        name = part["name"].partition(":")[2]
        return (
            f"which is the class {part['class']}, registered in the process that saved it: define "
            f"it here too and call odeseries.register({part['class'].rpartition('.')[2]}, "
            f"name={name!r}) before loading."
        )
    if release_of(distribution) == UNKNOWN != release:
        return (
            f"which {distribution} {release} offers, and that is not installed: "
            f"pip install {distribution}=={release}"
        )
    return f"which was of {distribution} {release}. {error}"


def _compare(path: Path, part: dict[str, str]) -> None:
    """Warn if a plugin is another one than the one that the model was saved with."""
    here = plugins.source(part["name"])
    if "class" in part or here[0] == PROJECT or here == (part["distribution"], part["version"]):
        return
    warnings.warn(
        f"The model in {path} was saved with '{part['name']}' of {part['distribution']} "
        f"{part['version']}, but {' '.join(here)} is installed: its forecasts may be others. "
        f"pip install {part['distribution']}=={part['version']} brings the former ones back.",
        PluginWarning,
        stacklevel=4,
    )
