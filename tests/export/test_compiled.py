"""The edge contract compiled by AOTInductor: the same numbers, and no run where it was not made for."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from artifacts import changed, make_checkpoint, structures

from hint_plugin.artifact import compiled as compiling
from hint_plugin.artifact.metadata import read_metadata
from hint_plugin.artifact.scripted import load_artifact
from hint_plugin.errors import DataError, MissingDependencyError, OptionsError
from hint_plugin.export.checkpoint_to_artifact import compiled_path, export
from hint_plugin.potentials.artifact_potential import Potential
from hint_plugin.potentials.hint_calculator import HintCalculator

#: eV/A, to the artifact of the same checkpoint.
FORCES = {"float64": 1e-12, "float32": 5e-5}
NAMES = [
    "alphanet float64",
    *(pytest.param(f"{kind} float32", marks=pytest.mark.long) for kind in ("alphanet", "mace")),
]


@pytest.mark.parametrize("name", NAMES)
class TestNumbers:
    """Against the TorchScript artifact that lies beside it."""

    @pytest.fixture
    def pair(self, models, name) -> tuple[Potential, Potential]:
        path = models[f"{name} compiled"]
        return Potential(path.with_suffix(".pt")), Potential(path, trust=True)

    def test_every_kind_of_structure(self, pair, name):
        """Also fewer than two atoms or edges, sizes that compiled code does not know."""
        wanted, found = pair
        dtype = found.metadata.dtype
        for title, atoms in structures().items():
            (a,), (b,) = wanted.evaluate([atoms]), found.evaluate([atoms])
            assert len(b.energies) == len(atoms), title
            np.testing.assert_allclose(b.energies, a.energies, rtol=1e-12 if dtype == "float64" else 1e-6)
            np.testing.assert_allclose(b.forces, a.forces, atol=FORCES[dtype], err_msg=title)
            np.testing.assert_allclose(b.virial, a.virial, atol=20 * FORCES[dtype], err_msg=title)

    def test_many_at_once_and_squeezed(self, pair, name):
        wanted, found = pair
        frames = list(structures().values())
        frames[0].positions *= 0.4  # within reach of the repulsion
        for a, b in zip(wanted.evaluate(frames), found.evaluate(frames), strict=True):
            scale = 1 + np.abs(a.forces).max()
            np.testing.assert_allclose(b.forces, a.forces, atol=scale * FORCES[found.metadata.dtype])

    def test_threads_are_the_callers(self, pair, name):
        before = torch.get_num_threads()
        frames = [structures()["triclinic"].repeat(2)]
        try:
            results = []
            for threads in (1, 2):
                torch.set_num_threads(threads)
                results.append(pair[1].evaluate(frames)[0].forces)
        finally:
            torch.set_num_threads(before)
        np.testing.assert_allclose(results[0], results[1], atol=FORCES[pair[1].metadata.dtype])

    def test_calculator(self, pair, name):
        atoms = structures()["triclinic"]
        atoms.calc = HintCalculator(pair[1])
        assert atoms.get_stress().shape == (6,)
        with pytest.raises(OptionsError, match=r"no second derivatives: use the .hint.pt beside it"):
            atoms.calc.get_hessian(atoms)


@pytest.mark.parametrize("name", NAMES)
def test_reading_needs_torch_alone(models, name):
    code = f"""
import sys
from ase.build import molecule
from hint_plugin.potentials.artifact_potential import Potential
print(Potential({str(models[f"{name} compiled"])!r}, trust=True).evaluate([molecule("H2O")])[0].energy)
assert not {{"mace", "e3nn"}} & set(sys.modules), sorted(sys.modules)
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr[-2000:]


def altered(path: Path, target: Path, **values: str) -> Path:
    """A copy that says it was compiled for something else."""
    return changed(path, target, compiled=read_metadata(path).compiled | values)


