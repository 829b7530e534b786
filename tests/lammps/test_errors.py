"""Every hard error of `pair_style hint`, with its text, and the tools around it."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest
import torch
from artifacts import rewritten, structures
from lammps_runs import header, run_lmp, write_data

TYPES = ["C", "H", "O"]


@pytest.fixture
def text(models: dict[str, Path], tmp_path: Path) -> str:
    """A correct input for ethanol, to be spoilt."""
    atoms = structures()["ethanol"]
    write_data(tmp_path / "structure.data", atoms, TYPES)
    return header(atoms, models["alphanet float64"], TYPES)


def error(folder: Path, text: str, **more: object) -> str:
    """What LAMMPS says when it ends; it must end."""
    result = run_lmp(folder, text + "\nrun 0\n", check=False, **more)
    assert result.returncode != 0
    said = " ".join((result.stdout + result.stderr).split())
    assert "Traceback" not in said and "terminate called" not in said
    return said


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ("pair_style hint", "pair_style hint device", "device needs a value"),
        ("pair_style hint", "pair_style hint device tpu", "device tpu is none of auto, cpu, cuda, cuda:N"),
        ("pair_style hint", "pair_style hint device cuda:", "device cuda: is none of"),
        ("pair_style hint", "pair_style hint mode both", "mode both is none of auto, fold, ghost"),
        ("pair_style hint", "pair_style hint speed fast", "unknown keyword speed; wanted device or mode"),
        (" C H O", "", "an element for each type"),
        (" C H O", " C H", "2 elements for 3 atom types; name one for each type"),
        (" C H O", " C H N", "type 3 is N; MODEL knows H C O Si Cu"),
        (" C H O", " C NULL O", "NULL is for types of other styles, in a hybrid style"),
        ("MODEL", "nowhere.hint.pt", "nowhere.hint.pt cannot be read"),
        ("units metal", "units lj", "units are lj; wanted metal or real"),
        ("newton on", "newton off", "needs 'newton on'"),
        ("atom_modify map yes\n", "", "needs an atom map: 'atom_modify map yes' before the box"),
    ],
)
def test_inputs(text, models, tmp_path, before, after, message):
    model = str(models["alphanet float64"])
    before, message = before.replace("MODEL", model), message.replace("MODEL", model)
    assert before in text
    assert message in error(tmp_path, text.replace(before, after))


def test_fold_with_several_processes(text, tmp_path):
    spoilt = text.replace("pair_style hint", "pair_style hint mode fold")
    assert "mode fold works with one process, and there are 2; use ghost" in error(tmp_path, spoilt, ranks=2)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there(text, tmp_path):
    """Never a silent fall-back."""
    for device in ("cuda", "cuda:1"):
        spoilt = text.replace("pair_style hint", f"pair_style hint device {device}")
        assert f"device {device} was asked for, and torch {torch.__version__[:6]}" in error(tmp_path, spoilt)
    result = run_lmp(tmp_path, text.replace("pair_style hint", "pair_style hint device auto") + "run 0\n")
    assert "hops, on cpu with 1 thread(s) a process" in result.stdout


def test_bonded_neighbours_that_are_left_out(models, tmp_path):
    """special_bonds of a molecular atom style would take pairs from the list, silently."""
    path = models["alphanet float64"]
    (tmp_path / "water.data").write_text(
        "water\n\n3 atoms\n2 bonds\n2 atom types\n1 bond types\n\n"
        "0 20 xlo xhi\n0 20 ylo yhi\n0 20 zlo zhi\n\n"
        "Masses\n\n1 15.999\n2 1.008\n\n"
        "Atoms # bond\n\n1 1 1 5 5 5.12\n2 1 2 5 5.76 4.52\n3 1 2 5 4.24 4.52\n\n"
        "Bonds\n\n1 1 1 2\n2 1 1 3\n"
    )
    text = (
        "units metal\natom_style bond\natom_modify map yes\n{}bond_style zero\nread_data water.data\n"
        f"bond_coeff *\npair_style hint\npair_coeff * * {path} O H\n"
    )
    assert "needs 'special_bonds lj/coul 1 1 1'" in error(tmp_path, text.format(""))
    run_lmp(tmp_path, text.format("special_bonds lj/coul 1 1 1\n") + "run 0\n")


def test_artifacts_that_are_none(text, models, tmp_path):
    model = models["alphanet float64"]
    whole = model.read_bytes()
    cut = tmp_path / "cut.hint.pt"
    cut.write_bytes(whole[: len(whole) // 2])
    foreign = tmp_path / "foreign.pt"
    torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), str(foreign))
    pickle = tmp_path / "pickle.pt"
    torch.save({"weights": torch.zeros(3)}, pickle)
    for path, message in (
        (cut, f"{cut} is no HINT artifact, or is damaged, or of another torch than"),
        (pickle, f"{pickle} is no HINT artifact, or is damaged"),
        (foreign, f"{foreign} is a TorchScript file, but not of 'hint export'"),
    ):
        assert message in error(tmp_path, text.replace(str(model), str(path)))
    compiled = tmp_path / "cut.hint.pt2"
    compiled.write_bytes(whole[: len(whole) // 2])
    assert f"{compiled} is no HINT artifact" in error(tmp_path, text.replace(str(model), str(compiled)))
    module = torch.jit.load(str(model))
    newer = tmp_path / "newer.hint.pt"
    module.facts = dict(module.facts) | {"format_version": "2"}
    torch.jit.save(module, str(newer))
    said = error(tmp_path, text.replace(str(model), str(newer)))
    assert "has format version 2; this pair style reads 1. Update hint-mlip" in said


@pytest.mark.parametrize(
    ("fact", "value", "message"),
    [
        ("compiled_torch", "2.1.0", "is compiled for torch 2.1.0, and this is 2."),
        ("compiled_device", "cuda", "is compiled for device cuda; use the .hint.pt on cpu"),
        ("compiled_cpu", "sse2 avx1024", "is compiled for a processor with avx1024, which this one lacks"),
        ("format", "other", "is a compiled file, but not of 'hint export'"),
    ],
)
def test_models_compiled_for_another_machine(text, models, tmp_path, fact, value, message):
    path = models["alphanet float64 compiled"]
    with zipfile.ZipFile(path) as archive:  # the facts that the pair style reads
        facts = {n: json.loads(archive.read(n)) for n in archive.namelist() if n.endswith("metadata.json")}
    changed = {name: json.dumps(found | {fact: value}).encode() for name, found in facts.items()}
    other = rewritten(path, tmp_path / "other.hint.pt2", changed)
    assert message in error(tmp_path, text.replace(str(models["alphanet float64"]), str(other)))


def test_energies_that_are_not_finite(text, tmp_path):
    """Two atoms in one place."""
    lines = (tmp_path / "structure.data").read_text().splitlines()
    place = next(i for i, line in enumerate(lines) if line.startswith("2 "))
    lines[place] = " ".join(["2", "1", *lines[place - 1].split()[2:]])
    (tmp_path / "structure.data").write_text("\n".join(lines) + "\n")
    said = error(tmp_path, text)
    assert "is not finite on step 0: atoms too close, too large a timestep" in said
