"""From a stochastic dynamics and a seed to what a solver needs; and from ids to seeds."""

from __future__ import annotations

import operator
from collections.abc import Hashable, Iterable
from hashlib import blake2b

import numpy as np
import torch
from torch import Tensor

from odeseries.errors import SolverError
from odeseries.interfaces import Dynamics, Noise, Solver, VectorField
from odeseries.solvers.philox import philox
from odeseries.solvers.rows import answered

__all__ = ["check_method", "noise_of", "row_seeds", "whole_seed", "within_64_bits"]

NOISE_TYPES = ("diagonal", "scalar", "additive", "general")
SDE_TYPES = ("ito", "stratonovich")
PLAIN = (np.number, np.bool_, np.str_, np.bytes_)
"""Scalars of NumPy that stand for one of Python."""


def row_seeds(seed: int, ids: Iterable[Hashable]) -> Tensor:
    """Keys for the rows of a batch that depend on a seed and on each row's id, not its position.

    Parameters
    ----------
    seed : int
        Seed of them all.
    ids : iterable of hashable
        One id per row, told apart by their ``repr``; NumPy's scalars, alone or in tuples, are the
        Python ones that they stand for.

    Returns
    -------
    Tensor of int64, shape (batch,)

    Raises
    ------
    SolverError
        If the seed is no whole number.

    Examples
    --------
    >>> from odeseries import row_seeds
    >>> bool(row_seeds(0, ["a", "b"])[1] == row_seeds(0, ["b"])[0])
    True
    """
    seed = whole_seed(seed)
    digests = [blake2b(repr((seed, _plain(one))).encode(), digest_size=8).digest() for one in ids]
    keys = [int.from_bytes(digest, "little", signed=True) for digest in digests]
    return torch.tensor(keys, dtype=torch.int64)


def _plain(one: Hashable) -> Hashable:
    """The id in Python's own types, whose ``repr`` no version of NumPy changes."""
    if isinstance(one, tuple):
        return tuple(map(_plain, one))
    plain: Hashable = one.item() if isinstance(one, PLAIN) else one
    return plain


def noise_of(
    dynamics: object, y0: Tensor, seed: int | Tensor | torch.Generator | None
) -> Noise | None:
    """Noise of a stochastic dynamics; None for an ordinary one.

    Raises
    ------
    SolverError
        If the dynamics states an unknown kind, or the seed is missing or malformed.
    """
    if not isinstance(dynamics, Dynamics) or dynamics.noise_type is None:
        return None
    name = type(dynamics).__name__
    if dynamics.noise_type not in NOISE_TYPES or dynamics.sde_type not in SDE_TYPES:
        raise SolverError(
            f"{name} states noise_type={dynamics.noise_type!r} and sde_type="
            f"{dynamics.sde_type!r}: its author must state one of {', '.join(NOISE_TYPES)}, and "
            f"one of {', '.join(SDE_TYPES)}."
        )
    if seed is None:
        raise SolverError(
            f"{name} is stochastic and needs a seed: give an int, a torch.Generator, or a key for "
            f"every row."
        )
    return Noise(
        _checked(dynamics),
        dynamics.noise_type,
        dynamics.sde_type,
        _keys(seed, y0),
        tuple(dynamics.parameters()),
    )


def check_method(method: Solver, noise: Noise | None) -> None:
    """Refuse a method that can't integrate the equation.

    Raises
    ------
    SolverError
        If one of the two is stochastic and the other is not, or the noise is of a kind or in a
        calculus that the method can't handle.
    """
    name = type(method).__name__
    if noise is None:
        if method.noise_types:
            raise SolverError(
                f"{name} is a method for stochastic dynamics, and this one is ordinary: choose a "
                f"method such as 'rk4'."
            )
        return
    if not method.noise_types:
        raise SolverError(
            f"{name} is a method for ordinary dynamics, and this one is stochastic: choose "
            f"{_suited(noise)}."
        )
    if noise.noise_type not in method.noise_types or not _in_calculus(method, noise):
        raise SolverError(
            f"{name} is a method for {_listed(method.noise_types)} noise in the sense of "
            f"{_listed(method.sde_types)}; this dynamics has {noise.noise_type} noise in the sense "
            f"of {noise.sde_type}: choose {_suited(noise)}."
        )