class TestMachine:
    """Files of another machine are not run."""

    @pytest.fixture
    def file(self, models) -> Path:
        return models["alphanet float64 compiled"]

    def test_metadata(self, file):
        metadata = read_metadata(file)
        assert metadata.compiled == {"device": "cpu", **compiling.this_machine()}
        assert metadata.compiled["torch"] == torch.__version__.partition("+")[0]
        assert metadata.verification["forces"] < 1e-4
        assert any(name == "compiled for" for name, _ in metadata.rows())
        assert not read_metadata(file.with_suffix(".pt")).compiled

    @pytest.mark.parametrize(
        ("values", "message"),
        [
            (
                {"torch": "2.1.0"},
                r"is compiled for torch 2.1.0, and this is 2\.\d+\.\d+; export .* again with",
            ),
            ({"machine": "riscv64"}, r"is compiled for riscv64, and this is "),
            ({"cpu": "avx1024 sse2"}, r"is compiled for a processor with avx1024, which this one lacks"),
        ],
    )
    def test_others(self, file, tmp_path, values, message):
        with pytest.raises(DataError, match=message):
            Potential(altered(file, tmp_path / "other.hint.pt2", **values), trust=True)

    def test_precision_and_device(self, file):
        with pytest.raises(OptionsError, match="is compiled for float64; wanted float32"):
            Potential(file, dtype="float32", trust=True)
        assert Potential(file, dtype="float64", trust=True).dtype == torch.float64

    def test_machine_code_has_its_own_name(self, file, tmp_path):
        """What is handed on as an artifact runs nothing."""
        shutil.copy(file, tmp_path / "model.hint.pt")
        with pytest.raises(DataError, match="holds machine code, which runs when it is loaded"):
            Potential(tmp_path / "model.hint.pt", trust=True)

    def test_machine_code_is_loaded_for_those_who_trust_it(self, file, monkeypatch):
        monkeypatch.setattr("torch._inductor.aoti_load_package", pytest.fail)
        for door in (Potential, HintCalculator, load_artifact):
            with pytest.raises(OptionsError, match=r"hint.pt2 is machine code, .* say so: trust=True"):
                door(file)

    def test_damage_is_seen_before_anything_runs(self, file, tmp_path, monkeypatch):
        """One bit of a weight, of the library, and of the middle of the file."""
        monkeypatch.setattr("torch._inductor.aoti_load_package", pytest.fail)
        whole = file.read_bytes()
        with zipfile.ZipFile(file) as archive:
            sizes = {info.filename: (info.file_size, info.header_offset) for info in archive.infolist()}
            largest = {
                end: max((s, o + 200) for n, (s, o) in sizes.items() if n.endswith(end)) for end in (".so",)
            }
            weights = [(s, o) for n, (s, o) in sizes.items() if "weights/" in n or n.endswith(".bin")]
        places = [
            len(whole) // 2,
            *(o + s // 2 for s, o in largest.values()),
            *(o + 128 + s // 2 for s, o in weights),
        ]
        for place in places:
            data = bytearray(whole)
            data[place] ^= 1
            (tmp_path / "flipped.hint.pt2").write_bytes(data)
            with pytest.raises(DataError, match="is damaged"):
                Potential(tmp_path / "flipped.hint.pt2", trust=True)

    def test_no_temporary_folder(self, file, tmp_path, monkeypatch):
        """torch unpacks the file there."""
        monkeypatch.setenv("TMPDIR", str(tmp_path / "nowhere"))
        with pytest.raises(
            OptionsError, match=r"needs a temporary folder, and TMPDIR=.*nowhere is not there"
        ):
            Potential(file, trust=True)

    def test_facts_that_were_edited(self, file, tmp_path):
        with pytest.raises(DataError, match="model and metadata disagree"):
            Potential(changed(file, tmp_path / "other.hint.pt2", cutoff=3.9), trust=True)


def test_what_cannot_be_compiled(tmp_path, monkeypatch):
    """One sentence, and no file."""
    source, target = make_checkpoint("alphanet", "float32", tmp_path), tmp_path / "model.hint.pt"
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(MissingDependencyError, match=r"no C\+\+ compiler for AOTInductor: apt-get install"):
        export(source, target, aoti=True)
    monkeypatch.delenv("CXX")

    def fails(*_: object, **__: object) -> None:
        raise RuntimeError("\nsomething unheard of\nand its trace")

    monkeypatch.setattr("torch._inductor.aoti_compile_and_package", fails)
    with pytest.raises(
        DataError, match=r"cannot compile this AlphaNet model: something unheard of\. The art"
    ):
        export(source, target, aoti=True)
    assert not target.exists() and not compiled_path(target).exists()
