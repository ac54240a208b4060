"""Random numbers as a function of a key and a counter: nothing is drawn in any order.

What a row of a batch meets at a place of its path depends on the row's key and on the place, so
that neither its companions nor what else is asked for can change it; on every device the same.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

__all__ = ["normals", "philox"]

WORD = 0xFFFFFFFF
MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
INCREMENTS = (0x9E3779B9, 0xBB67AE85)
ROUNDS = 10


def philox(key: Tensor, counter: Tensor) -> Tensor:
    """Philox4x32-10: four random words of 32 bits from a key and a counter.

    Parameters
    ----------
    key : Tensor of int64, shape (2, ...)
        Two words of 32 bits.
    counter : Tensor of int64, shape (4, ...)
        Four words of 32 bits; the trailing axes of both broadcast.

    Returns
    -------
    Tensor of int64, shape (4, ...)

    References
    ----------
    Salmon, J. K., Moraes, M. A., Dror, R. O., Shaw, D. E. (2011). Parallel Random Numbers: As
    Easy as 1, 2, 3. SC. Section 3.3.
    """
    shape = [2, *[1] * (counter.ndim - 1)]
    multiplier, bump = (
        torch.tensor(words, device=counter.device).reshape(shape)
        for words in (MULTIPLIERS, INCREMENTS)
    )
    even, odd = counter[::2], counter[1::2]
    for _ in range(ROUNDS):
        # The product of two words has 64 bits; that the highest is int64's sign does not matter.
        product = even * multiplier
        even = (product >> 32 & WORD).flip(0) ^ odd ^ key
        odd = (product & WORD).flip(0)
        key = key + bump & WORD
    return torch.stack([even, odd], 1).flatten(0, 1)


def normals(seeds: Tensor, place: Tensor, size: int, dtype: torch.dtype) -> Tensor:
    """Standard normal numbers for rows and places.

    Parameters
    ----------
    seeds : Tensor of int64, shape (batch,)
        Key of every row.
    place : Tensor of int64, shape (3, batch or 1, n_places)
        Three words of 32 bits that name a place.
    size : int
        Numbers at a place. A larger size begins with the same ones.
    dtype : torch.dtype
        Of the result.

    Returns
    -------
    Tensor of shape (batch, n_places, size)
        By the method of Box and Muller (1958), from 32 bits each, so that none is beyond 6.7.
    """
    quads = -(-size // 4)
    key = torch.stack([seeds & WORD, seeds >> 32 & WORD])[:, :, None, None]
    index = torch.arange(quads, device=seeds.device)
    shape = (len(seeds), place.shape[2], quads)
    counter = torch.stack([index.expand(shape), *place[..., None].expand(3, *shape)])
    uniform = (philox(key, counter).double() + 0.5) / 2**32
    radius = (-2 * torch.log(uniform[:2])).sqrt()
    angle = 2 * math.pi * uniform[2:]
    four = torch.cat([radius * torch.cos(angle), radius * torch.sin(angle)])
    return four.movedim(0, -1).flatten(-2)[..., :size].to(dtype)
