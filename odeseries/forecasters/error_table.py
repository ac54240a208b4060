"""Quantiles of past errors, by the level of the guess and the age of the last value."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from odeseries.metrics import LEVELS

__all__ = ["ErrorTable"]

TAILS = (0.001, 0.005)
TABLE = torch.tensor([*TAILS, *LEVELS, *(1 - p for p in reversed(TAILS))], dtype=torch.float64)
PER_BIN = 80


class ErrorTable(nn.Module):
    """Quantiles of the errors of guesses, in bins of equally many errors.

    Each channel's errors are parted by the guess, and each part by the age; quantiles are
    interpolated between the medians of the bins. Few errors make few bins. With several bins of the
    guess, forecasts near a bound of the values are not spread beyond it, and guesses that are too
    low or too high at some level are made up for.

    Parameters
    ----------
    n_channels : int
        Channels; until their errors are taken they are standard normal.
    n_guesses, n_ages : int
        Bins of the guess, and of the age in each of them, at most.

    References
    ----------
    Hyndman, R. J., Athanasopoulos, G. (2021). Forecasting: Principles and Practice. Third edition.
    Section 5.5 (distributions from past errors).
    """

    guesses: Tensor
    ages: Tensor
    table: Tensor

    def __init__(self, n_channels: int, n_guesses: int = 1, n_ages: int = 6) -> None:
        super().__init__()
        shape = (n_channels, n_guesses, n_ages)
        self.register_buffer("guesses", torch.zeros(shape[:2], dtype=torch.float64))
        self.register_buffer("ages", torch.zeros(shape, dtype=torch.float64))
        self.register_buffer("table", torch.special.ndtri(TABLE).expand(*shape, -1).clone())

    def take(self, channel: int, guess: Tensor, age: Tensor, error: Tensor) -> None:
        """Take the errors (n,) of a channel, with the guesses and the ages that they belong to."""
        if not len(error):
            return
        n_guesses, n_ages = self.ages.shape[1:]
        parts = _parts(guess, min(n_guesses, int((len(error) / PER_BIN) ** 0.5)))
        levels = TABLE.to(error.device)
        for i in range(n_guesses):
            part = parts[min(i, len(parts) - 1)]
            self.guesses[channel, i] = guess[part].median()
            bins = _parts(age[part], min(n_ages, len(part) // PER_BIN))
            for j in range(n_ages):
                chosen = part[bins[min(j, len(bins) - 1)]]
                self.table[channel, i, j] = torch.quantile(error[chosen], levels)
                self.ages[channel, i, j] = age[chosen].median()

    def quantiles(self, guess: Tensor, age: Tensor, levels: Tensor) -> Tensor:
        """Quantiles of the errors at levels in (0, 1), beyond the outermost ones constant.

        Parameters
        ----------
        guess, age : Tensor of float64, shape (batch, n_queries, channels)
        levels : Tensor of shape (n_levels,)

        Returns
        -------
        Tensor of float64, shape (batch, n_queries, channels, n_levels)
        """
        channels = range(len(self.ages))
        rows = torch.stack([self._rows(c, guess[..., c], age[..., c]) for c in channels])
        known = TABLE.to(levels.device).expand(len(levels), -1)
        low, high, share = _place(known, levels.double())
        found = torch.lerp(rows[..., low], rows[..., high], share)
        return found.movedim(0, -2)

    def _rows(self, channel: int, guess: Tensor, age: Tensor) -> Tensor:
        """Interpolated rows of the table of a channel, (batch, n_queries, n_kept)."""
        if self.guesses.shape[1] == 1:
            return self._of_bin(channel, torch.zeros_like(guess, dtype=torch.long), age)
        low, high, share = _place(self.guesses[channel].expand(*guess.shape, -1), guess)
        before, after = (self._of_bin(channel, part, age) for part in (low, high))
        return torch.lerp(before, after, share[..., None])

    def _of_bin(self, channel: int, part: Tensor, age: Tensor) -> Tensor:
        """Rows of bins of the guess, interpolated in the age."""
        low, high, share = _place(self.ages[channel][part], age)
        table = self.table[channel]
        return torch.lerp(table[part, low], table[part, high], share[..., None])


def _parts(by: Tensor, n: int) -> list[Tensor]:
    """Positions in parts of equal size, by values (n_values,); in each as they came."""
    ordered = by.argsort(stable=True)
    return [part.sort().values for part in ordered.tensor_split(max(n, 1))]


def _place(places: Tensor, at: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Which of ordered places (..., n) lie on both sides, and the share of the way between them."""
    last = places.shape[-1] - 1
    found = torch.searchsorted(places.contiguous(), at[..., None].contiguous())
    high = found.clamp(min(1, last), last)
    low = (high - 1).clamp(min=0)
    before, after = places.gather(-1, low), places.gather(-1, high)
    share = (at[..., None] - before) / (after - before).clamp(min=1e-9)
    return low[..., 0], high[..., 0], share[..., 0].clamp(0, 1)
