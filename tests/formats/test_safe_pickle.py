"""A pickle that asks for more than arrays is refused before anything runs."""

import os
import pickle
import pickletools
from pathlib import Path

import numpy as np
import pytest

from hint_plugin.data import read_frames
from hint_plugin.data.formats.safe_pickle import RefusedError, load_data, load_number
from hint_plugin.errors import DataError


class Runs:
    """Pickles as a call."""

    def __init__(self, function, *arguments) -> None:
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("protocol", range(6))
def test_calls_are_refused_and_do_not_run(tmp_path: Path, protocol: int) -> None:
    victim = tmp_path / "made"
    for function, arguments in (
        (os.mkdir, (str(victim),)),
        (os.system, (f"touch {victim}",)),
        (eval, (f"open({str(victim)!r}, 'w')",)),
        (getattr, ("os", "upper")),
    ):
        with pytest.raises(RefusedError, match="nothing was run"):
            load_data(pickle.dumps({"pos": Runs(function, *arguments)}, protocol=protocol))
        with pytest.raises(RefusedError):
            load_number(pickle.dumps(Runs(function, *arguments), protocol=protocol))
    assert not victim.exists()


def test_a_storage_cannot_hide_a_call(tmp_path: Path) -> None:
    """torch keeps storages as pickles inside the pickle."""
    import torch

    victim = tmp_path / "made"
    inner = pickle.dumps(Runs(os.mkdir, str(victim)))
    hidden = {"pos": Runs(torch.storage._load_from_bytes, inner)}
    with pytest.raises(RefusedError, match=r"mkdir.*nothing was run"):
        load_data(pickle.dumps(hidden))
    assert not victim.exists()


def test_functions_on_the_list_cannot_be_changed() -> None:
    """BUILD with a state for a function would set attributes of it."""
    start = b"\x80\x04\x8c\x0ctorch._utils\x8c\x12_rebuild_tensor_v2\x93"
    state = b"N}\x8c\x0c__defaults__)s\x86b"
    assert list(pickletools.genops(start + state + b"."))  # it is a well-formed pickle
    with pytest.raises(RefusedError, match="changes a function"):
        load_data(start + state + b".")


def test_arrays_and_tensors_come_back() -> None:
    import torch

    base = torch.arange(24, dtype=torch.float64).reshape(4, 6)
    sent = {
        "plain": base,
        "transposed": base.T,
        "part": base[1:3, ::2],
        "scalar": torch.tensor(3.5),
        "none": torch.zeros(0, 3),
        "whole": torch.tensor([1, 2], dtype=torch.int32),
        "truth": torch.tensor([True, False]),
        "parameter": torch.nn.Parameter(base),
        "array": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        "big-endian": np.arange(3, dtype=">f4"),
        "number": np.float32(2.5),
        "text": "rxn7",
        "list": [1, 2],
    }
    for protocol in (2, 3, 4, 5):
        found = load_data(pickle.dumps(sent, protocol=protocol))
        assert set(found) == set(sent)
        for name, value in sent.items():
            wanted = value.detach().numpy() if isinstance(value, torch.Tensor) else value
            np.testing.assert_array_equal(found[name], wanted)


def test_arrays_of_objects_are_refused() -> None:
    sent = {"pos": np.array([{"a": 1}, None], dtype=object)}
    with pytest.raises(pickle.UnpicklingError):
        load_data(pickle.dumps(sent))


def test_a_tensor_cannot_reach_beyond_its_storage() -> None:
    import torch

    class Beyond:
        def __reduce__(self):
            storage = torch.storage.TypedStorage(4, dtype=torch.float32, _internal=True)
            return torch._utils._rebuild_tensor_v2, (storage, 0, (100,), (1,), False, {})

    with pytest.raises(pickle.UnpicklingError, match=r"shape \(100,\) in a storage of 4"):
        load_data(pickle.dumps({"pos": Beyond()}))


def test_a_file_with_such_a_sample_is_refused_by_name_and_frame(tmp_path: Path) -> None:
    lmdb = pytest.importorskip("lmdb")
    path, victim = tmp_path / "bad.lmdb", tmp_path / "made"
    environment = lmdb.open(str(path), subdir=False, lock=False)
    with environment.begin(write=True) as transaction:
        transaction.put(b"0", pickle.dumps({"pos": Runs(os.mkdir, str(victim))}))
        transaction.put(b"length", pickle.dumps(1))
    environment.close()
    with pytest.raises(DataError, match=r"bad.lmdb, frame 0: refused.*mkdir"):
        read_frames(path)
    assert not victim.exists()


def test_without_torch_geometric() -> None:
    """The file was written by torch_geometric; nothing of it is imported to read it."""
    import sys

    pytest.importorskip("lmdb")
    read_frames(Path(__file__).parents[1] / "data" / "formats" / "horm.lmdb")
    assert "torch_geometric" not in sys.modules