def _in_calculus(method: Solver, noise: Noise) -> bool:
    """Additive noise is the same in both."""
    return noise.noise_type == "additive" or noise.sde_type in method.sde_types


def _suited(noise: Noise) -> str:
    ito = "'euler_maruyama'"
    if noise.noise_type != "general":
        ito += " or 'milstein'"
    return ito if noise.sde_type == "ito" else "'stochastic_heun'"


def _listed(words: frozenset[str]) -> str:
    return " or ".join(sorted(words))


def _checked(dynamics: Dynamics) -> VectorField:
    """Let a diffusion of a wrong shape fail, where broadcasting would hide it."""

    def checked(t: Tensor, state: Tensor) -> Tensor:
        found = dynamics.diffusion(t, state)
        _check_shape(dynamics, found, state)
        return answered(found, state)

    return checked


def _check_shape(dynamics: Dynamics, found: Tensor, state: Tensor) -> None:
    if dynamics.noise_type == "diagonal":
        right, wanted = found.shape == state.shape, "the shape of the states"
    else:
        right = found.ndim == state.ndim + 1 and found.shape[:-1] == state.shape
        wanted = "the shape of the states and one axis more, for the noise"
        if dynamics.noise_type == "scalar":
            right, wanted = right and found.shape[-1] == 1, wanted + ", of length 1"
    if not right:
        raise SolverError(
            f"The diffusion of {type(dynamics).__name__} has the shape {tuple(found.shape)} for "
            f"states of the shape {tuple(state.shape)}: {dynamics.noise_type} noise has {wanted}."
        )


def _keys(seed: int | Tensor | torch.Generator, y0: Tensor) -> Tensor:
    """Key of every row, (batch,)."""
    if isinstance(seed, Tensor):
        if seed.dtype != torch.int64 or seed.shape != y0.shape[:1]:
            raise SolverError(
                f"seed has the shape {tuple(seed.shape)} and dtype {seed.dtype}: give int64 of "
                f"shape (batch,) with the batch of y0, {len(y0)}."
            )
        return seed.to(y0.device)
    if isinstance(seed, torch.Generator):
        drawn = torch.randint(2**62, (1,), generator=seed, device=seed.device)
        return _spread(int(drawn), y0)
    others = ", a torch.Generator, or a key of int64 for every row"
    return _spread(within_64_bits(whole_seed(seed, others)), y0)


def whole_seed(seed: object, others: str = "") -> int:
    """The seed as an int, if it is one of any library's.

    Raises
    ------
    SolverError
        If it is none; it says that an int is to be given, or what else.
    """
    try:
        return int(operator.index(seed))  # type: ignore[arg-type]  # which it says if it is not
    except TypeError:
        raise SolverError(
            f"seed={seed!r} is of the type {type(seed).__name__}: give an int{others}."
        ) from None


def within_64_bits(seed: int) -> int:
    """The seed, unless others would stand for the same bits.

    Raises
    ------
    SolverError
        If it has more bits.
    """
    if not -(2**63) <= seed < 2**64:
        raise SolverError(f"seed={seed} has more than 64 bits: give an int from 0 to 2**64 - 1.")
    return seed


def _spread(seed: int, y0: Tensor) -> Tensor:
    """Keys of unrelated bits from one seed and the rows' positions."""
    position = torch.arange(len(y0), device=y0.device)
    words = [seed >> shift & 0xFFFFFFFF for shift in (0, 32)]
    key = torch.tensor(words, device=y0.device)[:, None]
    zero = torch.zeros_like(position)
    mixed = philox(key, torch.stack([position, zero, zero, zero + 2]))
    return mixed[0] << 32 | mixed[1]
