"""What `pair_coeff` makes of files: damaged, edited, foreign, compiled; structures outside the training."""

from __future__ import annotations

import ctypes
import json
import random
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from artifacts import changed, rewritten, structures
from ase import Atoms
from lammps_runs import energies, header, run_lmp, write_data

from hint_plugin.artifact.metadata import content_hash, read_metadata, read_whole
from hint_plugin.errors import HintError
from hint_plugin.potentials.artifact_potential import Potential

TYPES = ["C", "H", "O"]


@pytest.fixture(scope="module")
def problem(library: ctypes.CDLL) -> Callable[[Path], str]:
    """What the plug-in says of a file before torch sees it; empty if nothing is wrong."""
    check = library.hint_artifact_problem

    def ask(path: Path) -> str:
        buffer = ctypes.create_string_buffer(2000)
        check(str(path).encode(), buffer, ctypes.c_size_t(2000))
        return buffer.value.decode(errors="replace")

    return ask


@pytest.fixture
def said(models: dict[str, Path], tmp_path: Path) -> Callable[..., str]:
    """What LAMMPS says of a file, with which it must not run."""
    atoms = structures()["ethanol"]
    write_data(tmp_path / "structure.data", atoms, TYPES)

    def run(path: Path, **more: object) -> str:
        result = run_lmp(tmp_path, header(atoms, path, TYPES) + "run 0\n", check=False, **more)
        assert result.returncode != 0
        text = " ".join((result.stdout + result.stderr).split())
        assert "terminate called" not in text and "Signal" not in text
        return text

    return run


def records(path: Path) -> dict[str, bytes]:
    """What torch reads of a file, without its random identifier."""
    reader = torch._C.PyTorchFileReader(str(path))
    return {n: reader.get_record(n) for n in reader.get_all_records() if not n.startswith(".data/")}


def flipped(path: Path, to: Path, byte: int, bit: int = 0) -> Path:
    """A copy of a file with one bit changed."""
    data = bytearray(path.read_bytes())
    data[byte] ^= 1 << bit
    to.write_bytes(data)
    return to


@pytest.mark.parametrize("name", ["alphanet float64", "mace float64", "alphanet float64 compiled"])
def test_every_whole_file_passes(models, problem, name):
    assert problem(models[name]) == ""


