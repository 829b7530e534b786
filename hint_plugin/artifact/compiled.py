"""`model.hint.pt2`: the edge contract compiled by AOTInductor, for one kind of processor and one torch.

It computes what the artifact computes, energies and their gradient, faster; it has no second derivatives. A
``.pt2`` holds machine code, which runs when it is loaded and cannot be checked: it is loaded only where the
user says that it is trusted.
"""

from __future__ import annotations

import contextlib
import logging
import os
import platform
import re
import shutil
import tempfile
import warnings
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from hint_plugin.artifact.contract import EdgeContract
from hint_plugin.artifact.metadata import ENTRY, Metadata, content_hash
from hint_plugin.core.devices import DTYPES
from hint_plugin.data.file_io import replacing
from hint_plugin.errors import DataError, MissingDependencyError, OptionsError

AGAIN = "export the checkpoint again with --aoti"

#: Instruction sets, among what Linux says of an x86 processor; on others all that it says.
X86 = re.compile(r"^(s?sse|avx|fma|f16c|bmi|abm|movbe|popcnt|adx|aes|vaes|pclmul|vpcl|gfni|sha|amx)")


def this_machine() -> dict[str, str]:
    """What a compiled file is for: torch's version, the processor's family and its instruction sets."""
    return {"torch": _release(torch.__version__), "machine": platform.machine(), "cpu": " ".join(_flags())}


def write_compiled(
    edges: torch.nn.Module, metadata: Metadata, path: Path, verify: Callable[[Path], dict[str, Any]]
) -> Metadata:
    """Compiles the contract and writes it, as `hint_plugin.artifact.scripted.write_artifact` does.

    Args:
        edges: the model by its edges, not scripted, see `EdgeContract`.
        metadata: of the artifact.
        path: of the compiled file.
        verify: what goes into the metadata as `verification`; it raises if the file must not be kept.

    Raises:
        MissingDependencyError: no C++ compiler. OptionsError: no temporary folder.
        DataError: AOTInductor cannot compile this model.
    """
    if shutil.which(os.environ.get("CXX", "g++")) is None:
        raise MissingDependencyError("no C++ compiler for AOTInductor: apt-get install g++ (Debian, Ubuntu)")
    metadata = replace(metadata, compiled={"device": "cpu", **this_machine()})
    check_temporary_folder()
    with tempfile.TemporaryDirectory() as folder, replacing(path) as temporary:
        bare = Path(folder) / "model.pt2"
        try:
            with _quiet():
                _compile(edges, metadata, bare)
        except Exception as error:  # whatever make_fx, torch.export, inductor or the compiler raise
            raise DataError(
                f"torch {torch.__version__} cannot compile this {metadata.architecture} model: "
                f"{_why(error)}. The artifact without --aoti is not affected"
            ) from error
        metadata = replace(metadata, content=content_hash(bare))
        first = Path(folder) / "first.pt2"  # loaded by that name only
        _with_metadata(bare, first, metadata)
        metadata = replace(metadata, verification=verify(first))
        _with_metadata(bare, temporary, metadata)
    return metadata


