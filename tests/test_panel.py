"""The ragged panel: its pieces, and what select and before keep."""

from __future__ import annotations

import numpy as np
import pytest

from odeseries.panel import Panel


@pytest.fixture
def panel() -> Panel:
    """Three series of lengths 3, 1 and 2 with one channel."""
    return Panel(
        ids=("a", "b", "c"),
        channels=("y",),
        offsets=np.array([0, 3, 4, 6]),
        origins=np.array([0.0, 10.0, 20.0]),
        times=np.array([0.0, 1.0, 5.0, 0.0, 0.0, 2.0]),
        values=np.arange(6.0)[:, None],
    )


def test_sizes_and_series(panel: Panel) -> None:
    """Lengths, spans and the rows of one series."""
    assert len(panel) == 3
    assert panel.n_rows == 6
    assert panel.spans().tolist() == [5.0, 0.0, 2.0]
    times, values = panel.series(2)
    assert times.tolist() == [0.0, 2.0]
    assert values.tolist() == [[4.0], [5.0]]
    assert [len(t) for t, _ in panel] == [3, 1, 2]


def test_select_keeps_the_order_given(panel: Panel) -> None:
    """Chosen series come in the chosen order, with their own origin and rows."""
    chosen = panel.select([2, 0])
    assert chosen.ids == ("c", "a")
    assert chosen.origins.tolist() == [20.0, 0.0]
    assert chosen.offsets.tolist() == [0, 2, 5]
    assert chosen.times.tolist() == [0.0, 2.0, 0.0, 1.0, 5.0]
    assert chosen.values.ravel().tolist() == [4.0, 5.0, 0.0, 1.0, 2.0]


def test_select_may_repeat_or_take_nothing(panel: Panel) -> None:
    """A series may be taken twice, and an empty choice is an empty panel."""
    assert panel.select([1, 1]).values.ravel().tolist() == [3.0, 3.0]
    nothing = panel.select([])
    assert (len(nothing), nothing.n_rows, nothing.offsets.tolist()) == (0, 0, [0])
    assert nothing.values.shape == (0, 1)


def test_before_cuts_each_series_at_its_own_limit(panel: Panel) -> None:
    """The limit itself is kept; a series without rows stays in the panel."""
    cut = panel.before(np.array([1.0, -1.0, 9.0]))
    assert cut.ids == panel.ids
    assert cut.offsets.tolist() == [0, 2, 2, 4]
    assert cut.times.tolist() == [0.0, 1.0, 0.0, 2.0]
    assert cut.values.ravel().tolist() == [0.0, 1.0, 4.0, 5.0]
    assert cut.origins.tolist() == panel.origins.tolist()
    assert cut.spans().tolist() == [1.0, 0.0, 2.0]