def test_the_middle_byte(models, said, tmp_path):
    """A weight, most likely: TorchScript would run with it."""
    path = models["alphanet float64"]
    spoilt = flipped(path, tmp_path / "spoilt.hint.pt", path.stat().st_size // 2)
    assert f"{spoilt} is damaged: its content differs from what was written; copy it again" in said(spoilt)


def test_a_weight_of_a_compiled_model(models, said, tmp_path):
    """Of the library that holds them, or of a file of their own; refused before the code runs."""
    path = models["alphanet float64 compiled"]
    with zipfile.ZipFile(path) as archive:
        largest = max(archive.infolist(), key=lambda entry: entry.compress_size)
    place = largest.header_offset + 200 + largest.compress_size // 2
    spoilt = flipped(path, tmp_path / "spoilt.hint.pt2", place)
    assert f"{spoilt} is damaged" in said(spoilt)


@pytest.mark.parametrize("name", ["alphanet float64", "alphanet float64 compiled"])
def test_a_flipped_bit_anywhere(models, problem, tmp_path, name):
    """A sample of all, and of the archive's headers: seen, or without effect on what is read."""
    path = models[name]
    whole = path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        metadata = next(e for e in archive.infolist() if e.filename.endswith("extra/hint.json"))
        headers = range(archive.start_dir, len(whole))
        data = [e for e in archive.infolist() if "/.data/" not in e.filename and e.file_size]
    seeded = random.Random(0)
    spoilt = tmp_path / "spoilt.hint.pt"
    chosen = seeded.sample(headers, 150)
    for entry in seeded.sample(data, min(20, len(data))):  # 30 bytes, the name, padding, and then the data
        start = whole.index(b"PK\x03\x04", entry.header_offset)
        lengths = [int.from_bytes(whole[start + k : start + k + 2], "little") for k in (26, 28)]
        chosen.append(start + 30 + sum(lengths) + seeded.randrange(entry.compress_size))
    seen = 0
    for byte in chosen:
        if problem(flipped(path, spoilt, byte, seeded.randrange(8))):
            seen += 1
        else:
            assert records(spoilt) == records(path)
    assert seen > len(chosen) // 4
    assert problem(flipped(path, spoilt, metadata.header_offset + 14 + 400))


def test_an_entry_that_cannot_be_unpacked(models, problem, tmp_path):
    """torch gives back memory that it did not fill, where the same entry of a whole file may have been."""
    path = models["alphanet float64"]
    whole = path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        packed = [e for e in archive.infolist() if e.compress_type == zipfile.ZIP_DEFLATED]
    assert len(packed) > 5
    for entry in packed:
        lengths = [int.from_bytes(whole[entry.header_offset + k :][:2], "little") for k in (26, 28)]
        spoilt = bytearray(whole)
        spoilt[entry.header_offset + 30 + sum(lengths)] |= 6  # a kind of block that does not exist
        (tmp_path / "spoilt.hint.pt").write_bytes(spoilt)
        assert not problem(path)
        assert "is damaged" in problem(tmp_path / "spoilt.hint.pt"), entry.filename


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"cutoff": float("nan")}, "its metadata say a cutoff of NaN A; export it again"),
        ({"cutoff": float("inf")}, "its metadata say a cutoff of Infinity A"),
        ({"cutoff": 400.0}, "its metadata say a cutoff of 400.0 A"),
        ({"hops": -1}, "its metadata say -1 hops"),
        ({"hops": 1.5}, "its metadata say 1.5 hops"),
        ({"species": []}, "its metadata say species (none)"),
        ({"species": ["H", "C", "H"]}, "its metadata say species H C H"),
        ({"species": ["H", "carbon"]}, "its metadata say species carbon"),
        ({"dtype": "float16"}, "its metadata say dtype float16"),
        ({"units": {"energy": "kcal/mol"}}, "its metadata say other units than eV and A"),
        ({"content": "0" * 64}, "is damaged: its content differs from what was written"),
        ({"format_version": 2}, "has format version 2; this pair style reads 1. Update hint-mlip and run"),
        ({"format": "other"}, "is not a HINT artifact; write one with 'hint export'"),
        ({"compiled": {"device": "cpu"}}, "its metadata say not what it is compiled for"),
        ({"training_domain": {"elements": []}}, "its metadata say a training_domain without elements"),
        (
            {"training_domain": {"elements": ["H"], "largest_force": 0}},
            "its metadata say a largest force of 0 eV/A",
        ),
        (
            {"training_domain": {"elements": ["H"], "shortest_distances": {"H-H": -1}}},
            "its metadata say a shortest distance of -1 A for H-H",
        ),
    ],
)
def test_metadata_that_cannot_be(models, problem, tmp_path, values, message):
    """Python refuses every one of them, too; the domain is tested in tests/export."""
    other = changed(models["alphanet float64"], tmp_path / "other.hint.pt", **values)
    assert message in problem(other)
    if "training_domain" not in values:
        with pytest.raises(HintError):
            read_whole(other)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"cutoff": 5.0}, "model and metadata disagree on cutoff (4.0 and 5.0); export it again"),
        ({"hops": 1}, "model and metadata disagree on hops (3 and 1)"),
        (
            {"species": ["C", "H", "O", "Si", "Cu"]},
            "model and metadata disagree on species (H C O Si Cu and C H O Si Cu)",
        ),
    ],
)
def test_metadata_that_are_not_the_models(models, said, tmp_path, values, message):
    assert message in said(changed(models["alphanet float64"], tmp_path / "other.hint.pt", **values))


