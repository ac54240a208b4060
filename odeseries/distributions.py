"""The distributions that plugins come from: who they are and what they need beside them."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import (
    Distribution,
    EntryPoint,
    PackageNotFoundError,
    distributions,
    entry_points,
    version,
)

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

__all__ = ["discovered", "origin", "release_of", "unmet"]

UNKNOWN = "unknown"


def discovered(group: str) -> list[EntryPoint]:
    """Entry points of a group, of all distributions whose record can be read."""
    try:
        return list(entry_points(group=group))
    except Exception:  # one malformed record spoils them all
        found = [entry for dist in distributions() for entry in _readable(dist)]
        return [entry for entry in found if entry.group == group]


def origin(entry: EntryPoint) -> tuple[str, str]:
    """Name and version of the distribution of an entry point.

    Parameters
    ----------
    entry : EntryPoint
        One made by hand has no distribution.

    Returns
    -------
    name, version : str
        ``"unknown"`` where there is no record of it.
    """
    if entry.dist is None:
        return UNKNOWN, UNKNOWN
    return entry.dist.name or UNKNOWN, entry.dist.version or UNKNOWN


def release_of(name: str) -> str:
    """Version of an installed distribution, ``"unknown"`` without a record."""
    try:
        return version(name) or UNKNOWN
    except PackageNotFoundError:
        return UNKNOWN


def unmet(entry: EntryPoint) -> list[Requirement]:
    """What the distribution of an entry point requires and this environment does not fulfil.

    Parameters
    ----------
    entry : EntryPoint
        Of a plugin.

    Returns
    -------
    list of Requirement
        Their names are normalised. What is required for an extra only does not count.
    """
    return [need for need in _needs(entry) if not _is_met(need)]


def _readable(dist: Distribution) -> list[EntryPoint]:
    """Entry points of one distribution, none if its record is malformed."""
    try:
        return list(dist.entry_points)
    except Exception:
        return []


def _needs(entry: EntryPoint) -> Iterator[Requirement]:
    for line in (entry.dist and entry.dist.requires) or []:
        try:
            need = Requirement(line)
        except InvalidRequirement:
            continue
        need.name = canonicalize_name(need.name)
        if need.marker is None or need.marker.evaluate({"extra": ""}):
            yield need


def _is_met(need: Requirement) -> bool:
    try:
        here = version(need.name)
    except PackageNotFoundError:
        return False
    return not here or need.specifier.contains(here, prereleases=True)
