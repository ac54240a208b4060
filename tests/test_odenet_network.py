"""The classifier's network: fields, steps, gradients, images, and what a row depends on."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits, load_iris
from torch import Tensor

import odeseries as ode
from odeseries.odenet.inputs import Inputs, Shift
from odeseries.odenet.network import ConvolutionalStem
from odeseries.odenet.noise import dropped
from odeseries.odenet.parts import Design
from odeseries.odenet.training import Usual

X, Y = load_iris(return_X_y=True)
DIGITS, DIGIT = load_digits(return_X_y=True)
IMAGES, DIGIT = DIGITS[:100].reshape(-1, 1, 8, 8), DIGIT[:100]


class Pull(ode.Dynamics):
    """A plugin's field: towards a learned point."""

    def __init__(self, dim: int, *, rate: float = 1.0) -> None:
        super().__init__(dim)
        self.rate, self.point = rate, torch.nn.Parameter(torch.zeros(dim))

    def forward(self, t: Tensor, state: Tensor, inputs: Tensor | None = None) -> Tensor:
        """Derivative."""
        return self.rate * (self.point - state)


def small(**changes: Any) -> ode.ODENetClassifier:
    """A classifier that is fitted at once."""
    return ode.ODENetClassifier(**{"hidden": 8, "max_epochs": 2, "random_state": 0, **changes})


def network(shape: tuple[int, int, int] | None = None, **changes: Any) -> Any:
    """An untrained network in float64, of 4 features or of images."""
    settings: dict[str, Any] = {
        "hidden": 6,
        "dynamics": "auto",
        "dynamics_params": {},
        "stem": "auto",
        "T": 1.0,
        "learn_T": False,
        "solver": "dopri5",
        "gradient": "autograd",
        "options": {"rtol": 1e-9, "atol": 1e-10},
    }
    return Design(**(settings | changes)).build(4, shape, 3, seed=0).double()


def rows(shape: tuple[int, int, int] | None = None, n: int = 7) -> Tensor:
    """Standard normal rows, images with their channels last."""
    sides = (4,) if shape is None else (*shape[1:], shape[0])
    generator = torch.Generator().manual_seed(1)
    return torch.randn(n, *sides, generator=generator, dtype=torch.float64)


# Fields


@pytest.mark.parametrize(
    "dynamics",
    ["mlp", "augmented", "second_order", "hamiltonian", "linear", Pull],
)
@pytest.mark.parametrize("learn_t", [False, True])
def test_fields_of_features_learn(dynamics: Any, learn_t: bool) -> None:
    """Built in or of a plugin, each learns to tell the three flowers apart."""
    model = small(dynamics=dynamics, learn_T=learn_t, max_epochs=20, learning_rate=0.03).fit(X, Y)
    assert model.score(X, Y) > 0.8


@pytest.mark.parametrize("dynamics", ["convolutional", "mlp", "augmented", "second_order", Pull])
def test_fields_of_images_learn(dynamics: Any) -> None:
    """Those of vectors move the channels of every pixel."""
    model = small(dynamics=dynamics, max_epochs=12, learning_rate=0.02).fit(IMAGES, DIGIT)
    assert model.score(IMAGES, DIGIT) > 0.6


def test_fields_that_do_not_suit_are_refused() -> None:
    """With what to do instead."""
    with pytest.raises(ValueError, match="'sde' is stochastic: give an ordinary one"):
        small(dynamics="sde").fit(X, Y)
    with pytest.raises(ValueError, match="moves images: give image_shape"):
        small(dynamics="convolutional").fit(X, Y)
    with pytest.raises(ValueError, match="dim=5 is odd"):
        small(dynamics="hamiltonian", hidden=5).fit(X, Y)
    with pytest.raises(ValueError, match="dynamics_params has 'width', but MLP takes"):
        small(dynamics="mlp", dynamics_params={"width": 3}).fit(X, Y)
    with pytest.raises(ValueError, match="solver_params has 'gradients', but a solver takes"):
        small(solver_params={"gradients": "adjoint"}).fit(X, Y)
    with pytest.raises(ode.PluginError, match="There is no dynamics 'mlpp'"):
        small(dynamics="mlpp").fit(X, Y)


