"""Fitted forecasters on disk: a JSON document and a file of tensors, in a folder or a zip.

Loading looks names up in the registry. It never unpickles, and never imports what a file names.
"""

from __future__ import annotations

import hashlib
import json
import os
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import fields, replace
from itertools import count
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as tensors_from_bytes
from safetensors.torch import save as bytes_of_tensors
from torch import Tensor

from odeseries import plugins
from odeseries.copula import Copula
from odeseries.devices import find_device, is_usable
from odeseries.distributions import UNKNOWN, release_of
from odeseries.encoding import CODECS, Codec, Reader, Writer, record
from odeseries.encoding_transformers import TRANSFORMER
from odeseries.errors import PersistenceError, PluginError, PluginWarning
from odeseries.files import replacing
from odeseries.fitting import Fitted, Recipe, Spec
from odeseries.frames import Clock, Schema
from odeseries.hookspecs import PROJECT
from odeseries.learnt import Learnt
from odeseries.model import Model
from odeseries.nets import seeded_weights
from odeseries.offers import Kind
from odeseries.panel import Panel
from odeseries.transforms import Transform
from odeseries.widths import Calibration, Widths
from odeseries.windows import Scaling

__all__ = ["load", "save"]

SCHEMA_VERSION = 1
DOCUMENT, WEIGHTS = "model.json", "weights.safetensors"
NET = "net."
PARTS: tuple[Kind, ...] = ("dynamics", "solver")
LIBRARIES = ("torch", "numpy", "pandas", "scikit-learn")
UNSAVED = {"callbacks"}
"""Parameters that concern the training only and can't be written."""

RECORDS = (Calibration, Clock, Copula, Panel, Recipe, Scaling, Schema, Spec, Transform, Widths)
ALL_CODECS: tuple[Codec, ...] = (*map(record, RECORDS), TRANSFORMER, *CODECS)


def save(model: Any, learnt: Learnt, path: str | os.PathLike[str]) -> None:
    """Write a fitted forecaster.

    Parameters
    ----------
    model : BaseForecaster
        Of a class that the registry knows.
    learnt : Learnt
        What it learnt.
    path : path
        A folder, or a file whose name ends in ``.zip``.

    Raises
    ------
    PersistenceError
        If a parameter can't be written; it is named.
    PluginError
        If the forecaster's class is not registered.
    """
    writer = Writer(ALL_CODECS)
    name = plugins.qualified_name(type(model))
    document: dict[str, Any] = {
        "schema_version": SCHEMA_VERSION,
        "libraries": {library: release_of(library) for library in (PROJECT, *LIBRARIES)},
        "forecaster": _part("forecaster", name),
        "parameters": _parameters(model.get_params(deep=False), writer, "parameters"),
        "fitted_with": _parameters(learnt.parameters, writer, "fitted_with"),
        "learnt": {
            f.name: writer(getattr(learnt, f.name), f.name)
            for f in fields(learnt)
            if f.name not in ("fitted", "parameters")
        },
        "fitted": {
            f.name: writer(getattr(learnt.fitted, f.name), f"fitted.{f.name}")
            for f in fields(learnt.fitted)
            if f.name not in ("net", "others")
        },
    }
    document["parts"] = [
        _part(kind, document["fitted_with"][kind])
        for kind in PARTS
        if isinstance(document["fitted_with"].get(kind), str)
    ]
    weights = bytes_of_tensors(_weights(learnt.fitted) | writer.tensors)
    document["weights_sha256"] = hashlib.sha256(weights).hexdigest()
    text = json.dumps(document, indent=1, allow_nan=False, ensure_ascii=False)
    _write(Path(path), {WEIGHTS: weights, DOCUMENT: text.encode()})


