"""Where tensors live: the processor or a GPU, by name."""

from __future__ import annotations

import torch

__all__ = ["find_device", "find_saved_device", "is_usable"]


def find_device(name: str) -> torch.device:
    """The device of that name; "auto" takes a GPU where there is one.

    Raises
    ------
    ValueError
        If the name is unknown, or of a GPU that is not here.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ValueError(f"device={name!r} is unknown: use 'auto', 'cpu' or 'cuda'.") from error
    if not is_usable(device):
        raise ValueError(f"device={name!r}, but no such GPU is usable here: use 'auto' or 'cpu'.")
    return device


def is_usable(device: torch.device) -> bool:
    """Whether a device is here."""
    return device.type != "cuda" or (device.index or 0) < torch.cuda.device_count()


def find_saved_device(saved: str, asked: str | None) -> torch.device:
    """The device asked for; otherwise the one that a model was saved with, if it is here."""
    if asked is None and not is_usable(torch.device("cpu" if saved == "auto" else saved)):
        return find_device("auto")
    return find_device(saved if asked is None else asked)
