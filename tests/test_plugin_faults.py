"""Faulty distributions side by side: each is told what is wrong with it, and the rest works."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import partial
from importlib.metadata import EntryPoint, distributions
from pathlib import Path
from typing import Any

import pytest

from odeseries import plugins
from odeseries.__main__ import main
from odeseries.distributions import discovered
from odeseries.plugins import Registry
from odeseries.solvers import RK4
from tests.fake_plugins import GOOD, HEAD, failure, write_distribution

MARK = "    @hookimpl\n    def "


@dataclass(frozen=True)
class Fault:
    """A plugin, what is wrong with it, and what has to be said."""

    code: str
    said: str
    requires: tuple[str, ...] = ()
    owners: tuple[str, ...] = field(default=())


FAULTS = {
    "raises": Fault("raise RuntimeError('no licence')", "RuntimeError: no licence"),
    "is_cancelled": Fault(
        "import asyncio\nraise asyncio.CancelledError('too late')", "CancelledError: too late"
    ),
    "panics": Fault(
        "class PanicError(BaseException): pass\nraise PanicError('native')", "PanicError: native"
    ),
    "awaits": Fault(
        HEAD + "    @hookimpl\n    async def odeseries_solvers(): return {'a': RK4}",
        "odeseries_solvers returned a coroutine: return a mapping",
    ),
    "exits": Fault("import sys\nsys.exit(3)", "SystemExit: 3"),
    "misspells": Fault(
        HEAD + MARK + "odeseries_solver(): return {'a': RK4}",
        "There is no hook 'odeseries_solver'; did you mean 'odeseries_solvers'?",
    ),
    "wrong_class": Fault(
        HEAD + MARK + "odeseries_dynamics(): return {'a': RK4}", "RK4 is no dynamics: a subclass"
    ),
    "wraps": Fault(
        HEAD + "    @hookimpl(wrapper=True)\n    def odeseries_solvers(): return (yield)",
        "'odeseries_solvers' is a hook wrapper: return a mapping instead",
    ),
    "wraps_as_of_old": Fault(
        HEAD + "    @hookimpl(hookwrapper=True)\n    def odeseries_solvers(): yield",
        "'odeseries_solvers' is a hook wrapper: return a mapping instead",
    ),
    "claimed": Fault(
        GOOD,
        "'claimed' is claimed by early 1.0 and late 1.0: uninstall one of them",
        owners=("early", "late"),
    ),
    "lacks": Fault(
        "import no_such_module_anywhere",
        "No module named 'no_such_module_anywhere'. It needs no-such-module-anywhere>=2: "
        "pip install 'no-such-module-anywhere>=2'",
        requires=("No_such.module-anywhere>=2", "torch", "pip; python_version < '3'"),
    ),
    "too_new": Fault(
        "from odeseries import what_comes_next",
        "ode-too_new 1.0 needs odeseries>=99, but odeseries",
        requires=("odeseries>=99",),
    ),
    "torchdiffeq": Fault(GOOD, "'torchdiffeq' of ode-torchdiffeq 1.0 is reserved or malformed"),
}
HEALTHY = {"one": GOOD, "two": HEAD + MARK + "odeseries_solvers(): return {'rk4': RK4}"}


def entries_of(folder: Path) -> list[EntryPoint]:
    """Entry points of what is installed in a folder, by name."""
    found = [entry for d in distributions(path=[str(folder)]) for entry in d.entry_points]
    return sorted(found, key=lambda entry: (entry.name, entry.value))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterable[Path]:
    """All of them installed."""
    folder = tmp_path_factory.mktemp("installed")
    for name, fault in FAULTS.items():
        for owner in fault.owners or (None,):
            write_distribution(folder, name, fault.code, project=owner, requires=fault.requires)
    for name, code in HEALTHY.items():
        write_distribution(folder, name, code)
    sys.path.insert(0, str(folder))
    yield folder
    sys.path.remove(str(folder))


ORDERS: dict[str, Any] = {
    "forwards": lambda entries: entries,
    "backwards": lambda entries: entries[::-1],
    "the_healthy_last": lambda entries: sorted(entries, key=lambda e: e.name in HEALTHY),
    "the_healthy_first": lambda entries: sorted(entries, key=lambda e: e.name not in HEALTHY),
    "seen_twice": lambda entries: [*entries, *entries[::-1]],
}


@pytest.fixture(params=ORDERS)
def registry(
    folder: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Registry:
    """A registry of them in one order or another."""
    monkeypatch.delenv(plugins.SWITCH, raising=False)
    return Registry(partial(ORDERS[request.param], entries_of(folder)))


def test_each_fault_is_told_and_spares_the_rest(registry: Registry) -> None:
    """Whoever names a faulty plugin learns why; all the others answer, before and after."""
    for name, fault in FAULTS.items():
        kind: plugins.Kind = "solver" if name == "torchdiffeq" else "dynamics"
        assert registry.get("dynamics", "one:pendulum").__name__ == "Pendulum"
        if name != "torchdiffeq":  # whose names are built in
            assert fault.said in failure(registry, f"{name}:pendulum", kind)
        assert registry.get("solver", "two:rk4") is registry.get("solver", "rk4") is RK4


def test_the_listing_tells_each_fault(registry: Registry) -> None:
    """With distribution and version; what is healthy provides what it offers."""
    infos = {info.name: info for info in registry.listing()}
    assert set(infos) == {"built-in", *FAULTS, *HEALTHY}
    for name, fault in FAULTS.items():
        owners = fault.owners or (f"ode-{name}",)
        assert infos[name].distribution == " and ".join(owners)
        assert infos[name].provides == {}
        assert infos[name].failure is not None
        assert fault.said in str(infos[name].failure)
    assert infos["one"].provides["dynamics"] == ("one:pendulum", "one:other")
    assert [infos[name].failure for name in ("built-in", *HEALTHY)] == [None] * 3


def test_an_unknown_name_finds_the_healthy_one(registry: Registry) -> None:
    """Although every plugin is asked."""
    said = failure(registry, "pendulum")
    assert said == "'pendulum' is not built in; did you mean 'one:pendulum'?"


def test_the_command_tells_every_fault(
    registry: Registry, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As text and as JSON, by an exit status of 1."""
    monkeypatch.setattr(plugins, "_registry", registry)
    assert main(["plugins"]) == 1
    shown = capsys.readouterr()
    assert "At least one plugin failed" in shown.err
    assert "\none (ode-one 1.0)\n  dynamics: one:pendulum, one:other\n" in shown.out
    assert main(["plugins", "--json"]) == 1
    entries = {entry["name"]: entry for entry in json.loads(capsys.readouterr().out)}
    for name, fault in FAULTS.items():
        assert fault.said in shown.out
        assert fault.said in entries[name]["failure"]
    assert entries["two"] == {
        "name": "two",
        "distribution": "ode-two",
        "version": "1.0",
        "provides": {"dynamics": [], "solver": ["two:rk4"], "forecaster": []},
        "failure": None,
        "switched_off": False,
    }


