"""Laws of the optimiser: the weights are torch's, and its state goes on where it was left."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from torch import nn

from odeseries.adamw import AdamW

DECAY = 0.1
MATRIX, VECTOR, SCALAR, RARE, NEVER, PRECISE = range(6)


def parameters() -> list[nn.Parameter]:
    """Of several shapes and two precisions."""
    generator = torch.Generator().manual_seed(0)
    shapes = [(4, 3), (5,), (), (2, 3), (3, 3)]
    drawn = [torch.randn(shape, generator=generator) for shape in shapes]
    precise = torch.randn(3, 2, dtype=torch.float64, generator=generator)
    return [nn.Parameter(x) for x in (*drawn, precise)]


def peer(learned: list[nn.Parameter], decay: float) -> torch.optim.AdamW:
    """What is to be equalled; one kernel takes no complex numbers."""
    of_decay = [
        {"params": [p for p in learned if (p.ndim > 1) == decays], "weight_decay": share}
        for decays, share in ((True, decay), (False, 0.0))
    ]
    real = all(p.is_floating_point() for p in learned)
    return torch.optim.AdamW([g for g in of_decay if g["params"]], lr=0.01, fused=real)


def give_gradients(learned: list[nn.Parameter], k: int) -> None:
    """At step k; one parameter has its own at every third step, one never."""
    generator = torch.Generator().manual_seed(k)
    for i, p in enumerate(learned):
        grad = torch.randn(p.shape, generator=generator, dtype=p.dtype)
        p.grad = None if i == NEVER or (i == RARE and k % 3) else grad


def train(learned: list[nn.Parameter], step: Callable[[float], object], ks: range) -> None:
    """Some steps at rates that change."""
    for k in ks:
        give_gradients(learned, k)
        step(0.01 / (1 + k))


def own(learned: list[nn.Parameter], decay: float = DECAY) -> tuple[AdamW, Callable[[float], None]]:
    """The optimiser, and its step at a rate."""
    optimizer = AdamW(learned, 0.01, decay)

    def step(rate: float) -> None:
        optimizer.rate = rate
        optimizer.step()

    return optimizer, step


def trained_by_peer(learned: list[nn.Parameter], decay: float, n_steps: int) -> list[nn.Parameter]:
    """The same by torch."""
    optimizer = peer(learned, decay)

    def step(rate: float) -> None:
        for group in optimizer.param_groups:
            group["lr"] = rate
        optimizer.step()

    train(learned, step, range(n_steps))
    return learned


@pytest.mark.parametrize("decay", [0.0, DECAY])
def test_weights_are_those_of_torch(decay: float) -> None:
    """To the last digit, also where gradients are missing now and then."""
    found = parameters()
    _, step = own(found, decay)
    train(found, step, range(20))
    expected = trained_by_peer(parameters(), decay, 20)
    torch.testing.assert_close(found, expected, rtol=0, atol=0)
    assert not torch.equal(found[MATRIX], parameters()[MATRIX])


def test_complex_weights_are_those_of_torch() -> None:
    """Real and imaginary parts each have their moments."""

    def learned() -> list[nn.Parameter]:
        generator = torch.Generator().manual_seed(0)
        both = (torch.complex64, torch.float32)
        return [nn.Parameter(torch.randn(3, 2, dtype=t, generator=generator)) for t in both]

    found = learned()
    _, step = own(found)
    train(found, step, range(20))
    torch.testing.assert_close(found, trained_by_peer(learned(), DECAY, 20), rtol=1e-5, atol=1e-6)


def test_what_has_no_gradient_is_left_as_it_is() -> None:
    """It does not decay; when a gradient comes, it counts as the next of its own (see above)."""
    found = parameters()
    _, step = own(found)
    train(found, step, range(1))
    before = [p.detach().clone() for p in found]
    train(found, step, range(1, 3))
    assert torch.equal(found[NEVER], parameters()[NEVER])
    assert torch.equal(found[RARE], before[RARE])
    assert not torch.equal(found[MATRIX], before[MATRIX])


@pytest.mark.parametrize("n_before", [0, 4])
def test_a_state_is_gone_on_from(n_before: int) -> None:
    """As if nothing had been; the state itself stays, so that it can be gone on from again."""
    whole = parameters()
    train(whole, own(whole)[1], range(9))
    first = parameters()
    begun, step = own(first)
    train(first, step, range(n_before))
    state = begun.state()
    kept = copy.deepcopy(state)
    second = [nn.Parameter(p.detach().clone()) for p in first]
    resumed, step = own(second)
    resumed.restore(state)
    train(second, step, range(n_before, 9))
    torch.testing.assert_close(second, whole, rtol=0, atol=0)
    torch.testing.assert_close(state, kept, rtol=0, atol=0)
