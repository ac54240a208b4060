"""Saved models of plugins and of classes of one process: what a file says, what is missing."""

from __future__ import annotations

import json
import runpy
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import odeseries as ode
from odeseries import plugins
from odeseries.plugins import Registry
from tests.fake_plugins import GOOD, registry_of, write_distribution

pytestmark = pytest.mark.usefixtures("few_windows")

TINY: dict[str, Any] = {
    "max_epochs": 1,
    "batch_size": 8,
    "n_rows": 4,
    "n_lags": 2,
    "hidden": 4,
    "latent_dim": 4,
    "seasonality": None,
    "random_state": 0,
}
Y = pd.Series(np.sin(np.arange(30.0)))


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the plugin ``swing`` in version 1.0, known to the registry."""
    monkeypatch.delenv(plugins.SWITCH, raising=False)
    write_distribution(tmp_path, "swing", GOOD)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(plugins, "_registry", registry_of(tmp_path))
    return tmp_path


@pytest.fixture
def saved(installed: Path) -> Path:
    """A model with that plugin's dynamics."""
    model = ode.LatentODEForecaster(5.0, dynamics="swing:pendulum", **TINY).fit(Y)
    model.save(installed / "model")
    return installed / "model"


def test_the_file_names_plugin_distribution_and_version(saved: Path) -> None:
    """For people and for loading, which says nothing where all is the same."""
    document = json.loads((saved / "model.json").read_text())
    entry = {"kind": "dynamics", "name": "swing:pendulum"}
    assert entry | {"distribution": "ode-swing", "version": "1.0"} in document["parts"]
    assert ode.load(saved).dynamics == "swing:pendulum"


def test_without_the_plugin_its_installation_is_told(
    saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the version that the model was saved with."""
    monkeypatch.setattr(plugins, "_registry", Registry(list))
    monkeypatch.setattr(sys, "path", [p for p in sys.path if p != str(saved.parent)])
    with pytest.raises(ode.PluginError) as caught:
        ode.load(saved)
    assert str(caught.value).endswith(
        "needs the dynamics 'swing:pendulum', which ode-swing 1.0 offers, and that is not "
        "installed: pip install ode-swing==1.0"
    )


def test_a_plugin_that_is_here_and_broken(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its own fault is told, not an installation that would change nothing."""
    (entry,) = next(iter(distributions(path=[str(saved.parent)]))).entry_points
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, entry.value, None)
        patch.setattr(plugins, "_registry", registry_of(saved.parent))
        with pytest.raises(ode.PluginError, match=r"of ode-swing 1\.0\. The plugin .*can't be use"):
            ode.load(saved)


