"""Fitted forecasters as documents and tensors, and the one function that reads every model.

Loading looks names up in the registry. It never unpickles, and never imports what a file names.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, replace
from itertools import count
from pathlib import Path
from types import MappingProxyType
from typing import Any

from torch import Tensor

from odeseries import archives, plugins
from odeseries.copula import Copula
from odeseries.devices import find_saved_device
from odeseries.distributions import release_of
from odeseries.encoding import CODECS, Codec, Reader, Writer, record
from odeseries.encoding_transformers import TRANSFORMER
from odeseries.errors import PersistenceError
from odeseries.estimators import name_of, restored
from odeseries.frames import Clock, Schema
from odeseries.hookspecs import PROJECT
from odeseries.learnt import Learnt
from odeseries.model import Model
from odeseries.nets import seeded_weights
from odeseries.offers import Kind
from odeseries.panel import Panel
from odeseries.parts import look_up, part_of, sources
from odeseries.recipe import Fitted, Recipe, Spec
from odeseries.scaling import Scaling
from odeseries.transforms import Transform
from odeseries.widths import Calibration, Widths

__all__ = ["load", "save", "save_combination"]

NET = "net."
PARTS: tuple[Kind, ...] = ("dynamics", "solver")
UNSAVED = {"callbacks"}
"""Parameters that concern the training only and can't be written."""
SHARED = ("schema", "panel")
"""What the members of a combination learnt alike."""
NOTHING: Mapping[str, Any] = MappingProxyType({})

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
    document, tensors = _written(model, learnt)
    archives.write(Path(path), document, tensors)


def save_combination(model: Any, found: dict[str, Any], path: str | os.PathLike[str]) -> None:
    """Write a fitted combination of forecasters; the data and their form are written once.

    Parameters
    ----------
    model : AutoForecaster
        With members and weights.
    found : dict
        What else its ``_adopt`` is told.
    path : path
        As in `save`.

    Raises
    ------
    PersistenceError, PluginError
        As in `save`.
    """
    writer = Writer(ALL_CODECS)
    parameters = model.get_params(deep=False)
    del parameters["candidates"]
    document: dict[str, Any] = {
        "combination": name_of(type(model)),
        "parameters": _parameters(parameters, writer, "parameters"),
        "found": writer(found, "found"),
        "shared": {name: writer(getattr(model.best_._learnt, name), name) for name in SHARED},
        "members": [],
        "parts": [],
    }
    tensors = dict(writer.tensors)
    for i, (name, weight) in enumerate(model.weights_.items()):
        one = model.members_[name]
        member, own = _written(one, one._learnt, without=SHARED)
        document["parts"] += [member["forecaster"], *member["parts"]]
        document["members"].append({"name": name, "weight": float(weight), **member})
        tensors |= {f"{_member(i)}{key}": value for key, value in own.items()}
    archives.write(Path(path), document, tensors)


def _written(
    model: Any, learnt: Learnt, without: Sequence[str] = ()
) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Document and tensors of a fitted forecaster."""
    writer = Writer(ALL_CODECS)
    name = plugins.qualified_name(type(model))
    document: dict[str, Any] = {
        "forecaster": part_of("forecaster", name),
        "parameters": _parameters(model.get_params(deep=False), writer, "parameters"),
        "fitted_with": _parameters(learnt.parameters, writer, "fitted_with"),
        "learnt": {
            f.name: writer(getattr(learnt, f.name), f.name)
            for f in fields(learnt)
            if f.name not in ("fitted", "parameters", *without)
        },
        "fitted": {
            f.name: writer(getattr(learnt.fitted, f.name), f"fitted.{f.name}")
            for f in fields(learnt.fitted)
            if f.name not in ("net", "others")
        },
    }
    document["parts"] = [
        part_of(kind, document["fitted_with"][kind])
        for kind in PARTS
        if isinstance(document["fitted_with"].get(kind), str)
    ]
    return document, _weights(learnt.fitted) | writer.tensors


def load(path: str | os.PathLike[str], device: str | None = None) -> Any:
    """Read a fitted model that its ``save`` wrote.

    Parameters
    ----------
    path : path
        The folder or zip file.
    device : str, optional
        "cpu", "cuda" or "auto"; by default that of the saved model, or what there is if that is
        not here.

    Returns
    -------
    BaseForecaster, AutoForecaster, ODENetClassifier or CNFDensityEstimator
        Of the saved class, fitted; its answers are the saved one's. Callbacks, and the candidates
        of an `AutoForecaster`, are not saved.

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
    document = archives.read_document(path)
    tensors = archives.read_tensors(path, document)
    own = [document["forecaster"]] if "forecaster" in document else []
    parts = [*own, *document["parts"]]
    classes = look_up(path, parts)
    try:
        if "estimator" in document:
            return restored(document, tensors, device)
        if "combination" in document:
            return _together(document, tensors, device)
        return _assembled(classes[0], document, Reader(ALL_CODECS, tensors), device)
    except PersistenceError:
        raise
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise PersistenceError(
            f"The model in {path} does not fit what is installed ({error}). It was saved with "
            f"{sources(parts)} and odeseries {document['libraries'][PROJECT]}; here is "
            f"odeseries {release_of(PROJECT)}."
        ) from error


