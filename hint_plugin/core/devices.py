"""Where and how precisely a model runs."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch

from hint_plugin.errors import OptionsError

DTYPES = {"float32": torch.float32, "float64": torch.float64}


def usable_device(device: str | torch.device) -> torch.device:
    """The device, if a tensor can be made there; OptionsError otherwise."""
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise OptionsError(f"device {str(device)!r} cannot be used ({str(error).splitlines()[0]})") from error
    return torch.device(device)


#: Kinds of devices without double precision.
SINGLE_PRECISION = ("mps",)


def widest_float(device: str | torch.device) -> torch.dtype:
    """float64, or float32 on a device that has no float64."""
    return torch.float32 if torch.device(device).type in SINGLE_PRECISION else torch.float64


@contextlib.contextmanager
def default_dtype(dtype: torch.dtype) -> Iterator[None]:
    """torch's default dtype within; MACE and e3nn make their tensors in it."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)
