"""Lets the distributions' own tests run from a checkout, where none of them is installed."""

from __future__ import annotations

import sys
import tempfile
import tomllib
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

HERE = Path(__file__).parent
RECORDS = tempfile.TemporaryDirectory(prefix="odeseries-plugins-")


def known(name: str) -> bool:
    """Whether a distribution is installed."""
    try:
        return bool(version(name))
    except PackageNotFoundError:
        return False


def put_on_the_path(folder: Path) -> None:
    """Put a checkout where it is imported from, with the record that an installer would leave."""
    project = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
    name, release = project["name"], project["version"]
    if known(name):
        return
    info = Path(RECORDS.name, f"{name.replace('-', '_')}-{release}.dist-info")
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {release}\n")
    entries = [f"{key} = {value}" for key, value in project["entry-points"]["odeseries"].items()]
    (info / "entry_points.txt").write_text("\n".join(["[odeseries]", *entries, ""]))
    sys.path[:0] = [str(folder), RECORDS.name]


for folder in sorted(HERE.glob("odeseries-*")):
    put_on_the_path(folder)

# torchode is no dependency of the package itself.
collect_ignore_glob = [] if find_spec("torchode") else ["odeseries-torchode/*"]