def _together(document: dict[str, Any], tensors: dict[str, Tensor], device: str | None) -> Any:
    """The combination of a document."""
    reader = Reader(ALL_CODECS, tensors)
    shared, members = reader(document["shared"]), {}
    for i, one in enumerate(document["members"]):
        cls = plugins.get("forecaster", one["forecaster"]["name"])
        own = Reader(ALL_CODECS, _under(_member(i), tensors))
        members[one["name"]] = _assembled(cls, one, own, device, shared)
    parameters = reader(document["parameters"]) | ({} if device is None else {"device": device})
    model: Any = plugins.estimators()[document["combination"]](**parameters)
    weights = {one["name"]: one["weight"] for one in document["members"]}
    return model._adopt(members, weights, **reader(document["found"]))


def _assembled(
    cls: type,
    document: dict[str, Any],
    reader: Reader,
    device: str | None,
    shared: Mapping[str, Any] = NOTHING,
) -> Any:
    """The forecaster of a document."""
    parameters = reader(document["parameters"])
    with_device = parameters | ({} if device is None else {"device": device})
    model = cls(**with_device)
    place = find_saved_device(model.device, device)
    built_with = reader(document["fitted_with"])
    fitted = reader(document["fitted"])
    nets = _nets(cls(**built_with), fitted["spec"], reader.tensors)
    net, *others = (net.to(place) for net in nets)
    learnt = reader(document["learnt"]) | shared
    learnt["recipe"] = replace(learnt["recipe"], device=place)
    whole = Fitted(net=net, others=tuple(others), **fitted)
    model._adopt(Learnt(fitted=whole, parameters=built_with, **learnt))
    return model


def _nets(builder: Any, spec: Spec, tensors: Mapping[str, Tensor]) -> Iterator[Model]:
    """The networks that were saved, in the state in which they forecast."""
    for prefix in map(_prefix, count()):
        state = _under(prefix, tensors)
        if not state and prefix != NET:
            return
        with seeded_weights(0):  # of which nothing is kept
            net: Model = builder.build(spec)
        net.load_state_dict(state)
        yield net.eval()


def _under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors whose names begin so, by the rest of their names."""
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}


def _member(position: int) -> str:
    """What the names of all tensors of a member of a combination begin with."""
    return f"member_{position}."


def _prefix(member: int) -> str:
    """What the names of a member's weights begin with."""
    return NET if member == 0 else f"net_{member}."


def _parameters(params: dict[str, Any], writer: Writer, where: str) -> dict[str, Any]:
    return {
        name: writer(value, name if where == "parameters" else f"{where}.{name}")
        for name, value in params.items()
        if name not in UNSAVED
    }


def _weights(fitted: Fitted) -> dict[str, Tensor]:
    """Copies of the weights, since a file can't hold two names of one memory."""
    return {
        _prefix(i) + k: v.detach().cpu().clone()
        for i, net in enumerate((fitted.net, *fitted.others))
        for k, v in net.state_dict().items()
    }
