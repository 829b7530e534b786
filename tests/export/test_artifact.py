"""The file: what is in it, what is refused, and that reading it runs nothing."""

from __future__ import annotations

import copy
import io
import json
import pickle
import struct
import subprocess
import sys
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from artifacts import changed, make_checkpoint, rewritten
from ase.build import molecule
from small_mace import small_mace
from typer.testing import CliRunner

from hint_plugin.artifact.metadata import ENTRY, content_hash, is_artifact, read_metadata, read_whole
from hint_plugin.artifact.scripted import load_artifact
from hint_plugin.cli.app import build_app
from hint_plugin.data import write_frames
from hint_plugin.errors import DataError, OptionsError, UnknownVersionError
from hint_plugin.export import checkpoint_to_artifact as exporting
from hint_plugin.mace import edge_contract
from hint_plugin.potentials.artifact_potential import Potential

PAIR = Path(__file__).parents[1] / "data" / "pair.hint.pt"
"""A pair potential as `pair_artifact.write_pair` wrote it with torch 2.13; it stays as it is."""


class Attack:
    """Unpickling it leaves a file behind."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)

    def __reduce__(self) -> object:
        return (Path.touch, (Path(self.path),))


def test_metadata(alphanet_artifact):
    metadata = read_metadata(alphanet_artifact)
    assert metadata.architecture == "AlphaNet"
    assert metadata.species == ("H", "C", "O", "Si", "Cu")
    assert (metadata.cutoff, metadata.hops, metadata.dtype, metadata.head) == (4.0, 3, "float64", None)
    assert metadata.units == {"energy": "eV", "length": "A", "forces": "eV/A", "stress": "eV/A^3"}
    source = alphanet_artifact.with_name("alphanet_float64.model")
    assert metadata.provenance["model"]["path"] == str(source)
    assert len(metadata.provenance["model"]["sha256"]) == 64
    assert {"torch", "hint-mlip"} <= set(metadata.provenance["versions"])
    assert metadata.verification["frames"] == 6
    assert metadata.verification["forces"] < 1e-9
    module, again = load_artifact(alphanet_artifact)
    assert again == metadata
    assert dict(module.facts) == metadata.facts()
    assert metadata.facts()["species"] == "H C O Si Cu"


def test_reading_needs_torch_alone(alphanet_artifact):
    """No framework is imported, neither for the metadata (not even torch) nor for a calculation."""
    script = (
        "import sys; from hint_plugin.artifact.metadata import read_metadata; read_metadata(sys.argv[1]);"
        "assert 'torch' not in sys.modules;"
        "from hint_plugin.potentials.hint_calculator import HintCalculator; from ase.build import molecule;"
        "a = molecule('H2O'); a.calc = HintCalculator(sys.argv[1]); print(a.get_potential_energy());"
        "assert not {'mace', 'e3nn', 'nequip', 'hint_plugin.models'} & set(sys.modules), sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", script, str(alphanet_artifact)], check=True)


def test_truncated_files_are_refused(alphanet_artifact, tmp_path):
    whole = alphanet_artifact.read_bytes()
    path = tmp_path / "cut.hint.pt"
    for length in (0, 1, 100, len(whole) // 2, len(whole) - 30, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(DataError, match=r"cut.hint.pt is (truncated|damaged|no)"):
            Potential(path)


def test_a_flipped_bit_is_seen_or_harmless():
    """Every bit of the archive's headers, and some of the rest, of a file that is always the same."""
    whole = PAIR.read_bytes()
    _, wanted = read_whole(PAIR)
    inside = _contents(whole)
    places = [8 * byte + bit for byte in range(len(whole)) if byte not in inside for bit in range(8)]
    rng = np.random.default_rng(0)
    places += [
        8 * int(byte) + int(rng.integers(8)) for byte in rng.choice(sorted(inside), 1000, replace=False)
    ]
    harmless = 0
    for place in places:
        flipped = bytearray(whole)
        flipped[place // 8] ^= 1 << place % 8
        try:
            _, found = read_whole(PAIR, bytes(flipped))
        except DataError as error:
            assert "pair.hint.pt" in str(error) and "\n" not in str(error)
        else:  # dates, attributes, what lies between the entries, the last bits of what is compressed
            assert _hashed(found) == _hashed(wanted)
            harmless += 1
    assert 0 < harmless < len(places) / 2


def _hashed(entries: dict[str, bytes]) -> dict[str, bytes]:
    """Without the random identifier, which nobody reads."""
    return {name: data for name, data in entries.items() if not name.startswith(".data/")}


def _contents(whole: bytes) -> set[int]:
    """Places of the bytes of the entries; the others are headers, and what fills the space between."""
    found: set[int] = set()
    with zipfile.ZipFile(io.BytesIO(whole)) as archive:
        for info in archive.infolist():
            name, extra = struct.unpack_from("<HH", whole, info.header_offset + 26)
            start = info.header_offset + 30 + name + extra
            found.update(range(start, start + info.compress_size))
    return found


@pytest.mark.parametrize(
    "error",
    [
        NotImplementedError("zip file version 12.8"),
        zlib.error("Error -3 while decompressing"),
        struct.error("unpack requires a buffer"),
        zipfile.BadZipFile("Bad magic"),
        KeyError("no item"),
        EOFError(),
        MemoryError(),
        OSError(22, "Invalid argument"),
        UnicodeDecodeError("utf-8", b"x", 0, 1, "bad"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_whatever_the_archive_raises_is_one_sentence(monkeypatch, error):
    def fails(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(zipfile.ZipFile, "read", fails)
    with pytest.raises(DataError, match=r"pair.hint.pt is damaged \(.+\); copy or export it again"):
        read_metadata(PAIR)
    monkeypatch.setattr(zipfile, "ZipFile", fails)
    with pytest.raises(DataError, match=r"pair.hint.pt is truncated or no HINT artifact \(.+\); write one"):
        read_metadata(PAIR)
    assert is_artifact(PAIR)  # by its name: whoever opens it says what is wrong


def test_an_entry_that_is_there_twice_is_refused(tmp_path):
    twice = rewritten(PAIR, tmp_path / "twice.hint.pt", {})
    with zipfile.ZipFile(twice, "a") as archive:
        name = next(name for name in archive.namelist() if name.endswith("/data.pkl"))
        with pytest.warns(UserWarning, match="Duplicate name"):
            archive.writestr(name, b"other")
    with pytest.raises(DataError, match="twice.hint.pt is damaged: it has the entry data.pkl twice"):
        Potential(twice)


def test_foreign_files_are_refused(alphanet_artifact, tmp_path):
    with pytest.raises(DataError, match=r"nowhere.pt: no such file"):
        read_metadata(tmp_path / "nowhere.pt")
    text = tmp_path / "text.pt"
    text.write_text("E = mc^2")
    with pytest.raises(DataError, match=r"text.pt is truncated or no HINT artifact .* `hint export`"):
        Potential(text)
    other = tmp_path / "other.pt"
    torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), str(other))
    with pytest.raises(DataError, match=r"other.pt is not a HINT artifact \(it is a TorchScript file of"):
        Potential(other)
    wrong = changed(alphanet_artifact, tmp_path / "format.pt", format="something")
    with pytest.raises(DataError, match="format.pt is not a HINT artifact"):
        Potential(wrong)


def test_pickles_are_never_loaded(alphanet_artifact, tmp_path):
    harm = tmp_path / "harm"
    plain = tmp_path / "plain.pt"
    plain.write_bytes(pickle.dumps(Attack(harm)))
    saved = tmp_path / "saved.pt"
    torch.save(Attack(harm), saved)
    pickle.loads(plain.read_bytes())
    assert harm.exists()  # the weapon works
    harm.unlink()
    with pytest.raises(DataError, match=r"plain.pt is truncated or no HINT artifact"):
        Potential(plain)
    with pytest.raises(DataError, match=r"saved.pt is not a HINT artifact \(it is a pickle"):
        Potential(saved)
    poisoned = rewritten(alphanet_artifact, tmp_path / "a.pt", {"/data.pkl": pickle.dumps(Attack(harm))})
    with pytest.raises(DataError, match=r"a.pt is damaged: its content differs"):
        Potential(poisoned)
    forged = changed(poisoned, tmp_path / "b.pt", content=content_hash(poisoned))
    with pytest.raises(
        DataError, match=r"b.pt is refused, and nothing of it was run: data.pkl: it has the instruction"
    ):
        Potential(forged)
    assert not harm.exists()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"species": ["H", "Xx"]}, "species H Xx"),
        ({"species": []}, r"species \(none\)"),
        ({"cutoff": -1.0}, "a cutoff of -1.0 A"),
        ({"cutoff": None}, "cutoff None"),
        ({"hops": 1.5}, "1.5 hops"),
        ({"dtype": "float16"}, "dtype float16"),
        ({"units": {"energy": "kcal/mol"}}, "units"),
        ({"species": ["H", "C", "O", "Si", "Ag"]}, "model and metadata disagree"),
        ({"cutoff": float("nan")}, "a cutoff of nan A"),
        ({"cutoff": float("inf")}, "a cutoff of inf A"),
        ({"hops": True}, "True hops|model and metadata disagree"),
        ({"provenance": "none"}, "provenance 'none'"),
        ({"training_domain": {"elements": ["H"]}}, "not complete"),
        (
            {
                "training_domain": {
                    "elements": ["H"],
                    "shortest_distances": {"H-H": -1},
                    "largest_force": 1,
                    "frames": 1,
                }
            },
            "training_domain",
        ),
    ],
)
def test_metadata_that_cannot_be(alphanet_artifact, tmp_path, values, message):
    with pytest.raises(DataError, match=message):
        Potential(changed(alphanet_artifact, tmp_path / "x.hint.pt", **values))