def test_json_is_json_whatever_a_plugin_prints(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its words go to the standard error; a sound environment exits with 0."""
    write_distribution(tmp_path, "talkative", f"    print('hello'){GOOD}")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(plugins, "_registry", Registry(lambda: entries_of(tmp_path)))
    assert main(["plugins", "--json"]) == 0
    shown = capsys.readouterr()
    assert json.loads(shown.out)[1]["failure"] is None
    assert shown.err == "hello\n"


def test_an_interrupt_is_the_users(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C during an import is no fault of the plugin's, which is imported the next time."""
    write_distribution(tmp_path, "slow", "raise KeyboardInterrupt")
    monkeypatch.syspath_prepend(tmp_path)
    registry = Registry(lambda: entries_of(tmp_path))
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            registry.get("dynamics", "slow:pendulum")


def test_what_is_switched_off_has_not_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is listed with the reason, and the exit status is 0."""
    write_distribution(tmp_path, "broken", "raise SystemExit")
    monkeypatch.setenv(plugins.SWITCH, "other")
    monkeypatch.setattr(plugins, "_registry", Registry(lambda: entries_of(tmp_path)))
    assert main(["plugins"]) == 0
    assert "  off: The plugin 'broken' is switched off: ODESERIES_PL" in capsys.readouterr().out


def test_a_plugin_for_an_older_package_is_told_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same command puts it right; it is not imported."""
    write_distribution(tmp_path, "old", "raise SystemExit", requires=["odeseries<0.0.1"])
    monkeypatch.syspath_prepend(tmp_path)
    said = failure(Registry(lambda: entries_of(tmp_path)), "old:pendulum")
    assert "needs odeseries<0.0.1, but odeseries" in said
    assert said.endswith("is installed: pip install --upgrade odeseries ode-old")


def test_records_that_can_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One malformed record does not hide the other plugins; one without a name is listed."""
    write_distribution(tmp_path, "good", GOOD)
    write_distribution(tmp_path, "nameless", GOOD)
    write_distribution(tmp_path, "malformed", GOOD)
    (tmp_path / "ode_malformed-1.0.dist-info" / "entry_points.txt").write_text("[odeseries]\nx\n")
    (tmp_path / "ode_nameless-1.0.dist-info" / "METADATA").unlink()
    monkeypatch.syspath_prepend(tmp_path)
    registry = Registry(lambda: discovered("odeseries"))
    assert registry.get("dynamics", "good:pendulum").__name__ == "Pendulum"
    infos = {info.name: info for info in registry.listing()}
    assert (infos["nameless"].distribution, infos["nameless"].failure) == ("unknown", None)


def test_case_45_two_plugins_with_one_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The clash names both, in any order; the third loads; built-ins and doublets are harmless."""
    mine = GOOD.replace('"pendulum"', '"my_ode"').replace('"other"', '"linear"')
    for qualifier, project in [("a", "first"), ("b", "x"), ("b", "y"), ("c", "last")]:
        write_distribution(tmp_path, qualifier, mine, project=project)
    monkeypatch.syspath_prepend(tmp_path)
    entries = entries_of(tmp_path)
    for order in (entries, entries[::-1], [*entries, *entries]):
        registry = Registry(partial(list, order))
        assert failure(registry, "b:my_ode").startswith("The plugin name 'b' is claimed by x 1.0")
        assert failure(registry, "my_ode") == (
            "'my_ode' is not built in; did you mean 'a:my_ode' or 'c:my_ode'?"
        )
        assert registry.get("dynamics", "a:my_ode") is not registry.get("dynamics", "c:my_ode")
        assert registry.get("dynamics", "linear").__module__ == "odeseries.dynamics.linear"
        assert registry.get("dynamics", "c:linear").__name__ == "Other"
