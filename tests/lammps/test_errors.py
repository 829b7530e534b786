"""Every hard error of `pair_style hint` with its text; those of its files are in test_artifacts.py."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from artifacts import structures
from ase import Atoms
from hungry import SAID, Greedy, Hungry
from lammps_runs import header, run_lmp, write_data

from hint_plugin.artifact.compiled import write_compiled
from hint_plugin.artifact.contract import EdgeContract
from hint_plugin.artifact.metadata import read_metadata
from hint_plugin.artifact.scripted import write_artifact

TYPES = ["C", "H", "O"]
FIRST = "group some type 1 2\natom_modify first some\n"
HEAT_FLUX = (
    "compute k all ke/atom\ncompute p all pe/atom\ncompute s all stress/atom NULL virial\n"
    "compute j all heat/flux k p s\n"
)


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
        ("MODEL", "alphanet-gfn2", "of a model that comes with HINT, 'hint model path alphanet-gfn2'"),
        ("units metal", "units lj", "units are lj; wanted metal or real"),
        ("newton on", "newton off", "needs 'newton on'"),
        ("atom_modify map yes\n", "", "needs an atom map: 'atom_modify map yes' before the box"),
        (" every 1", " exclude type 1 2 every 1", "'neigh_modify exclude' takes neighbours from atoms"),
        (" every 1", " exclude group all all every 1", "'neigh_modify exclude' takes neighbours from atoms"),
        ("neighbor 1.0", f"{FIRST}neigh_modify include some\nneighbor 1.0", "'comm_modify group' leave out"),
        ("neighbor 1.0", f"{FIRST}comm_modify group some\nneighbor 1.0", "'comm_modify group' leave out"),
        ("neighbor 1.0", f"{HEAT_FLUX}neighbor 1.0", "'compute heat/flux' is wrong for this potential"),
    ],
)
def test_inputs(text, models, tmp_path, before, after, message):
    model = str(models["alphanet float64"])
    before, message = before.replace("MODEL", model), message.replace("MODEL", model)
    assert before in text
    assert message in error(tmp_path, text.replace(before, after))


def test_neighbours_of_ghosts_that_lammps_does_not_have(text, tmp_path):
    """With one process they are not needed."""
    multi = text.replace("neighbor 1.0 bin", "neighbor 1.0 multi")
    run_lmp(tmp_path, multi + "run 0\n")
    assert "LAMMPS does not list with 'neighbor ... multi'" in error(tmp_path, multi, ranks=2)


def test_exclusions_that_concern_other_styles_only(models, tmp_path):
    """A wall of another style may be held together by nothing."""
    both = structures()["ethanol"] + Atoms("Cu2", [[0, 0, 3.5], [1.5, 1.5, 3.0]])
    path = models["alphanet float64"]
    write_data(tmp_path / "structure.data", both, [*TYPES, "Cu"])
    text = header(both, path, [*TYPES, "Cu"], style="hybrid hint zero 4.0").replace(
        f"pair_coeff * * {path} C H O Cu", f"pair_coeff * * zero\npair_coeff * * hint {path} C H O NULL"
    )
    text += "group wall type 4\n"
    run_lmp(tmp_path, text + "neigh_modify exclude type 4 4 exclude group wall wall\nrun 0\n")
    said = error(tmp_path, text + "neigh_modify exclude group wall wall exclude group all all\n")
    assert "'neigh_modify exclude' takes neighbours" in said


def test_memory_that_runs_out_within_torchscript(text, models, tmp_path):
    metadata = read_metadata(models["alphanet float64"])
    path = tmp_path / "greedy.hint.pt"
    write_artifact(EdgeContract(Greedy(), metadata.facts()), metadata, path, lambda _: {})
    said = error(tmp_path, text.replace(str(models["alphanet float64"]), str(path)))
    assert "pair hint: memory ran out on cpu for the 9 atoms and 70 edges of this process" in said
    assert "8000000000000000 bytes" in said
    assert "use more nodes or a GPU with more memory, a model exported with --dtype float32" in said
    assert "TorchScript interpreter" not in said


def test_words_of_memory_that_runs_out(library):
    """Whichever part of torch says it."""
    is_so = library.hint_is_out_of_memory
    assert all(is_so(text.encode()) for text in SAID.values())
    assert not is_so(b"run_func_(...) API call failed at model_container_runner.cpp, line 152")


@pytest.mark.long
def test_memory_that_runs_out_within_aotinductor(text, models, tmp_path):
    scripted = models["alphanet float64"]
    path = tmp_path / "hungry.hint.pt2"
    write_compiled(Hungry(), read_metadata(scripted), path, lambda _: {})
    spoilt = text.replace(str(scripted), str(path)).replace("C H O\n", "C H O trust\n")
    said = error(tmp_path, spoilt)
    assert "pair hint: memory ran out on cpu for the 9 atoms and 70 edges of this process" in said
    assert "720000000000000 bytes" in said
    assert "use more nodes or a GPU with more memory, a model exported with --dtype float32" in said


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


def test_energies_that_are_not_finite(text, tmp_path):
    """Two atoms in one place."""
    lines = (tmp_path / "structure.data").read_text().splitlines()
    place = next(i for i, line in enumerate(lines) if line.startswith("2 "))
    lines[place] = " ".join(["2", "1", *lines[place - 1].split()[2:]])
    (tmp_path / "structure.data").write_text("\n".join(lines) + "\n")
    said = error(tmp_path, text)
    assert "is not finite on step 0: atoms too close, too large a timestep" in said