def test_inspect_refuses_what_all_others_refuse(alphanet_artifact, tmp_path, capsys):
    from hint_plugin.cli.app import main

    changed(alphanet_artifact, tmp_path / "x.hint.pt", cutoff=3.5)
    with pytest.raises(SystemExit) as ended:
        main(["inspect", str(tmp_path / "x.hint.pt")])
    assert ended.value.code == 2 and "model and metadata disagree" in capsys.readouterr().err


def test_newer_versions_are_refused(alphanet_artifact, tmp_path):
    with pytest.raises(UnknownVersionError, match=r"format version 99; this HINT reads 1. Update hint-mlip"):
        Potential(changed(alphanet_artifact, tmp_path / "x.hint.pt", format_version=99))
    broken = rewritten(alphanet_artifact, tmp_path / "y.pt", {f"extra/{ENTRY}": b"{"})
    with pytest.raises(DataError, match="its metadata are no JSON"):
        Potential(broken)


def test_devices_and_precisions_that_are_not_there(alphanet_artifact):
    with pytest.raises(OptionsError, match=r"device 'nowhere' cannot be used"):
        Potential(alphanet_artifact, device="nowhere")
    if not torch.cuda.is_available():
        with pytest.raises(OptionsError, match=r"device 'cuda' cannot be used"):
            Potential(alphanet_artifact, device="cuda")
    with pytest.raises(OptionsError, match="dtype 'float16'; wanted float32 or float64"):
        Potential(alphanet_artifact, dtype="float16")