def exported(edges: torch.nn.Module, metadata: Metadata) -> Any:
    """The edge contract as a `torch.export.ExportedProgram` for any numbers of atoms and edges above one.

    The program holds the energies and their gradient, and `torch.export.save` writes it to a file. It is what
    AOTInductor compiles, and the second form that an artifact may get (docs/architecture.md).

    Args:
        edges: the model by its edges, not scripted, see `EdgeContract`.
        metadata: of the artifact.
    """
    from torch.fx.experimental.proxy_tensor import make_fx

    # sizes that no dimension of the model has, for nothing to be taken for the number of atoms or edges
    atoms, pairs = 29, 31
    rng = torch.Generator().manual_seed(0)
    dtype = DTYPES[metadata.dtype]
    vectors = torch.nn.functional.normalize(torch.randn(pairs, 3, generator=rng, dtype=dtype), dim=-1)
    example = (
        0.5 * metadata.cutoff * vectors,
        torch.stack([torch.arange(pairs) % atoms, (torch.arange(pairs) + 1) % atoms]),
        torch.arange(atoms) % len(metadata.species),
        torch.ones(atoms, dtype=dtype),
    )
    contract = EdgeContract(edges.eval().requires_grad_(False), {})

    def call(r: Tensor, index: Tensor, species: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        found: tuple[Tensor, Tensor] = contract(r, index, species, mask)
        return found

    traced = make_fx(call, tracing_mode="symbolic", _allow_non_fake_inputs=True)(*example)
    n, e = torch.export.Dim("atoms", min=2), torch.export.Dim("edges", min=2)
    shapes = ({0: e}, {1: e}, {0: n}, {0: n})
    return torch.export.export(traced, example, dynamic_shapes=shapes, strict=False)


def _compile(edges: torch.nn.Module, metadata: Metadata, path: Path) -> None:
    torch._inductor.aoti_compile_and_package(
        exported(edges, metadata),
        package_path=str(path),
        # threads as the caller has them, not as they are now
        inductor_configs={"aot_inductor.metadata": metadata.facts(), "cpp.dynamic_threads": True},
    )


def _with_metadata(bare: Path, path: Path, metadata: Metadata) -> None:
    """A copy of the package with the metadata beside the code."""
    shutil.copyfile(bare, path)
    with zipfile.ZipFile(path, "a") as archive:
        root = archive.namelist()[0].partition("/")[0]
        archive.writestr(f"{root}/extra/{ENTRY}", metadata.to_json())


class CompiledContract:
    """A compiled file at work; called as `EdgeContract` is.

    Compiled code knows no sizes below two: where there are fewer atoms or edges, two atoms are added that
    count for nothing, and two edges between them that are longer than the cutoff.

    Args:
        path: of the file.
        metadata: of the file, whose content has been checked.
        device: of torch; it must be what the file was compiled for.
        dtype: None, or the file's own.

    Raises:
        OptionsError: another device or dtype, or no temporary folder.
        DataError: made for another torch or processor, or it cannot be loaded.
    """

    def __init__(self, path: Path, metadata: Metadata, device: torch.device, dtype: str | None) -> None:
        if dtype not in (None, metadata.dtype):
            raise OptionsError(f"{path} is compiled for {metadata.dtype}; wanted {dtype}: {AGAIN} --dtype")
        if device.type != metadata.compiled["device"]:
            raise OptionsError(f"{path} is compiled for {metadata.compiled['device']}; wanted {device.type}")
        wrong = _differs(metadata.compiled)
        if wrong:
            raise DataError(f"{path} is compiled for {wrong}; {AGAIN} on this machine")
        check_temporary_folder()
        try:
            with _quiet():
                self._run = torch._inductor.aoti_load_package(str(path))
            facts = self._run.get_metadata()
        except Exception as error:  # of torch's C++, which unpacks the file and loads a library
            raise DataError(
                f"{path} cannot be loaded by torch {torch.__version__} ({_why(error)})"
            ) from error
        if any(facts.get(name) != value for name, value in metadata.facts().items()):
            raise DataError(f"{path}: model and metadata disagree; export it again")
        self._far = 2 * metadata.cutoff

    def __call__(
        self, vectors: Tensor, edge_index: Tensor, species: Tensor, mask: Tensor
    ) -> tuple[Tensor, Tensor]:
        """As `EdgeContract.forward`."""
        n, edges = len(species), len(vectors)
        if n < 2 or edges < 2:
            far = vectors.new_tensor([[self._far, 0, 0], [-self._far, 0, 0]])
            vectors = torch.cat([vectors, far])
            edge_index = torch.cat([edge_index, edge_index.new_tensor([[n, n + 1], [n + 1, n]])], dim=1)
            species = torch.cat([species, species.new_zeros(2)])
            mask = torch.cat([mask, mask.new_zeros(2)])
        energies, gradient = self._run(vectors, edge_index, species, mask)
        return energies[:n], gradient[:edges]

    def energies(self, *_: Any) -> Tensor:
        """Raises OptionsError: there is no graph."""
        raise OptionsError(
            "a compiled model (.pt2) has no second derivatives: use the .hint.pt beside it for Hessians"
        )


def check_temporary_folder() -> None:
    """Raises OptionsError if there is no folder where torch can unpack a compiled file."""
    names = ("TMPDIR", "TMP", "TEMP", "TEMPDIR")  # torch takes the first that is set
    found = next((name for name in names if os.environ.get(name)), "")
    folder = os.environ.get(found, "/tmp")
    if not os.path.isdir(folder) or not os.access(folder, os.W_OK | os.X_OK):
        raise OptionsError(
            f"a compiled model needs a temporary folder, and {found + '=' if found else ''}{folder} is not "
            "there or cannot be written: set TMPDIR to one that can"
        )


def _why(error: Exception) -> str:
    """The first line of what torch says."""
    return next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)


def _differs(compiled: dict[str, str]) -> str:
    """What the file is for and this machine is not, or nothing."""
    here = this_machine()
    if compiled["torch"] != here["torch"]:
        return f"torch {compiled['torch']}, and this is {here['torch']}"
    if compiled["machine"] != here["machine"]:
        return f"{compiled['machine']}, and this is {here['machine']}"
    lacking = [flag for flag in compiled["cpu"].split() if flag not in here["cpu"].split()]
    return f"a processor with {', '.join(lacking)}, which this one lacks" if lacking else ""


def _flags() -> list[str]:
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return []
    found = re.search(r"^(flags|Features)\s*:(.*)$", text, re.MULTILINE)
    words = found.group(2).split() if found else []
    return sorted(w for w in words if found and (found.group(1) == "Features" or X86.match(w)))


def _release(version: str) -> str:
    return version.partition("+")[0]


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without torch's notes to its developers."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)
