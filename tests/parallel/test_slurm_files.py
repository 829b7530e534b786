"""The files of configs/slurm: what Slurm reads of them, and those that label and search, by a fake Slurm."""

from __future__ import annotations

import json
import math
import re
import shutil
import subprocess
import time
from pathlib import Path

import pytest
from fake_slurm import CONFIGS, OPTIONS, SCRIPTS, directives, program, sbatch
from label_runs import make_input
from reaction_runs import hcn

from hint_plugin.data import read_frames, read_label, write_frames

PAGE = (CONFIGS.parents[1] / "docs" / "training-cluster.md").read_text()


@pytest.mark.parametrize("name", SCRIPTS)
def test_files_are_shell_and_their_options_are_of_sbatch(name):
    subprocess.run(["bash", "-n", str(CONFIGS / name)], check=True)
    found = directives(CONFIGS / name)
    assert set(found) <= OPTIONS and {"job-name", "time", "cpus-per-task"} <= set(found)
    lines = (CONFIGS / name).read_text().splitlines()
    assert max(map(len, lines)) <= 125
    first = lines.index("set -euo pipefail")  # sbatch reads no option behind the first command
    assert not any(line.startswith("#SBATCH") for line in lines[first:])
    assert name in PAGE


def test_shellcheck():
    program_path = shutil.which("shellcheck")
    if program_path is None:
        pytest.skip("needs shellcheck: apt-get install shellcheck")
    # SC2086: some variables hold several words
    subprocess.run([program_path, "-e", "SC2086", *(str(CONFIGS / name) for name in SCRIPTS)], check=True)


HINT = r"""
import os, pathlib, signal, sys, time

words = sys.argv[1:]
with open("called", "a") as log:
    log.write(" ".join(words) + "\n")
assert not [name for name in os.environ if name.startswith("SLURM_")], "the jobs would inherit them"
if words[0] in ("label", "reactions"):
    out = pathlib.Path(words[words.index("-o") + 1])
    if os.environ.get("WAIT"):
        def stop(*_):
            pathlib.Path("stopped").touch()
            sys.exit(130)
        signal.signal(signal.SIGTERM, stop)
        pathlib.Path("waiting").touch()
        time.sleep(60)
    out.touch()
    sys.exit(int(os.environ.get("STATUS", 0)))
if words[1] == "split":
    pathlib.Path(words[words.index("-o") + 1]).mkdir()
else:
    pathlib.Path(words[words.index("--mace-statistics") + 1]).touch()
"""


@pytest.fixture
def job(tmp_path):
    """A folder with a `hint` that only leaves what the next step looks for."""
    program(tmp_path / "bin", "hint", HINT)
    return tmp_path


def called(folder: Path) -> list[str]:
    return (folder / "called").read_text().splitlines()


@pytest.mark.parametrize(("status", "wanted"), [(0, 3), (3, 3), (2, 1)])
def test_labels_statistics_and_what_is_there_is_not_done_again(job, status, wanted):
    """Frames that fail (3) do not stop it; a run that could do nothing (2) does."""
    done = sbatch("label.sh", "--keep-labels", folder=job, STATUS=status)
    assert (done.returncode == 0) == (status != 2), done.stdout
    first = "label molecules.xyz -o labels/labelled.h5 --engine gfn2-xtb --parsl configs/label/slurm.yaml"
    assert called(job)[0] == f"{first} --keep-labels" and len(called(job)) == wanted
    if status != 2:
        assert sbatch("label.sh", folder=job).returncode == 0
        assert len(called(job)) == wanted


def test_reactions(job):
    assert sbatch("reactions.sh", "--timeout", 60, folder=job).returncode == 0
    line = (
        "reactions reactions -o results --model model.hint.pt --parsl configs/label/slurm.yaml --timeout 60"
    )
    assert called(job) == [line]


@pytest.mark.parametrize("name", ["label.sh", "reactions.sh"])
def test_the_end_of_the_time_is_passed_on(job, name):
    """SIGTERM to the batch shell alone, as `--signal=B:TERM@120` sends it."""
    running = subprocess.Popen(
        ["bash", str(CONFIGS / name)],
        cwd=job,
        env={"PATH": f"{job / 'bin'}:/usr/bin:/bin", "WAIT": "1"},
    )
    until = time.monotonic() + 60
    while not (job / "waiting").exists() and time.monotonic() < until:
        time.sleep(0.05)
    running.terminate()
    assert running.wait(60) != 0
    assert (job / "stopped").exists() and len(called(job)) == 1


def binomial(n: int, k: int, p: float) -> float:
    return math.comb(n, k) * p**k * (1 - p) ** (n - k)


def test_the_table_of_few_labels():
    """Means over shuffles: P processes of B structures, each labelled with probability f."""
    rows = re.findall(
        r"^\| (\d+) % \| (\d+) \| ([\d.]+) \| ([\d.]+) \| ([\d.]+) % \| ([\d.]+) % \|$", PAGE, re.M
    )
    assert len(rows) >= 4
    for percent, batch, mean, most, one_without, all_without in rows:
        f, b, processes = int(percent) / 100, int(batch), 4
        below = [sum(binomial(b, j, f) for j in range(k + 1)) for k in range(b)]
        expected = sum(1 - chance**processes for chance in below)
        none = (1 - f) ** b
        found = [b * f, expected, 100 * (1 - (1 - none) ** processes), 100 * none**processes]
        shown = [float(x) for x in (mean, most, one_without, all_without)]
        assert shown == pytest.approx(found, abs=0.051), (percent, batch, found)


@pytest.mark.long
def test_labels_and_reactions_for_real(tmp_path):
    """Parsl's workers on this machine; the labels go through split and statistics, the reaction is found."""
    for package in ("tblite", "parsl", "sella"):
        pytest.importorskip(package)
    make_input(tmp_path / "molecules.xyz", 6, names=["H2O", "N2"])
    settings = {
        "CLUSTER": CONFIGS.parent / "label" / "local.yaml",
        "SPLIT_BY": "frame",
        "FRACTIONS": "0.6 0.2 0.2",
    }
    done = sbatch("label.sh", folder=tmp_path, **settings)
    assert done.returncode == 0, done.stdout[-3000:]
    parts = [read_frames(tmp_path / "labels" / "parts" / f"{name}.h5") for name in ("train", "valid", "test")]
    assert sum(map(len, parts)) == 6 and all(parts)
    assert all(read_label(atoms).kind == "full" for part in parts for atoms in part)
    statistics = json.loads((tmp_path / "labels" / "statistics.json").read_text())
    assert set(json.loads(statistics["atomic_numbers"])) == {1, 7, 8}

    (tmp_path / "reactions").mkdir()
    write_frames(tmp_path / "reactions" / "rxn1.xyz", list(hcn()))
    done = sbatch("reactions.sh", folder=tmp_path, POTENTIAL="--engine gfn2-xtb", CLUSTER=settings["CLUSTER"])
    assert done.returncode == 0, done.stdout[-3000:]
    found = json.loads((tmp_path / "results" / "rxn1" / "reaction.json").read_text())
    assert found["verdict"] == "intended"
