"""The data of the density benchmark: three in the plane, three tables, all by a seed."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
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
        X = {"moons": _moons, "eight_gaussians": _gaussians, "checkerboard": _checkerboard}[name](
            np.random.default_rng(seed), seed
        )
        yield _scaled(X[:N_TRAIN], X[N_TRAIN:])
        return
    X = _table(name, seed)
    folds = KFold(5, shuffle=True, random_state=seed).split(X)
    for known, held in list(folds)[:n_folds]:
        yield (X[known], X[held]) if name == "digits" else _scaled(X[known], X[held])


def _moons(rng: np.random.Generator, seed: int) -> Float64:
    del rng
    X: Float64 = make_moons(N_TRAIN + N_TEST, noise=0.1, random_state=seed)[0]
    return X


def _gaussians(rng: np.random.Generator, seed: int) -> Float64:
    """Eight on a circle, an eighth of its radius wide."""
    del seed
    angles = rng.integers(8, size=N_TRAIN + N_TEST) * np.pi / 4
    noise = rng.normal(size=(len(angles), 2)) / 8
    return np.stack([np.cos(angles), np.sin(angles)], -1) + noise


def _checkerboard(rng: np.random.Generator, seed: int) -> Float64:
    """Uniform on every other field of four by four."""
    del seed
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