def test_an_artifact_that_differs_is_not_written(tmp_path, monkeypatch):
    """What was there before stays."""
    source = make_checkpoint("alphanet", "float64", tmp_path)
    target = tmp_path / "model.hint.pt"
    target.write_text("old")
    make = edge_contract.scripted_edges

    def wrong(model: torch.nn.Module, head: str) -> torch.jit.ScriptModule:
        model = copy.deepcopy(model)
        model.potential.scale.mul_(1 + 1e-6)
        return make(model, head)

    monkeypatch.setattr(edge_contract, "scripted_edges", wrong)
    with pytest.raises(DataError, match="the artifact differs from the checkpoint: .* Nothing was written"):
        exporting.export(source, target)
    assert target.read_text() == "old"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["alphanet_float64.model", "model.hint.pt"]


def test_head_of_a_multihead_model(tmp_path):
    model = small_mace([1, 8], energies=np.array([-1.0, -2.0]), heads=("low", "high"))
    with torch.no_grad():
        for parameter in model.readouts.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)) * 0.1)
    source, target = tmp_path / "two.model", tmp_path / "one.hint.pt"
    torch.save(model, source)
    with pytest.raises(OptionsError, match="the model has the heads low, high: choose one with --head"):
        exporting.export(source, target)
    with pytest.raises(OptionsError, match="no head 'middle'"):
        exporting.export(source, target, head="middle")
    energies = {}
    for head in ("low", "high"):
        assert exporting.export(source, target, head=head).head == head
        energies[head] = Potential(target).evaluate([molecule("H2O")])[0].energy
    assert energies["low"] != pytest.approx(energies["high"], abs=1e-3)