def test_hyperparameters_reach_the_field() -> None:
    """By name."""
    model = small(dynamics=Pull, dynamics_params={"rate": 3.0}).fit(X, Y)
    assert model.network_.block.dynamics.rate == 3.0


def test_a_plain_field_keeps_the_order_of_a_line_and_an_augmented_one_does_not() -> None:
    """An inner interval against both outer ones: two thirds are the most that one line can do."""
    x = np.r_[np.linspace(-2, -1, 40), np.linspace(-0.5, 0.5, 40), np.linspace(1, 2, 40)][:, None]
    y = np.repeat([0, 1, 0], 40)
    settings = {
        "stem": "identity",
        "max_epochs": 40,
        "learning_rate": 0.03,
        "input_noise": 0.0,
    }
    plain = small(**settings, solver="rk4", solver_params={"n_steps": 4}).fit(x, y)
    moved = plain.network_.block(torch.linspace(-2, 2, 50)[:, None])[0]
    assert (moved.diff(dim=0) > 0).all()
    assert plain.score(x, y) < 0.7
    augmented = small(
        **settings, dynamics="augmented", dynamics_params={"extra_dims": 1}, random_state=1
    ).fit(x, y)
    assert augmented.score(x, y) == 1.0


# Steps


def test_a_residual_network_is_the_euler_discretisation() -> None:
    """Layer by layer, to the last bit but rounding; many layers come close to the solution."""
    net, x = network(solver="euler", options={"n_steps": 5}, T=2.0), rows()
    z = net.stem(x)
    for _ in range(5):
        z = z + 0.4 * net.block.dynamics(torch.zeros(1), z)
    torch.testing.assert_close(net(x), net.head(z))
    exact = network(T=2.0)(x)
    errors = []
    for n_steps in (10, 20, 40):
        net.block.options = {"n_steps": n_steps}
        errors.append(float((net(x) - exact).detach().norm()))
    assert errors[0] / errors[1] == pytest.approx(2, rel=0.2)
    assert errors[1] / errors[2] == pytest.approx(2, rel=0.2)


@pytest.mark.parametrize("solver", ["euler", "rk4", "dopri5", "tsit5"])
def test_a_row_does_not_depend_on_its_companions(solver: str) -> None:
    """Alone and among wild ones, under fixed steps and adaptive ones."""
    params = {"n_steps": 3} if solver in ("euler", "rk4") else {"rtol": 1e-2, "atol": 1e-2}
    model = small(solver=solver, solver_params=params, T=3.0).fit(X, Y)
    among = model.predict_proba(np.r_[X[:5], 50 * X[5:50]])[:5]
    alone = np.concatenate([model.predict_proba(X[i : i + 1]) for i in range(5)])
    np.testing.assert_allclose(among, alone, atol=1e-12)


@pytest.mark.parametrize("augmentation", [None, "shift"])
def test_an_image_does_not_depend_on_its_companions(augmentation: str | None) -> None:
    """To the rounding of float32."""
    model = small(augmentation=augmentation).fit(IMAGES, DIGIT)
    among = model.predict_proba(np.r_[IMAGES[:5], 30 * IMAGES[5:60]])[:5]
    alone = np.concatenate([model.predict_proba(IMAGES[i : i + 1]) for i in range(5)])
    np.testing.assert_allclose(among, alone, atol=1e-5)


# Gradients


@pytest.mark.parametrize("gradient", ["adjoint", "checkpoint"])
@pytest.mark.parametrize(
    ("shape", "dynamics"),
    [(None, "mlp"), (None, "augmented"), (None, "second_order"), ((1, 4, 4), "convolutional")],
)
def test_gradients_agree(gradient: str, shape: Any, dynamics: str) -> None:
    """Of stem, field, head and end of time, to a thousandth of each parameter's."""
    x, found = rows(shape, 3), []
    for mode in ("autograd", gradient):
        options = {"rtol": 1e-6, "atol": 1e-7}
        net = network(shape, dynamics=dynamics, gradient=mode, learn_T=True, options=options)
        torch.nn.functional.cross_entropy(net(x), torch.arange(3)).backward()
        found.append({name: p.grad for name, p in net.named_parameters()})
    for name, exact in found[0].items():
        got = found[1][name]
        assert got is not None, name
        assert float((got - exact).norm()) <= 1e-3 * float(exact.norm()) + 1e-12, name