def test_metadata_that_were_edited_afterwards(models, problem, tmp_path):
    """All of them have a hash: the training domain is in no other. Files of before have none."""
    path = models["alphanet float64"]
    text = read_metadata(path).to_json()
    edited = text.replace('"training_domain": null', '"training_domain": {"elements": ["H"]}')
    assert edited != text
    other = rewritten(path, tmp_path / "other.hint.pt", {"extra/hint.json": edited.encode()})
    assert "its metadata are not what was written (their hash differs)" in problem(other)
    assert not problem(path) and not problem(changed(path, tmp_path / "old.hint.pt"))


def test_facts_that_were_edited_within_the_model(models, problem, tmp_path):
    path = models["alphanet float64"]
    module = torch.jit.load(str(path))
    module.facts = dict(module.facts) | {"hops": "1"}
    other = tmp_path / "other.hint.pt"
    torch.jit.save(module, str(other), _extra_files={"hint.json": read_metadata(path).to_json()})
    assert "is damaged: its content differs from what was written" in problem(other)


def test_files_that_are_no_artifact(models, problem, said, tmp_path):
    whole = models["alphanet float64"].read_bytes()
    cut, pickle, foreign = (tmp_path / f"{name}.pt" for name in ("cut", "pickle", "foreign"))
    cut.write_bytes(whole[: len(whole) // 2])
    torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), str(foreign))
    torch.save({"weights": torch.zeros(3)}, pickle)
    for path, message in (
        (cut, f"{cut} is truncated, damaged, or no HINT artifact"),
        (pickle, f"{pickle} is not a HINT artifact (it is a pickle, as torch.save writes it"),
        (foreign, f"{foreign} is not a HINT artifact (it is a TorchScript file of something else)"),
        (tmp_path, f"{tmp_path} cannot be read, or is empty"),
    ):
        assert message in problem(path)
    assert f"pair_coeff for hint: {cut} is truncated" in said(cut)
    no_json = rewritten(
        models["alphanet float64"], tmp_path / "no.hint.pt", {"extra/hint.json": b"[" * 10**5}
    )
    assert "its metadata are no JSON (character" in problem(no_json)


@pytest.mark.parametrize(
    ("compiled", "message"),
    [
        ({"torch": "2.1.0"}, "is compiled for torch 2.1.0, and this is 2."),
        ({"device": "cuda"}, "is compiled for device cuda; use the .hint.pt on cpu"),
        ({"cpu": "sse2 avx1024"}, "is compiled for a processor with avx1024, which this one lacks"),
    ],
)
def test_models_compiled_for_another_machine(models, said, tmp_path, compiled, message):
    """Of a whole file: metadata, the facts that the model holds, and the hash."""
    path = models["alphanet float64 compiled"]
    with zipfile.ZipFile(path) as archive:
        facts = {n: json.loads(archive.read(n)) for n in archive.namelist() if n.endswith("metadata.json")}
    more = {f"compiled_{name}": value for name, value in compiled.items()}
    edited = {name: json.dumps(found | more).encode() for name, found in facts.items()}
    between = rewritten(path, tmp_path / "between.hint.pt2", edited)
    metadata = read_metadata(path)
    other = changed(
        between,
        tmp_path / "other.hint.pt2",
        compiled=metadata.compiled | compiled,
        content=content_hash(between),
    )
    assert message in said(other)


def test_machine_code_runs_only_where_it_is_trusted(models, tmp_path):
    path = models["alphanet float64 compiled"]
    atoms = structures()["ethanol"]
    write_data(tmp_path / "structure.data", atoms, TYPES)
    trusted = header(atoms, path, TYPES) + "run 0\n"
    assert "C H O trust\n" in trusted
    result = run_lmp(tmp_path, trusted.replace(" trust\n", "\n"), check=False)
    assert result.returncode != 0
    said = " ".join(result.stdout.split())
    assert f"{path} is machine code, which runs with your rights when it is loaded. If you made it" in said
    assert "`trust` at the end of pair_coeff (LAMMPS)" in said
    result = run_lmp(tmp_path, trusted, check=False, TMPDIR=str(tmp_path / "nowhere"))
    assert "; set TMPDIR to a folder in which files may be made" in " ".join(result.stdout.split())
    scripted = header(atoms, models["alphanet float64"], TYPES).replace("C H O\n", "C H O trust\n")
    run_lmp(tmp_path, scripted + "run 0\n")  # it changes nothing


