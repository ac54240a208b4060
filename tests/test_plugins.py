"""The registry: names, faults that stay with their plugin, and what is said about them."""

from __future__ import annotations

import sys
from functools import partial
from importlib.metadata import distributions
from pathlib import Path

import pytest
import torch

from odeseries import plugins
from odeseries.errors import PluginError
from odeseries.interfaces import Dynamics, Forecaster, Solver
from odeseries.plugins import Registry
from odeseries.solvers import RK4
from tests.fake_plugins import GOOD, HEAD, Install, failure, registry_of, write_distribution


class Still(Dynamics):
    """A dynamics of this module."""

    def forward(
        self, t: torch.Tensor, state: torch.Tensor, inputs: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Stand still."""
        return torch.zeros_like(state)


class Abstract(Dynamics):
    """A dynamics without a field."""


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Install a distribution with one plugin into a folder on the path."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delenv(plugins.SWITCH, raising=False)
    return partial(write_distribution, tmp_path)


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    """A registry of what ``install`` installs."""
    return registry_of(tmp_path)


def loaded(part: str) -> list[str]:
    """Modules that have been imported with this in their name."""
    return [name for name in sys.modules if part in name]


def test_builtins_have_bare_names(registry: Registry) -> None:
    """And torchdiffeq's methods its qualifier."""
    assert registry.get("solver", "rk4") is RK4
    assert registry.get("solver", "torchdiffeq:rk4") is not RK4
    assert registry.get("dynamics", "linear").__name__ == "Linear"


def test_builtins_are_concrete_and_known_by_their_names(registry: Registry) -> None:
    """Every name that is listed leads to a class, and the class to a name of its own."""
    (builtin,) = registry.listing()
    assert builtin.failure is None
    for kind, names in builtin.provides.items():
        assert names
        for name in names:
            cls = registry.get(kind, name)
            assert registry.get(kind, registry.qualified_name(cls)) is cls
    assert registry.qualified_name(RK4) == "rk4"


def test_a_class_is_checked_and_returned(registry: Registry) -> None:
    """A class of another kind, an abstract one and anything else are refused by name."""
    assert registry.get("dynamics", Still) is Still
    with pytest.raises(PluginError, match=r"Still is no solver: .*Solver is needed"):
        registry.get("solver", Still)
    with pytest.raises(PluginError, match="Abstract is an abstract dynamics: implement forward"):
        registry.get("dynamics", Abstract)
    with pytest.raises(PluginError, match="3 is no dynamics"):
        registry.get("dynamics", 3)  # type: ignore[arg-type]  # the mistake that is meant


def test_a_plugin_is_found_under_its_qualifier(install: Install, registry: Registry) -> None:
    """The names lead there and back."""
    install("swing", GOOD)
    pendulum = registry.get("dynamics", "swing:pendulum")
    assert pendulum.__name__ == "Pendulum"
    assert registry.qualified_name(pendulum) == "swing:pendulum"


def test_an_imported_class_is_traced_to_its_plugin(
    install: Install, registry: Registry, tmp_path: Path
) -> None:
    """Although the registry has not loaded the plugin yet; others stay untouched."""
    install("swing", GOOD)
    install("aaa", "raise RuntimeError('must not be imported')")
    module = __import__(f"ode_swing_{tmp_path.name}")
    assert registry.qualified_name(module.Pendulum) == "swing:pendulum"
    with pytest.raises(PluginError, match=r"Hidden has no name: register it"):
        registry.qualified_name(module.Hidden)
    assert not loaded("ode_aaa")


def test_a_look_up_imports_at_most_one_plugin(install: Install, registry: Registry) -> None:
    """None for a built-in, the named one for a qualified name."""
    install("one", GOOD)
    install("two", GOOD)
    registry.get("dynamics", "linear")
    assert not loaded("ode_one_test_a_look_up")
    registry.get("dynamics", "one:other")
    assert loaded("ode_one_test_a_look_up")
    assert not loaded("ode_two_test_a_look_up")


def test_an_installed_plugin_never_changes_a_builtin(install: Install, registry: Registry) -> None:
    """A plugin may offer the name of a built-in; the bare name stays the built-in's."""
    install(
        "mine",
        HEAD + "    @hookimpl\n    def odeseries_solvers():\n        "
        "return {'rk4': type('Mine', (RK4,), {})}",
    )
    assert registry.get("solver", "rk4") is RK4
    assert registry.get("solver", "mine:rk4").__name__ == "Mine"


BROKEN = {
    "import": ("import no_such_module_anywhere", "ModuleNotFoundError: No module named"),
    "exit": ("raise SystemExit(3)", "SystemExit: 3"),
    "syntax": ("def", "SyntaxError"),
    "nothing": ("x = 1", "implements no hook: mark a function named odeseries_dynamics or"),
    "unmarked": ("def odeseries_dynamics(): return {}", "mark a function"),
    "misspelt": (
        HEAD + "    @hookimpl\n    def odeseries_dynamic(): return {}",
        "no hook 'odeseries_dynamic'; did you mean 'odeseries_dynamics'?",
    ),
    "misdirected": (
        HEAD + "    @hookimpl(specname='odeseries_solver')\n    def mine(): return {}",
        "no hook 'odeseries_solver'; did you mean 'odeseries_solvers'?",
    ),
    "wrapper": (
        HEAD + "    @hookimpl(wrapper=True)\n    def odeseries_solvers(): return (yield)",
        "'odeseries_solvers' is a hook wrapper",
    ),
    "none": (
        HEAD + "    @hookimpl\n    def odeseries_solvers(): return None",
        "odeseries_solvers returned None",
    ),
    "list": (
        HEAD + "    @hookimpl\n    def odeseries_solvers(): return [RK4]",
        "odeseries_solvers returned a list: return a mapping",
    ),
    "raises": (
        HEAD + "    @hookimpl\n    def odeseries_solvers(): return 1 / 0",
        "ZeroDivisionError",
    ),
    "arguments": (
        HEAD + "    @hookimpl\n    def odeseries_solvers(config): return {}",
        "config",
    ),
    "kind": (
        HEAD + "    @hookimpl\n    def odeseries_dynamics(): return {'a': RK4}",
        "RK4 is no dynamics",
    ),
    "instance": (
        HEAD + "    @hookimpl\n    def odeseries_solvers(): return {'a': RK4()}",
        "is no solver",
    ),
    "abstract": (
        HEAD + "    @hookimpl\n    def odeseries_solvers(): return {'a': Solver}",
        "Solver is an abstract solver: implement integrate",
    ),
    "colon": (
        HEAD + "    @hookimpl\n    def odeseries_solvers(): return {'b:a': RK4}",
        "'b:a' is no name of a plugin's class",
    ),
    "number": (
        HEAD + "    @hookimpl\n    def odeseries_solvers(): return {1: RK4}",
        "1 is no name of a plugin's class",
    ),
    "half": (
        HEAD
        + "    @hookimpl\n    def odeseries_solvers(): return {'good': RK4}\n"
        + "    @hookimpl\n    def odeseries_dynamics(): return {'bad': RK4}",
        "RK4 is no dynamics",
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_plugin_fails_whoever_names_it_and_nobody_else(
    install: Install, registry: Registry, case: str
) -> None:
    """With its name, its distribution and the reason; nothing of it is used."""
    code, reason = BROKEN[case]
    install("broken", code, version="2.3")
    install("good", GOOD)
    text = failure(registry, "broken:good", "solver")
    assert "The plugin 'broken' of ode-broken 2.3 can't be used" in text
    assert reason in text
    assert registry.get("dynamics", "good:pendulum").__name__ == "Pendulum"
    assert registry.get("solver", "rk4") is RK4


def test_a_failure_is_remembered(
    install: Install, registry: Registry, capsys: pytest.CaptureFixture[str]
) -> None:
    """The plugin is imported once; the same is said again."""
    install("broken", "print('imported')\nraise RuntimeError('no licence')")
    texts = {failure(registry, "broken:x") for _ in range(3)}
    assert len(texts) == 1
    assert "RuntimeError: no licence" in texts.pop()
    assert capsys.readouterr().out == "imported\n"


def test_the_reason_is_chained(install: Install, registry: Registry) -> None:
    """So that the plugin's author sees where it broke."""
    install("broken", "raise RuntimeError('no licence')")
    with pytest.raises(PluginError) as caught:
        registry.get("dynamics", "broken:x")
    assert isinstance(caught.value.__cause__, RuntimeError)


def test_an_interrupt_is_no_failure_of_the_plugin(install: Install, registry: Registry) -> None:
    """Whoever presses Ctrl-C during an import wants to stop."""
    install("slow", "raise KeyboardInterrupt")
    with pytest.raises(KeyboardInterrupt):
        registry.get("dynamics", "slow:x")


@pytest.mark.parametrize("first", ["alpha", "beta"])
def test_one_qualifier_of_two_distributions_is_refused(
    install: Install, registry: Registry, first: str
) -> None:
    """Both, in either order, named with their versions; a third plugin still works."""
    second = "beta" if first == "alpha" else "alpha"
    install("swing", GOOD, project=first, version="1.1")
    install("middle", GOOD)
    install("swing", GOOD, project=second, version="1.1")
    text = failure(registry, "swing:pendulum")
    assert "'swing' is claimed by alpha 1.1 and beta 1.1: uninstall one" in text
    assert registry.get("dynamics", "middle:pendulum").__name__ == "Pendulum"
    assert not loaded("alpha_test_one_qualifier")


def test_the_same_plugin_seen_twice_is_one(install: Install, tmp_path: Path) -> None:
    """As when a folder stands on the path twice."""
    install("swing", GOOD)
    (found,) = distributions(path=[str(tmp_path)])
    registry = Registry(lambda: [*found.entry_points, *found.entry_points])
    assert registry.get("dynamics", "swing:other").__name__ == "Other"


@pytest.mark.parametrize("qualifier", ["local", "torchdiffeq", "torchsde", "2d"])
def test_reserved_and_malformed_qualifiers_are_refused(
    install: Install, registry: Registry, qualifier: str
) -> None:
    """A plugin can't put its classes where others' are expected."""
    install(qualifier, GOOD, project="intruder")
    with pytest.raises(PluginError):
        registry.get("dynamics", f"{qualifier}:pendulum")
    (info,) = [i for i in registry.listing() if i.name == qualifier]
    assert info.failure is not None
    assert "intruder 1.0 is reserved or malformed" in info.failure
    assert not loaded("intruder_test_reserved")


@pytest.mark.parametrize(
    ("listed", "usable"),
    [("", []), ("one", ["one"]), (" two , one", ["one", "two"]), ("three", [])],
)
def test_the_environment_chooses_plugins(
    install: Install,
    registry: Registry,
    monkeypatch: pytest.MonkeyPatch,
    listed: str,
    usable: list[str],
) -> None:
    """Empty is none, a list is those; built-ins are always there."""
    install("one", GOOD)
    install("two", GOOD)
    monkeypatch.setenv("ODESERIES_PLUGINS", listed)
    assert registry.get("solver", "rk4") is RK4
    for name in ("one", "two"):
        if name in usable:
            assert registry.get("dynamics", f"{name}:other").__name__ == "Other"
        else:
            assert "switched off: ODESERIES_PLUGINS does" in failure(registry, f"{name}:other")


def test_an_unknown_bare_name_that_a_plugin_offers(
    install: Install, registry: Registry, tmp_path: Path
) -> None:
    """The string to type is said; a broken plugin does not hinder it."""
    install("broken", "raise SystemExit")
    install("swing", GOOD)
    text = failure(registry, "pendulum")
    assert text == "'pendulum' is not built in; did you mean 'swing:pendulum'?"
    install("swong", GOOD)
    text = failure(registry_of(tmp_path), "pendulum")
    assert "did you mean 'swing:pendulum' or 'swong:pendulum'?" in text


def test_an_unknown_name_gets_a_guess_and_a_list(install: Install, registry: Registry) -> None:
    """Of everything of that kind, under every qualifier."""
    install("swing", GOOD)
    assert "no dynamics 'liner'; did you mean 'linear'?" in failure(registry, "liner")
    known = failure(registry, "quite other").partition("Known: ")[2]
    assert known.startswith("augmented, convolutional, fourier, hamiltonian, linear, mlp, ")
    assert known.endswith(", swing:other, swing:pendulum.")
    assert "did you mean 'swing:pendulum'?" in failure(registry, "swing:pendulm")
    assert "no dynamics 'quite other'. Known" in failure(registry, "quite other")
    assert "No plugin 'sving' is installed; did you mean 'swing'?" in failure(registry, "sving:a")
    text = failure(registry, "torchdiffeq:bosh4", "solver")
    assert "did you mean 'torchdiffeq:bosh3'? Known: torchdiffeq:adaptive_heun" in text
    assert "Known: none." in failure(registry, "local:a")


def test_a_class_of_this_process_is_local(registry: Registry) -> None:
    """The kind follows from the base; names of kinds don't meet."""
    assert registry.register(Still, name="mine") is Still
    assert registry.get("dynamics", "local:mine") is Still
    assert registry.qualified_name(Still) == "local:mine"
    solver = type("MySolver", (RK4,), {})
    registry.register(solver, name="mine")
    assert registry.get("solver", "local:mine") is solver
    assert "did you mean 'local:mine'?" in failure(registry, "mine")


def test_a_cell_may_be_run_twice_but_names_are_not_stolen(registry: Registry) -> None:
    """The same class defined again replaces itself; another one is refused."""
    registry.register(Still, name="mine")
    again = type("Still", (Dynamics,), dict(Still.__dict__))
    registry.register(again, name="mine")
    assert registry.get("dynamics", "local:mine") is again
    other = type("Other", (Still,), {"__module__": __name__})
    with pytest.raises(PluginError, match=r"'local:mine' is already the class .*Still: choose"):
        registry.register(other, name="mine")


@pytest.mark.parametrize(
    ("cls", "name", "message"),
    [
        (Abstract, "a", "abstract dynamics: implement forward"),
        (int, "a", "is no plugin class: it must be a subclass of one of Dynamics, Solver"),
        (Still, "a:b", "'a:b' is no name"),
        (Still, "", "'' is no name"),
    ],
)
def test_what_can_not_be_registered(registry: Registry, cls: type, name: str, message: str) -> None:
    """Is refused with the reason."""
    with pytest.raises(PluginError, match=message):
        registry.register(cls, name=name)


def test_a_forecaster_is_known_by_its_base(registry: Registry) -> None:
    """The third kind."""
    mine = registry.register(type("Mine", (Forecaster,), {}), name="mine")
    assert registry.get("forecaster", "local:mine") is mine


def test_the_listing_works_with_every_plugin_broken(install: Install, registry: Registry) -> None:
    """Each with its distribution, its version and the reason; nothing is raised."""
    for i, (code, _) in enumerate(BROKEN.values()):
        install(f"b{i}", code, version=f"0.{i}")
    builtin, *others = registry.listing()
    assert builtin.failure is None
    assert "rk4" in builtin.provides["solver"]
    assert len(others) == len(BROKEN)
    for info in others:
        number = info.name.removeprefix("b")
        assert (info.distribution, info.version) == (f"ode-{info.name}", f"0.{number}")
        assert info.provides == {}
        assert info.failure is not None


def test_the_listing_shows_the_strings_to_type(install: Install, registry: Registry) -> None:
    """Every one can be looked up."""
    install("swing", GOOD, version="4.2")
    registry.register(Still, name="mine")
    _, local, swing = registry.listing()
    assert local.provides["dynamics"] == ("local:mine",)
    assert (swing.name, swing.distribution, swing.version) == ("swing", "ode-swing", "4.2")
    assert swing.provides["dynamics"] == ("swing:pendulum", "swing:other")
    for name in swing.provides["dynamics"]:
        registry.get("dynamics", name)


def test_the_public_functions_share_one_registry() -> None:
    """What is registered can be looked up, named and listed."""
    cls = plugins.register(type("Shared", (Still,), {}), name="shared_for_the_test")
    assert plugins.get("dynamics", "local:shared_for_the_test") is cls
    assert plugins.qualified_name(cls) == "local:shared_for_the_test"
    assert "built-in" in [info.name for info in plugins.listing()]
    assert issubclass(plugins.get("solver", "rk4"), Solver)


def again() -> type[Still]:
    """The same class defined once more, as by a notebook's cell that was edited."""
    return type("Still", (Dynamics,), dict(Still.__dict__))


def test_a_class_is_known_by_its_own_name_before_that_of_its_path(registry: Registry) -> None:
    """Classes of one path under several names are kept apart."""
    edited = again()
    registry.register(Still, name="growth")
    registry.register(edited, name="decay")
    assert registry.qualified_name(Still) == "local:growth"
    assert registry.qualified_name(edited) == "local:decay"


def test_the_path_of_a_class_names_it_only_where_it_is_one_name(registry: Registry) -> None:
    """A class whose name was taken by its newer self keeps it; of two names none is guessed."""
    registry.register(Still, name="mine")
    registry.register(again(), name="mine")
    assert registry.qualified_name(Still) == "local:mine"
    registry.register(again(), name="other")
    with pytest.raises(PluginError, match=r"Still has no name of its own, but mine, other of loc"):
        registry.qualified_name(Still)