def kept_for_backward(net: Any, x: Tensor) -> int:
    """Bytes of distinct tensors that backward needs."""
    sizes: dict[int, int] = {}

    def note(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        sizes[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        net(x)
    return sum(sizes.values())


def test_the_adjoint_keeps_as_much_for_any_number_of_steps() -> None:
    """Ten accepted steps and hundreds, by the tolerance; autograd keeps in proportion."""
    kept: dict[str, list[int]] = {}
    steps = []
    for gradient in ("adjoint", "autograd"):
        kept[gradient] = []
        for tolerance in (1e-2, 1e-13):
            options = {"rtol": tolerance, "atol": tolerance}
            net = network(gradient=gradient, options=options, T=12.0)
            kept[gradient].append(kept_for_backward(net, rows(n=2)))
            steps.append(float(net.evaluations(rows(n=2)).double().mean()) / 6)
    assert steps[0] < 25
    assert steps[1] > 12 * steps[0]
    assert kept["adjoint"][1] <= 1.1 * kept["adjoint"][0]
    assert kept["autograd"][1] > 5 * kept["autograd"][0]


def test_an_adjoint_of_too_few_steps_warns() -> None:
    """Its backward solution does not find the start again; enough steps do."""
    coarse = {"solver": "euler", "solver_params": {"n_steps": 2}, "T": 2.0}
    with pytest.warns(ode.GradientWarning):
        small(gradient="adjoint", **coarse, max_epochs=1).fit(X, Y)
    fine = {"solver": "rk4", "solver_params": {"n_steps": 8}}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        small(gradient="adjoint", **fine, max_epochs=1).fit(X, Y)


# Images


def test_flat_images_are_images() -> None:
    """The same rows with four axes, or flat with their shape."""
    flat = small(image_shape=(8, 8)).fit(DIGITS[:100], DIGIT)
    whole = small().fit(IMAGES, DIGIT)
    np.testing.assert_array_equal(flat.predict_proba(DIGITS[:100]), whole.predict_proba(IMAGES))


@pytest.mark.parametrize(
    ("sides", "pixels"),
    [((1, 1), (1, 1)), ((8, 8), (4, 4)), ((5, 9), (3, 5)), ((28, 28), (7, 7)), ((17, 33), (3, 5))],
)
def test_stems_halve_images_to_eight_pixels(
    sides: tuple[int, int], pixels: tuple[int, int]
) -> None:
    """At least once, a side that is odd to the larger half."""
    stem = ConvolutionalStem((2, *sides), 6)
    out = stem(torch.zeros(3, *sides, 2))
    assert out.shape == (3, *pixels, 6)
    assert stem.n_pixels == pixels[0] * pixels[1]


def test_images_of_another_shape_are_refused() -> None:
    """With both shapes."""
    with pytest.raises(ValueError, match=r"does not hold images of \(1, 7, 8\)"):
        small(image_shape=(7, 8)).fit(DIGITS, np.arange(len(DIGITS)) % 2)
    with pytest.raises(ValueError, match="images of one channel are"):
        small().fit(DIGITS.reshape(-1, 8, 8), np.arange(len(DIGITS)) % 2)
    with pytest.raises(ValueError, match="moves images: give image_shape"):
        small(augmentation="shift").fit(X, Y)
    model = small(max_epochs=1).fit(IMAGES, DIGIT)
    with pytest.raises(ValueError, match="X has the shape"):
        model.predict(np.zeros((2, 1, 9, 9)))


def test_shifts_bring_the_background_in() -> None:
    """A bright pixel moves by up to the reach; what comes in is the median of the borders."""
    images = torch.full((200, 14, 14, 1), -3.0)
    images[:, 7, 7] = 5.0
    shift = Shift.of(images)
    assert (shift.background.tolist(), shift.reach) == ([-3.0], 1)
    moved = shift.at_random(images, torch.Generator().manual_seed(0))
    places = (moved[..., 0] == 5.0).nonzero()[:, 1:]
    assert (moved == 5.0).sum() == 200
    assert {tuple(place) for place in places.tolist()} == {
        (i, j) for i in (6, 7, 8) for j in (6, 7, 8)
    }
    assert ((moved == -3.0) | (moved == 5.0)).all()
    centres = [(view[0, ..., 0] == 5.0).nonzero()[0].tolist() for view in shift.around(images)]
    assert centres == [[7, 7], [6, 7], [8, 7], [7, 6], [7, 8]]


def test_probabilities_are_means_over_the_shifts() -> None:
    """Of the image as it is and its four neighbours."""
    model = small(augmentation="shift", max_epochs=1).fit(IMAGES, DIGIT)
    x = model._inputs.tensor(IMAGES, torch.device("cpu"), torch.float32)
    with torch.no_grad():
        each = [model.network_(view).softmax(1) for view in model._shift.around(x)]
    mean = torch.stack(each).mean(0).numpy()
    np.testing.assert_allclose(model.predict_proba(IMAGES), mean, atol=1e-6)


# What is made harder in training


def test_units_tame_rare_features_and_outliers() -> None:
    """What is nearly constant, or has an outlier, has no huge values; the rest is standardised."""
    rng = np.random.default_rng(0)
    x = np.c_[rng.uniform(size=1000), np.arange(1000) < 3, rng.standard_normal(1000), np.ones(1000)]
    x[0, 2] = 1e6
    inputs = Inputs(None)
    inputs.learn(x, np.ones(1000))
    scaled = inputs.scaled(x)
    np.testing.assert_allclose(scaled[:, 0], (x[:, 0] - x[:, 0].mean()) / x[:, 0].std())
    assert np.ptp(scaled[:, 1]) == pytest.approx(4)
    assert np.ptp(scaled[:, 2]) == pytest.approx(4, rel=0.02)
    assert (scaled[:, 3] == 0).all()
    assert np.abs(inputs.scaled(1e9 * x)).max() <= 8


def test_units_do_not_see_rows_without_weight() -> None:
    """A weight of zero is an absent row, also in parts."""
    x = np.r_[np.random.default_rng(0).exponential(size=(100, 2)), np.full((10, 2), 50.0)]
    weighted, absent = Inputs(None), Inputs(None)
    weighted.learn(x, np.r_[np.ones(100), np.zeros(10)])
    for part in (x[:60], x[60:100]):
        absent.learn(part, np.ones(len(part)))
    np.testing.assert_allclose(weighted.scaled(x), absent.scaled(x))


@pytest.mark.parametrize("harder", [{"input_noise": 0.3}, {"dropout": 0.4}])
def test_noise_and_dropout_are_of_training_alone(harder: dict[str, float]) -> None:
    """They change what is learnt, by the seed, and no prediction is random."""
    easy = {"input_noise": 0.0}
    plain, hard, again = (small(**(easy | more)).fit(X, Y) for more in ({}, harder, harder))
    p = hard.predict_proba(X)
    assert np.abs(p - plain.predict_proba(X)).max() > 1e-4
    np.testing.assert_array_equal(p, hard.predict_proba(X))
    np.testing.assert_array_equal(p, again.predict_proba(X))


def test_dropout_keeps_the_mean() -> None:
    """A share is zero, and the rest is raised to make up for it."""
    numbers = dropped(torch.ones(200, 500), 0.25, torch.Generator().manual_seed(0))
    np.testing.assert_allclose(numbers.unique(), [0, 4 / 3], rtol=1e-6)
    assert float((numbers == 0).double().mean()) == pytest.approx(0.25, abs=0.01)
    assert float(numbers.mean()) == pytest.approx(1, abs=0.01)


def test_many_rows_take_fewer_epochs() -> None:
    """By the cube root of their number; a few take all."""
    usual = Usual(epochs=40, noise=0.0)
    assert [usual.epochs_of(n) for n in (10, 1500, 12_000, 1_500_000)] == [40, 40, 20, 4]
