"""Where a network decodes: at all queries of all channels, or only where there is a truth."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor

__all__ = ["Everywhere", "Observed", "Places"]


class Places(ABC):
    """Pairs of a query and a channel of a batch; in what follows, n is any number of features."""

    @abstractmethod
    def of_query(self, values: Tensor) -> Tensor:
        """What is known of queries, (batch, n_queries, *n), at the places."""

    @abstractmethod
    def of_channel(self, values: Tensor) -> Tensor:
        """What is known of the channels of windows, (batch, channels, *n), at the places."""

    @abstractmethod
    def of_both(self, values: Tensor) -> Tensor:
        """What is known of queries and channels, (batch, n_queries, channels, *n), there."""


class Everywhere(Places):
    """All places; what is there has shape (batch, n_queries, channels, *n) or broadcasts to it."""

    def of_query(self, values: Tensor) -> Tensor:
        """The same for every channel."""
        return values[:, :, None]

    def of_channel(self, values: Tensor) -> Tensor:
        """The same for every query."""
        return values[:, None]

    def of_both(self, values: Tensor) -> Tensor:
        """The values as they are."""
        return values


class Observed(Places):
    """The places with an observed target; what is there has shape (n_places, *n).

    Most channels of a panel with many are not observed at most times, and what is decoded there
    has no part in a loss.

    Parameters
    ----------
    observed : Tensor of shape (batch, n_queries, channels)
        Positive where there is a target.
    """

    def __init__(self, observed: Tensor) -> None:
        n_windows, n_queries, n_channels = observed.shape
        self._place = observed.flatten().nonzero()[:, 0]
        self._query = self._place // n_channels
        self._window = self._query // n_queries
        self._channel = self._window * n_channels + self._place % n_channels
        self._n_windows = n_windows

    def of_query(self, values: Tensor) -> Tensor:
        """Those of the query of every place."""
        return values.flatten(0, 1).index_select(0, self._query)

    def of_channel(self, values: Tensor) -> Tensor:
        """Those of the window and channel of every place."""
        return values.flatten(0, 1).index_select(0, self._channel)

    def of_both(self, values: Tensor) -> Tensor:
        """Those of every place."""
        return values.flatten(0, 2).index_select(0, self._place)

    def means(self, values: Tensor) -> Tensor:
        """Mean of (n_places,) over the places of every window, (batch,); 0 where it has none."""
        total, count = (
            values.new_zeros(self._n_windows).index_add(0, self._window, each)
            for each in (values, values.new_ones(len(values)))
        )
        return total / count.clamp(min=1)
