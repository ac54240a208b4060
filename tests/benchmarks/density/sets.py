"""The data of the density benchmark: three in the plane, three tables, all by a seed."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
from scipy.special import logsumexp
from sklearn.datasets import load_breast_cancer, load_digits, load_wine, make_moons
from sklearn.model_selection import KFold

Float64 = npt.NDArray[np.float64]
Split = tuple[Float64, Float64]

N_TRAIN, N_TEST = 2000, 5000
PLANE = ("moons", "eight_gaussians", "checkerboard")
TABLES = ("wine", "breast_cancer", "digits")


def splits(name: str, seed: int, n_folds: int) -> Iterator[Split]:
    """Rows to train on and rows to judge by.

    In the plane 2,000 and 5,000 rows, in units of the training rows' standard deviations. Tables
    by folds of five, wine and breast cancer in the same units, digits as (pixel + uniform) / 16.
    """
    if name in PLANE:
        X = _plane(name, seed)
        yield _scaled(X[:N_TRAIN], X[N_TRAIN:])
        return
    X = _table(name, seed)
    folds = KFold(5, shuffle=True, random_state=seed).split(X)
    for known, held in list(folds)[:n_folds]:
        yield (X[known], X[held]) if name == "digits" else _scaled(X[known], X[held])


def truth(name: str, seed: int) -> float:
    """Mean log-density of the rows to judge by under the law that they were drawn from."""
    X = _plane(name, seed)
    known, held = X[:N_TRAIN], X[N_TRAIN:]
    if name == "checkerboard":
        each = np.full(len(held), -np.log(8.0))
    elif name == "moons":
        angles = np.linspace(0, np.pi, 2000)
        arc = np.stack([np.cos(angles), np.sin(angles)], -1)
        each = _kernels(held, np.concatenate([arc, [1, 0.5] - arc]), 0.1)
    else:
        angles = np.arange(8) * np.pi / 4
        each = _kernels(held, np.stack([np.cos(angles), np.sin(angles)], -1), 1 / 8)
    return float(each.mean() + np.log(known.std(0)).sum())


def _kernels(X: Float64, centres: Float64, width: float) -> Float64:
    """Log-density of equal round normal distributions in the plane."""
    squares = [((part[:, None] - centres) ** 2).sum(-1) for part in np.array_split(X, 50)]
    powers = -np.concatenate(squares) / (2 * width**2)
    return np.asarray(logsumexp(powers, axis=1) - np.log(len(centres) * 2 * np.pi * width**2))


def _plane(name: str, seed: int) -> Float64:
    if name == "moons":
        X: Float64 = make_moons(N_TRAIN + N_TEST, noise=0.1, random_state=seed)[0]
        return X
    draw = {"eight_gaussians": _gaussians, "checkerboard": _checkerboard}[name]
    return draw(np.random.default_rng(seed))


def _gaussians(rng: np.random.Generator) -> Float64:
    """Eight on a circle, an eighth of its radius wide."""
    angles = rng.integers(8, size=N_TRAIN + N_TEST) * np.pi / 4
    noise = rng.normal(size=(len(angles), 2)) / 8
    return np.stack([np.cos(angles), np.sin(angles)], -1) + noise


def _checkerboard(rng: np.random.Generator) -> Float64:
    """Uniform on every other field of four by four."""
    n = N_TRAIN + N_TEST
    x = rng.random(n) * 4 - 2
    y = rng.random(n) - rng.integers(2, size=n) * 2 + np.floor(x) % 2
    return np.stack([x, y], -1)


def _table(name: str, seed: int) -> Float64:
    if name == "digits":
        pixels = load_digits().data
        return np.asarray((pixels + np.random.default_rng(seed).random(pixels.shape)) / 16)
    loader = {"wine": load_wine, "breast_cancer": load_breast_cancer}[name]
    return np.asarray(loader().data, dtype=np.float64)


def _scaled(known: Float64, held: Float64) -> Split:
    centre, scale = known.mean(0), known.std(0)
    return (known - centre) / scale, (held - centre) / scale
