"""Saved models on disk: a JSON document and a file of tensors, in a folder or a zip."""

from __future__ import annotations

import hashlib
import json
import zipfile
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load as tensors_from_bytes
from safetensors.torch import save as bytes_of_tensors
from torch import Tensor

from odeseries.distributions import release_of
from odeseries.errors import PersistenceError
from odeseries.files import replacing
from odeseries.hookspecs import PROJECT

__all__ = ["read_document", "read_tensors", "write"]

SCHEMA_VERSION = 1
DOCUMENT, WEIGHTS = "model.json", "weights.safetensors"
LIBRARIES = ("torch", "numpy", "pandas", "scikit-learn")


def write(path: Path, content: dict[str, Any], tensors: dict[str, Tensor]) -> None:
    """Write a model, with the versions of what made it.

    Parameters
    ----------
    path : path
        A folder, or a file whose name ends in ``.zip``.
    content : dict
        What JSON can hold.
    tensors : dict of str to Tensor
        No two of one memory.
    """
    weights = bytes_of_tensors(tensors)
    document = {
        "schema_version": SCHEMA_VERSION,
        "libraries": {library: release_of(library) for library in (PROJECT, *LIBRARIES)},
        **content,
        "weights_sha256": hashlib.sha256(weights).hexdigest(),
    }
    text = json.dumps(document, indent=1, allow_nan=False, ensure_ascii=False)
    _write(path, {WEIGHTS: weights, DOCUMENT: text.encode()})


def read_document(path: Path) -> dict[str, Any]:
    """The document, if this version of the package understands it."""
    try:
        document: dict[str, Any] = json.loads(_read(path, DOCUMENT))
        written = int(document["schema_version"])
    except (ValueError, KeyError, TypeError) as error:
        if isinstance(error, PersistenceError):
            raise
        raise PersistenceError(f"{DOCUMENT} in {path} is damaged: {error}") from error
    if written > SCHEMA_VERSION:
        newer = document.get("libraries", {}).get("odeseries", "a newer version")
        raise PersistenceError(
            f"The model in {path} was saved by odeseries {newer} in schema version {written}; "
            f"odeseries {release_of(PROJECT)} here reads up to {SCHEMA_VERSION}. Update it "
            "with: pip install --upgrade odeseries"
        )
    return document


def read_tensors(path: Path, document: dict[str, Any]) -> dict[str, Tensor]:
    """The tensors that belong to the document."""
    content = _read(path, WEIGHTS)
    if hashlib.sha256(content).hexdigest() != document.get("weights_sha256"):
        raise PersistenceError(
            f"{WEIGHTS} in {path} is damaged or belongs to another {DOCUMENT}: save again."
        )
    try:
        return tensors_from_bytes(content)
    except SafetensorError as error:
        raise PersistenceError(f"{WEIGHTS} in {path} is damaged: {error}") from error


def _write(path: Path, files: dict[str, bytes]) -> None:
    """Write files into a folder or a zip; each appears at once, when it is whole."""
    if path.suffix == ".zip":
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as new, zipfile.ZipFile(new, "w") as archive:
            for name, content in files.items():
                archive.writestr(name, content)
        return
    if path.exists() and not path.is_dir():
        raise PersistenceError(f"{path} is a file: give a folder, or a name that ends in .zip.")
    path.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        with replacing(path / name) as new:
            new.write_bytes(content)


def _read(path: Path, name: str) -> bytes:
    """A file of a folder or a zip, read by its own name only."""
    try:
        if path.is_dir():
            return (path / name).read_bytes()
        with zipfile.ZipFile(path) as archive:
            return archive.read(name)
    except (OSError, KeyError, zipfile.BadZipFile) as error:
        raise PersistenceError(
            f"{path} holds no saved model: {name} can't be read ({error}). Give the folder or "
            "zip file that save wrote."
        ) from error