def load(path: str | os.PathLike[str], device: str | None = None) -> Any:
    """Read a forecaster that ``save`` wrote.

    Parameters
    ----------
    path : path
        The folder or zip file.
    device : str, optional
        "cpu", "cuda" or "auto"; by default that of the saved model, or what there is if that is
        not here.

    Returns
    -------
    BaseForecaster
        Of the saved class, fitted; its forecasts, quantiles and samples are the saved one's.
        Callbacks are not saved.

    Raises
    ------
    PersistenceError
        If there is no saved model, it is damaged, or a newer version of the package wrote it.
    PluginError
        If a plugin that it needs is not installed, or a local class not registered.
    ValueError
        If the device is not here.

    Examples
    --------
    >>> import tempfile, numpy as np, pandas as pd, odeseries as ode
    >>> y = pd.Series(np.sin(np.arange(50.0)))
    >>> model = ode.LatentODEForecaster(5.0, max_epochs=1, random_state=0).fit(y)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     model.save(f"{folder}/model.zip")
    ...     again = ode.load(f"{folder}/model.zip")
    >>> again.predict([51.5]).equals(model.predict([51.5]))
    True
    """
    path = Path(path)
    document = _document(path)
    reader = Reader(ALL_CODECS, _tensors(path, document))
    cls = _looked_up(path, document)
    try:
        return _assembled(cls, document, reader, device)
    except (KeyError, TypeError, RuntimeError) as error:
        raise PersistenceError(
            f"The model in {path} does not fit what is installed ({error}). It was saved with "
            f"{_sources(document)} and odeseries {document['libraries'][PROJECT]}; here is "
            f"odeseries {release_of(PROJECT)}."
        ) from error


def _looked_up(path: Path, document: dict[str, Any]) -> type:
    """The forecaster's class, when all parts are known to be here."""
    found: list[type] = []
    for part in _parts(document):
        try:
            found.append(plugins.get(part["kind"], part["name"]))
        except PluginError as error:
            raise PluginError(
                f"The model in {path} needs the {part['kind']} '{part['name']}', "
                f"{_remedy(part, error)}"
            ) from error
        _compare(path, part)
    return found[0]


def _parts(document: dict[str, Any]) -> list[dict[str, Any]]:
    """What was saved by its name, the forecaster first."""
    return [document["forecaster"], *document["parts"]]


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


def _assembled(cls: type, document: dict[str, Any], reader: Reader, device: str | None) -> Any:
    """The forecaster of a document."""
    parameters = reader(document["parameters"])
    with_device = parameters | ({} if device is None else {"device": device})
    model = cls(**with_device)
    place = _place(model.device, device)
    built_with = reader(document["fitted_with"])
    fitted = reader(document["fitted"])
    nets = _nets(cls(**built_with), fitted["spec"], reader.tensors)
    net, *others = (net.to(place) for net in nets)
    learnt = reader(document["learnt"])
    learnt["recipe"] = replace(learnt["recipe"], device=place)
    whole = Fitted(net=net, others=tuple(others), **fitted)
    model._adopt(Learnt(fitted=whole, parameters=built_with, **learnt))
    return model


def _nets(builder: Any, spec: Spec, tensors: Mapping[str, Tensor]) -> Iterator[Model]:
    """The networks that were saved, in the state in which they forecast."""
    for prefix in map(_prefix, count()):
        state = {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
        if not state and prefix != NET:
            return
        with seeded_weights(0):  # of which nothing is kept
            net: Model = builder.build(spec)
        net.load_state_dict(state)
        yield net.eval()


def _prefix(member: int) -> str:
    """What the names of a member's weights begin with."""
    return NET if member == 0 else f"net_{member}."


def _place(saved: str, asked: str | None) -> torch.device:
    """The device asked for; otherwise the saved one if it is here."""
    if asked is None and not is_usable(torch.device("cpu" if saved == "auto" else saved)):
        return find_device("auto")
    return find_device(saved)


def _parameters(params: dict[str, Any], writer: Writer, where: str) -> dict[str, Any]:
    return {
        name: writer(value, name if where == "parameters" else f"{where}.{name}")
        for name, value in params.items()
        if name not in UNSAVED
    }


def _part(kind: Kind, name: str) -> dict[str, str]:
    """What is named, and who offered it in which version, or which class of this process it is."""
    distribution, release = plugins.source(name)
    part = {"kind": kind, "name": name, "distribution": distribution, "version": release}
    if name.startswith(f"{plugins.LOCAL}:"):
        cls = plugins.get(kind, name)
        part["class"] = f"{cls.__module__}.{cls.__qualname__}"
    return part


def _sources(document: dict[str, Any]) -> str:
    """Who offered the parts."""
    parts = _parts(document)
    return ", ".join(f"{p['name']} of {p['distribution']} {p['version']}".strip() for p in parts)


def _weights(fitted: Fitted) -> dict[str, Tensor]:
    """Copies of the weights, since a file can't hold two names of one memory."""
    return {
        _prefix(i) + k: v.detach().cpu().clone()
        for i, net in enumerate((fitted.net, *fitted.others))
        for k, v in net.state_dict().items()
    }


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


def _document(path: Path) -> dict[str, Any]:
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


def _tensors(path: Path, document: dict[str, Any]) -> dict[str, Tensor]:
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