class TestDomain:
    """Structures outside of what the model was trained on: said once, and the run goes on."""

    DISTANCES = {"C-C": 1.4, "C-H": 1.0, "H-O": 0.9, "H-H": 1.5, "C-O": 1.3}
    SAID = "WARNING: pair hint: the structure is outside of what the model was trained on: "

    def log(self, models, folder: Path, atoms: Atoms, ranks: int = 1, **domain: object) -> str:
        values = {"elements": ["H", "C", "O"], "shortest_distances": self.DISTANCES, "largest_force": None}
        path = changed(models["alphanet float64"], folder / "model.hint.pt", training_domain=values | domain)
        write_data(folder / "structure.data", atoms, TYPES)
        run = "thermo_style custom step pe\nfix 1 all nve\ntimestep 1e-5\nrun 2\nrun 2\n"
        run_lmp(folder, header(atoms, path, TYPES) + run, ranks=ranks)
        assert len(energies(folder)) == 4
        return " ".join((folder / "log.lammps").read_text().split())

    def test_within(self, models, tmp_path):
        assert "outside of" not in self.log(models, tmp_path, structures()["ethanol"])

    @pytest.mark.parametrize("ranks", [1, 4])
    def test_two_atoms_that_are_too_close(self, models, tmp_path, ranks):
        atoms = structures()["ethanol"]
        carbon, hydrogen = 1, 4
        assert atoms.symbols[carbon] == "C" and atoms.symbols[hydrogen] == "H"
        atoms.set_distance(carbon, hydrogen, 0.61, fix=0)
        log = self.log(models, tmp_path, atoms, ranks)
        assert log.count(self.SAID) == 1
        between = "atoms 2 and 5" if "atoms 2 and 5" in log else "atoms 5 and 2"
        assert (
            f"{self.SAID}{between} (C-H) are 0.61 A apart; the shortest distance of this pair in training "
            "was 1.00 A. Its numbers are extrapolation. This is said once."
        ) in log

    def test_a_pair_that_was_never_there(self, models, tmp_path):
        distances = {k: v for k, v in self.DISTANCES.items() if k != "C-O"}
        log = self.log(models, tmp_path, structures()["ethanol"], shortest_distances=distances)
        assert log.count(self.SAID) == 1
        assert "(C-O) are" in log and "training had no such pair within the cutoff" in log

    def test_an_element_that_was_never_there(self, models, tmp_path):
        log = self.log(models, tmp_path, structures()["ethanol"], ranks=2, elements=["H", "C"])
        assert log.count(self.SAID) == 1
        assert f"{self.SAID}no structure in training had O, which is atom 3." in log

    @pytest.mark.parametrize("ranks", [1, 4])
    def test_a_force_that_was_never_there(self, models, tmp_path, ranks):
        """Where no distances are known; the force is that of all processes together."""
        atoms = structures()["ethanol"]
        (wanted,) = Potential(models["alphanet float64"]).evaluate([atoms])
        norms = np.linalg.norm(wanted.forces, axis=1)
        largest, domain = norms.max(), {"shortest_distances": None}
        log = self.log(models, tmp_path, atoms, ranks, **domain, largest_force=largest / 1.06)
        assert log.count(self.SAID) == 1
        said = f"the force on atom {norms.argmax() + 1} is {largest:.3g} eV/A; the largest in training was "
        assert f"{self.SAID}{said}{largest / 1.06:.3g} eV/A. Its numbers" in log
        assert "outside of" not in self.log(
            models, tmp_path, atoms, ranks, **domain, largest_force=largest / 1.04
        )