class TestCommands:
    """`hint export`, `hint inspect`, `hint evaluate` on an artifact."""

    @staticmethod
    def hint(*arguments: object) -> str:
        result = CliRunner().invoke(build_app(), [str(a) for a in arguments], catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return result.output

    @pytest.mark.filterwarnings("ignore::hint_plugin.errors.LabelWarning")  # of errors
    def test_export_inspect_evaluate(self, tmp_path):
        source = make_checkpoint("mace", "float32", tmp_path)
        frames = [molecule("H2O"), molecule("CH4")]
        write_frames(tmp_path / "more.xyz", frames)
        said = self.hint("export", source, "--check", tmp_path / "more.xyz", "--dtype", "float64")
        artifact = tmp_path / "mace_float32.hint.pt"
        assert f"written: {artifact} (MACE, " in said and "float64; H C O Si Cu; cutoff 4 A, 2 hops" in said
        assert "differences from the checkpoint on 8 structures" in said
        said = self.hint("inspect", artifact)
        assert "checked: it only computes" in said
        assert "H C O Si Cu" in said and "4 A, 2 hops (an atom sees 8 A far)" in said and "whole" in said
        assert json.loads(self.hint("inspect", artifact, "--json"))["dtype"] == "float64"
        for atoms, found in zip(frames, Potential(artifact).evaluate(frames), strict=True):
            atoms.info["REF_energy"] = found.energy
            atoms.arrays["REF_forces"] = found.forces + 0.125
        write_frames(tmp_path / "labelled.xyz", frames)
        errors = self.hint(
            "evaluate", artifact, tmp_path / "labelled.xyz", "-o", tmp_path / "out", "--json", "--no-plots"
        )
        assert json.loads(errors)["metrics"]["forces_mae"] == pytest.approx(0.125, abs=1e-6)

    def test_wrong_requests(self, tmp_path, alphanet_artifact):
        source = make_checkpoint("alphanet", "float64", tmp_path)
        for arguments, message in (
            (("export", tmp_path / "no.model"), "no model file"),
            (("export", source, "-o", source), "is the checkpoint; choose another name"),
            (("export", source, "-o", tmp_path / "no" / "x.pt"), "is no folder; make it first"),
            (("inspect", source), r"is not a HINT artifact \(it is a pickle"),
        ):
            with pytest.raises((DataError, OptionsError), match=message):
                self.hint(*arguments)


def test_how_it_was_trained_goes_along(tmp_path):
    source = make_checkpoint("mace", "float64", tmp_path)
    model = torch.load(source, weights_only=False)
    model.hint_training = json.dumps({"command": "mace_run_train --loss hint_hutchinson"})
    torch.save(model, source)
    metadata = exporting.export(source, tmp_path / "model.hint.pt")
    assert metadata.provenance["training"]["command"] == "mace_run_train --loss hint_hutchinson"
    assert metadata.trained_on == {"energies": True, "forces": True, "stress": False, "hessians": True}
    assert read_metadata(tmp_path / "model.hint.pt").trained_on == metadata.trained_on
