"""A device whose numbers are on the CPU and that is as strict as an accelerator, for machines without one.

`use()` makes PyTorch know a device called ``pretend``, once a process. Its tensors are a subclass with data
on the CPU. Like CUDA's, they refuse to be computed with together with tensors of the CPU (numbers and indices
may be there), and have no `numpy()`. Beyond what a real device does, each time that the host waits for the
device is written down in `STOPS`, with the line of code that asked.

What is not shown: kernels, streams, memory, and TorchScript that looks into a tensor's storage.
"""

from __future__ import annotations

import traceback
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils import backend_registration
from torch.utils._pytree import tree_map

NAME = "pretend"
aten = torch.ops.aten

#: Operations whose result, or the size of it, the host has to know.
WAITS = {
    aten._local_scalar_dense.default,
    aten.nonzero.default,
    aten.equal.default,
    aten.masked_select.default,
    aten._unique2.default,
    aten.unique_dim.default,
    aten.bincount.default,
    aten.is_nonzero.default,
}
INDEXED = {
    aten.index.Tensor,
    aten.index_put.default,
    aten.index_put_.default,
    aten._index_put_impl_.default,
    aten._unsafe_index.Tensor,
}


@dataclass(frozen=True)
class Stop:
    """The host has waited for the device.

    Attributes:
        what: the operation; ``to the device`` where the host has waited for a copy of its own to arrive.
        where: the file and the line of HINT's or the trainer's code, whichever is nearer.
    """

    what: str
    where: str

    @property
    def is_own(self) -> bool:
        """Whether HINT has asked."""
        return "hint_plugin" in self.where


STOPS: list[Stop] = []


def _stop(what: str) -> None:
    near = [f for f in traceback.extract_stack() if any(p in f.filename for p in CODE)]
    STOPS.append(Stop(what, f"{near[-1].filename}:{near[-1].lineno} {near[-1].line}" if near else ""))


#: Folders whose code is named in `Stop.where`.
CODE = ("/hint_plugin/", "/mace/", "/nequip/", "/allegro/")