def test_another_version_warns(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And loads."""
    info = saved.parent / "ode_swing-1.0.dist-info"
    text = (info / "METADATA").read_text().replace("Version: 1.0", "Version: 1.1")
    (info / "METADATA").write_text(text)
    monkeypatch.setattr(plugins, "_registry", registry_of(saved.parent))
    with pytest.warns(ode.PluginWarning, match=r"'swing:pendulum' of ode-swing 1\.0, but ode-sw"):
        again = ode.load(saved)
    assert np.isfinite(again.predict([31.0])).all()


def test_a_plugin_that_changed_too_much(saved: Path) -> None:
    """What the file was saved with is told."""
    document = json.loads((saved / "model.json").read_text())
    document["fitted_with"]["dynamics_params"] = {"length": 2.0}
    (saved / "model.json").write_text(json.dumps(document))
    with pytest.raises(ode.PersistenceError, match=r"'length'.*swing:pendulum of ode-swing 1\.0"):
        ode.load(saved)


DEFINITION = """
import sys
import numpy as np, pandas as pd, torch
import odeseries as ode

class Decay(ode.Dynamics):
    def __init__(self, dim):
        super().__init__(dim)
        self.rate = torch.nn.Parameter(torch.ones(dim))
    def forward(self, t, state, inputs=None):
        return -self.rate * state
"""
REGISTRATION = "ode.register(Decay, name='decay')\n"
FIT = f"""
model = ode.LatentODEForecaster(5.0, dynamics=Decay, **{TINY})
model.fit(pd.Series(np.sin(np.arange(30.0))))
model.save(sys.argv[1])
"""
LOAD = "model = ode.load(sys.argv[1])\n"
PRINT = "print(float(model.predict([31.0]).iloc[0]).hex())\n"


@pytest.fixture
def scripts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of scripts, with the name of a model's file as their argument."""
    monkeypatch.setattr(sys, "argv", ["script.py", str(tmp_path / "model")])
    yield tmp_path
    plugins._registry._local["dynamics"].pop("decay", None)


def written(folder: Path, name: str, *parts: str) -> str:
    """Path of a script of these parts."""
    path = folder / name
    path.write_text("".join(parts))
    return str(path)


def test_a_class_of_a_script_is_found_where_it_is_registered_again(
    scripts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a script that runs like the one that saved; elsewhere, how to is said."""
    run = written(scripts, "save.py", DEFINITION, REGISTRATION, FIT)
    first = runpy.run_path(run, run_name="__main__")["model"]
    part = json.loads((scripts / "model" / "model.json").read_text())["parts"][0]
    assert (part["name"], part["class"]) == ("local:decay", "__main__.Decay")

    monkeypatch.setattr(plugins, "_registry", Registry(list))
    with pytest.raises(ode.PluginError) as caught:
        ode.load(scripts / "model")
    assert str(caught.value).endswith(
        "needs the dynamics 'local:decay', which is the class __main__.Decay, registered in the "
        "process that saved it: define it here too and call "
        "odeseries.register(Decay, name='decay') before loading."
    )

    run = written(scripts, "load.py", DEFINITION, REGISTRATION, LOAD)
    again = runpy.run_path(run, run_name="__main__")["model"]
    assert again.predict([31.0, 33.0]).equals(first.predict([31.0, 33.0]))


def test_a_cell_run_again_after_the_fit_does_not_lose_the_name(scripts: Path) -> None:
    """The class that the model was fitted with is the registered one, defined anew."""
    run = written(scripts, "save.py", DEFINITION, REGISTRATION, FIT.replace("model.save", "0 and"))
    model = runpy.run_path(run, run_name="__main__")["model"]
    run = written(scripts, "cell.py", DEFINITION, REGISTRATION)
    runpy.run_path(run, run_name="__main__")
    model.save(scripts / "model")
    assert ode.load(scripts / "model").predict([31.0]).equals(model.predict([31.0]))


@pytest.mark.slow
def test_a_class_of_a_script_in_processes_of_their_own(scripts: Path) -> None:
    """Three scripts: one saves, one registers and loads, one only loads."""
    parts = {
        "save.py": [REGISTRATION, FIT, PRINT],
        "load.py": [REGISTRATION, LOAD, PRINT],
        "lost.py": [LOAD],
    }
    done = {}
    for name, rest in parts.items():
        run = [sys.executable, written(scripts, name, DEFINITION, *rest), str(scripts / "model")]
        done[name] = subprocess.run(run, capture_output=True, text=True, timeout=300)  # noqa: S603  # our own code
    assert done["save.py"].returncode == done["load.py"].returncode == 0
    assert done["save.py"].stdout == done["load.py"].stdout
    assert "call odeseries.register(Decay, name='decay') before" in done["lost.py"].stderr


def test_an_edited_class_under_a_new_name_is_saved_by_that_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not by the older name of a class of the same path, which forecasts something else."""
    monkeypatch.setattr(plugins, "_registry", Registry(list))
    linear = plugins.get("dynamics", "linear")
    for name in ("growth", "decay"):
        edited = type("Edited", (linear,), {"__module__": __name__})
        ode.register(edited, name=name)
    ode.LatentODEForecaster(5.0, dynamics=edited, **TINY).fit(Y).save(tmp_path / "model")
    assert json.loads((tmp_path / "model" / "model.json").read_text())["parts"][0]["name"] == (
        "local:decay"
    )
