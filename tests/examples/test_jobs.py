"""docs/jobs: each page from its first command to its last, with less of it; the notebooks made of them."""

from __future__ import annotations

import importlib
import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from fake_slurm import CONFIGS, OPTIONS, directives, program
from page_runs import ROOT, commands, run_page, shortened

from hint_plugin.data import read_frames

PAGES = ROOT / "docs" / "jobs"
EXAMPLES = ROOT / "examples" / "jobs"

VIBRATIONS = {
    "hessians/*.hess": "hessians/[HN]*.hess",
    "hessians/*.fchk": "hessians/C3*.fchk",
    "--max_num_epochs 20": "--max_num_epochs 1 --hint_check no --plot False",
    "compare-thermo test.xyz": "compare-thermo test.xyz --fmax 0.1",
}
PHONONS = {
    "--supercell 2 2 2": "--supercell 1 1 1 --points 2 --mesh 10",
    "--copies 8": "--copies 1",
    "--copies 2": "--copies 1",
    "--batch_size 19 --valid_batch_size 19 --max_num_epochs 40 --eval_interval 5": "--batch_size 5 "
    "--max_num_epochs 1 --hint_check no --hint_validation_probes 1 --plot False",
}
REACTIONS = {
    "cp -r ../examples/jobs/reactions .": "mkdir reactions && cp -r ../examples/jobs/reactions/hcn reactions",
    "reference/vinyl_alcohol": "reference/hcn --no-variational",
    "--isotopes 3=D": "--isotopes 0=D",
}
HYDRIDE = {
    "--max_num_epochs 1500 --eval_interval 150": "--max_num_epochs 20 --eval_interval 20 --plot False",
    "--lr_scheduler_gamma 0.9974": "--lr_scheduler_gamma 0.8",
    "--configs 500": "--configs 20 --populations 1",
}
CLUSTER = {"--copies 4": "--copies 1"}


def needs(*modules: str) -> None:
    for module in modules:
        pytest.importorskip(module)


@pytest.mark.slow
def test_vibrations(tmp_path):
    needs("mace", "sella")
    run_page(PAGES / "vibrations.md", tmp_path, VIBRATIONS, {"compare-thermo": 3, "hint vibrations": 3})
    before, after = (metrics(tmp_path / name) for name in ("before", "after"))
    assert before["n_full"] == after["n_full"] == 1
    assert before["hessian_mae"] != after["hessian_mae"]
    assert len(read_frames(tmp_path / "train.xyz")) == 8
    assert (tmp_path / "tuned.hint.pt").is_file()


@pytest.mark.slow
def test_phonons(tmp_path):
    needs("mace", "phonopy")
    run_page(PAGES / "phonons.md", tmp_path, PHONONS, {})
    found = [json.loads((tmp_path / name / "phonons.json").read_text()) for name in ("before", "after")]
    scales = [one["errors"]["bands"]["scale"] for one in found]
    assert 0.5 < scales[0] < 1 and scales[1] != scales[0]  # a universal model is soft
    assert metrics(tmp_path / "others")["n_energy"] == 2


@pytest.mark.slow
def test_reactions(tmp_path):
    needs("sella", "tblite", "dscribe")
    run_page(PAGES / "reactions.md", tmp_path, REACTIONS, {})
    assert json.loads((tmp_path / "rates" / "rates.json").read_text())
    found = json.loads((tmp_path / "ready" / "summary.json").read_text())
    assert "against" in json.dumps(found)
    [saddle] = read_frames(tmp_path / "refined.xyz")
    assert len(saddle) == 3


SBATCH = r"""
import os, sys

words = sys.argv[1:]
with open("submitted", "a") as log:
    print(*words, file=log)
"""


@pytest.mark.slow
def test_cluster(tmp_path, monkeypatch):
    needs("tblite", "parsl")
    program(tmp_path / "bin", "sbatch", SBATCH)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=":")
    run_page(PAGES / "cluster.md", tmp_path, CLUSTER, {})
    assert len(read_frames(tmp_path / "trial.h5")) == 5
    submitted = [line.split() for line in (tmp_path / "submitted").read_text().splitlines()]
    assert len(submitted) == 4
    for words in submitted:
        options = [word for word in words if word.startswith("--")]
        script = next(word for word in words if word.endswith(".sh"))
        given = options[: words.index(script)]
        assert {word[2:].partition("=")[0] for word in given} <= OPTIONS
        assert directives(CONFIGS / script)


def test_variables_of_the_cluster_are_those_of_the_files():
    text = (PAGES / "cluster.md").read_text()
    files = "".join(path.read_text() for path in CONFIGS.glob("*.sh"))
    for name in ("GEOMETRIES", "CLUSTER", "ENGINE", "NAME", "EPOCHS", "BATCH", "LR", "SET", "POTENTIAL"):
        assert name in text and f'"${{{name}:=' in files


@pytest.mark.long
def test_hydride(tmp_path):
    needs("mace", "sscha")
    refused = {"tc_harmonic": 2, "hint sscha": 3, "hint tc elph_dir --dyn sscha_H": 3}
    run_page(PAGES / "hydride.md", tmp_path, HYDRIDE, refused)
    assert json.loads((tmp_path / "tc" / "tc.json").read_text())


def metrics(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "metrics.json").read_text())["metrics"]


@pytest.fixture
def notebooks(monkeypatch):
    """The module that makes them."""
    monkeypatch.syspath_prepend(EXAMPLES)
    return importlib.import_module("notebooks")


def test_notebooks_are_those_of_the_pages(notebooks):
    for name in notebooks.PAGES:
        wanted = notebooks.written((PAGES / f"{name}.md").read_text())
        message = "make it again: python examples/jobs/notebooks.py"
        assert (EXAMPLES / f"{name}.ipynb").read_text() == wanted, message
        cells = json.loads(wanted)["cells"]
        code = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
        joined = code.replace("\\\n", " ")
        assert code.startswith("import os") and "Image(" in code
        for line in commands(PAGES / f"{name}.md"):
            assert " ".join(line.split()) in " ".join(joined.split())


@pytest.mark.long
@pytest.mark.parametrize(
    ("name", "shorter"), [("vibrations", VIBRATIONS), ("phonons", PHONONS), ("reactions", REACTIONS)]
)
def test_notebooks_run(name, shorter, tmp_path, notebooks):
    """As Jupyter runs them, in a folder like that of the clone, with the lines of the tests."""
    needs("nbclient", "ipykernel", "mace", "sella", "phonopy", "tblite")
    import nbformat
    from nbclient import NotebookClient

    place = tmp_path / "examples" / "jobs"
    shutil.copytree(EXAMPLES, place)
    shutil.copytree(ROOT / "tests" / "data" / "formats", tmp_path / "tests" / "data" / "formats")
    read = nbformat.read(place / f"{name}.ipynb", as_version=4)
    nbformat.validate(read)
    for cell in read.cells:
        if cell.cell_type == "code":
            cell.source = shortened(re.sub(r"\\\n\s*", " ", cell.source), shorter)
            if any(word in cell.source for word in ("compare-thermo", "hint vibrations")):
                cell.source = cell.source.replace("bash -e", "bash") + "\ntrue"  # hardly trained: status 3
    client = NotebookClient(read, timeout=600, resources={"metadata": {"path": str(place)}})
    client.execute()
    outputs = [out for cell in read.cells for out in cell.get("outputs", [])]
    assert any("image/png" in out.get("data", {}) for out in outputs)