class Pretended(torch.Tensor):
    """A tensor of the device; ``raw`` is its data on the CPU."""

    raw: torch.Tensor

    @staticmethod
    def __new__(cls, raw: torch.Tensor) -> Pretended:
        """With sizes and strides of ``raw``."""
        self = torch.Tensor._make_wrapper_subclass(
            cls,
            raw.size(),
            strides=raw.stride(),
            storage_offset=raw.storage_offset(),
            dtype=raw.dtype,
            device=torch.device(NAME, 0),
        )
        self.raw = raw
        return self

    def __repr__(self) -> str:
        return f"Pretended({self.raw})"

    def tolist(self) -> Any:
        """As a tensor's; the host waits."""
        _stop("tolist")
        return self.detach().raw.tolist()

    def numpy(self, *_: Any, **__: Any) -> Any:
        """As CUDA's tensors."""
        raise TypeError(f"can't convert {self.device} device type tensor to numpy; use Tensor.cpu()")

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Every operation that has such a tensor among its arguments."""
        return _dispatch(func, args, kwargs or {})


def _dispatch(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    if func is aten._to_copy.default:
        return _copied(args[0], kwargs)
    if func is aten.copy_.default:
        return _copied_into(args[0], args[1], len(args) > 2 and args[2])
    tensors = _tensors((args, kwargs))
    free = _tensors(args[1]) if func in INDEXED else []  # an index may be on the host, and is copied
    for tensor in tensors:
        if isinstance(tensor, Pretended) or tensor.ndim == 0:
            continue
        if any(tensor is index for index in free):
            _stop("to the device")
            continue
        raise RuntimeError(
            f"{func}: Expected all tensors to be on the same device, but found at least two devices, "
            f"{NAME}:0 and cpu (of shape {tuple(tensor.shape)})"
        )
    if func in WAITS or (func in INDEXED and any(i.dtype in (torch.bool, torch.uint8) for i in free)):
        _stop(str(func))
    if func is aten.repeat_interleave.Tensor and kwargs.get("output_size") is None:
        _stop(str(func))
    found = func(*tree_map(_raw, args), **tree_map(_raw, kwargs))
    for tensor in tensors:
        if isinstance(tensor, Pretended) and tensor.raw.shape != tensor.shape:
            raise NotImplementedError(f"{func} changes the size of a pretended tensor")
    returned = func._schema.returns
    if len(returned) == 1 and returned[0].alias_info is not None and returned[0].alias_info.is_write:
        return kwargs.get("out", args[0])
    return tree_map(lambda x: Pretended(x) if isinstance(x, torch.Tensor) else x, found)


def _copied(x: torch.Tensor, kwargs: dict[str, Any]) -> torch.Tensor:
    device = kwargs.get("device")
    to = x.device.type if device is None else torch.device(device).type
    options = {k: v for k, v in kwargs.items() if k not in ("device", "non_blocking", "pin_memory")}
    found = aten._to_copy.default(_raw(x), **options)
    _count_copy(x.device.type, to, kwargs.get("non_blocking"))
    return Pretended(found.clone() if found is _raw(x) else found) if to == NAME else found


def _copied_into(to: torch.Tensor, x: torch.Tensor, non_blocking: Any) -> torch.Tensor:
    _count_copy(x.device.type, to.device.type, non_blocking)
    _raw(to).copy_(_raw(x))
    return to


def _count_copy(source: str, to: str, non_blocking: Any) -> None:
    if source == NAME and to == "cpu":
        _stop("to the host")
    elif source == "cpu" and to == NAME and not non_blocking:
        _stop("to the device")


def _tensors(values: Any) -> list[torch.Tensor]:
    if isinstance(values, torch.Tensor):
        return [values]
    if isinstance(values, dict):
        values = list(values.values())
    return [x for value in values for x in _tensors(value)] if isinstance(values, (list, tuple)) else []


def _raw(value: Any) -> Any:
    if isinstance(value, Pretended):
        return value.raw
    return torch.device("cpu") if isinstance(value, torch.device) else value


class _Module:
    """What `torch.pretend` is."""

    def is_available(self) -> bool:
        return True

    is_initialized = is_available

    def current_device(self) -> int:
        return 0

    def device_count(self) -> int:
        return 1

    def get_amp_supported_dtype(self) -> list[torch.dtype]:
        return []

    def _is_in_bad_fork(self) -> bool:
        return False

    def _lazy_init(self) -> None: ...

    def manual_seed_all(self, seed: int) -> None: ...

    def synchronize(self, device: Any = None) -> None: ...


_library: torch.library.Library | None = None


def use() -> torch.device:
    """The device; PyTorch is told of it at the first call, and knows it to the end of the process."""
    global _library
    if _library is None:
        backend_registration._setup_privateuseone_for_python_backend(NAME, backend_module=_Module())
        _library = torch.library.Library("aten", "IMPL")
        for name, function in _FACTORIES.items():
            _library.impl(name, function, "PrivateUse1")
    return torch.device(NAME, 0)


def _empty(size: Any, *, dtype: Any = None, **_: Any) -> torch.Tensor:
    return Pretended(torch.empty(size, dtype=dtype))


def _empty_strided(size: Any, stride: Any, *, dtype: Any = None, **_: Any) -> torch.Tensor:
    return Pretended(torch.empty_strided(size, stride, dtype=dtype))


def _arange(*ends: Any, dtype: Any = None, **_: Any) -> torch.Tensor:
    return Pretended(torch.arange(*ends, dtype=dtype))


def _copy_from(x: torch.Tensor, to: torch.Tensor, non_blocking: bool = False) -> torch.Tensor:
    return _copied_into(to, x, non_blocking)


_FACTORIES = {
    "empty.memory_format": _empty,
    "empty_strided": _empty_strided,
    "arange": _arange,
    "arange.start": _arange,
    "arange.start_step": _arange,
    "_copy_from": _copy_from,
}
