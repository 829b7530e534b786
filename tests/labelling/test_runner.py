"""The runner: order, failures, kills and what is left after them."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import time

import numpy as np
import pytest
from ase.build import molecule

pytest.importorskip("tblite", reason="needs tblite: pip install '.[label]'")

from label_runs import (
    kill,
    make_input,
    numbers,
    of_run,
    same_labels,
    start,
    wait_for_results,
    wait_until_gone,
)
from worker_setups import setup_broken, setup_dead, setup_fragile

from hint_plugin.data import read_frames, read_label, write_frames
from hint_plugin.errors import DataError, EngineError, OptionsError
from hint_plugin.labelling import LabelSettings, run_labelling
from hint_plugin.parallel.journal import Journal
from hint_plugin.parallel.pool import Failure, run_tasks


@pytest.mark.parametrize("suffix", ["xyz", "h5"])
def test_all_labels_in_input_order(tmp_path, suffix):
    make_input(tmp_path / "in.xyz", 10, bad=5)
    out = tmp_path / f"out.{suffix}"
    seen = []
    summary = run_labelling([tmp_path / "in.xyz"], out, jobs=2, report=lambda *count: seen.append(count))
    assert numbers(out) == [0, 1, 2, 3, 4, 6, 7, 8, 9]
    assert (summary.frames, summary.labelled, summary.hessians, summary.failed) == (10, 9, 9, 1)
    assert seen[0] == (0, 0, 10) and seen[-1] == (10, 1, 10)
    for atoms in read_frames(out):
        label = read_label(atoms)
        assert label.kind == "full" and label.noise < 1e-3 and label.provenance["engine"] == "gfn2-xtb"
        assert atoms.arrays["REF_forces"].shape == atoms.positions.shape and atoms.info["REF_energy"] < 0
    [failed] = read_frames(tmp_path / "out.failed.xyz")
    assert failed.info["number"] == 5 and "not converged" in failed.info["hint_error"]
    assert summary.failures[0]["frame"] == 5
    assert json.loads(json.dumps(summary.as_dict())) == summary.as_dict()
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(["in.xyz", out.name, "out.failed.xyz"])


def test_several_inputs_and_modes(tmp_path):
    make_input(tmp_path / "a.xyz", 3)
    make_input(tmp_path / "b.h5", 4)
    settings = LabelSettings(hessian="projected", n_probes=2, hessian_every=3, seed=5)
    for jobs, name in ((2, "two.h5"), (1, "one.h5")):
        run_labelling([tmp_path / "a.xyz", tmp_path / "b.h5"], tmp_path / name, settings, jobs=jobs)
    two, one = read_frames(tmp_path / "two.h5"), read_frames(tmp_path / "one.h5")
    assert [atoms.info["number"] for atoms in two] == [0, 1, 2, 0, 1, 2, 3]
    assert [read_label(atoms) is not None for atoms in two] == [True, False, False] * 2 + [True]
    for first, second in zip(one, two, strict=True):
        assert first.info["REF_energy"] == pytest.approx(second.info["REF_energy"], abs=1e-9)
        if "REF_probes" in first.arrays:
            assert first.arrays["REF_probes"].shape == (len(first), 6)
            np.testing.assert_array_equal(first.arrays["REF_probes"], second.arrays["REF_probes"])
    assert two[0].info["hint_seed"] == 5 and two[1].info["hint_hessian"] == "none"
    fraction = LabelSettings(hessian_fraction=0.4)
    summary = run_labelling([tmp_path / "a.xyz", tmp_path / "b.h5"], tmp_path / "part.h5", fraction, jobs=2)
    assert summary.hessians == 3 and summary.labelled == 7


def test_killed_and_resumed(tmp_path):
    n = 60
    make_input(tmp_path / "in.xyz", n, bad=1)
    journal = tmp_path / "out.xyz.partial.jsonl"
    done = 0
    for more in (4, 6):  # killed twice
        process = start(tmp_path, "--jobs", "2")
        wait_for_results(journal, done + more)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert not (tmp_path / "out.xyz").exists()
        done = journal.read_bytes().count(b"\n") - 1
        assert done < n
    with open(journal, "ab") as handle:
        handle.write(b'{"frame": 59, "energ')  # as a kill in the middle of a line leaves it
    process = start(tmp_path, "--jobs", "2", "--json")
    output, errors = process.communicate(timeout=120)
    assert process.returncode == 3, errors
    summary = json.loads(output)
    assert summary["resumed"] == done and summary["labelled"] == n - 1 and summary["failed"] == 1
    assert numbers(tmp_path / "out.xyz") == [i for i in range(n) if i != 1]
    assert all(read_label(atoms) is not None for atoms in read_frames(tmp_path / "out.xyz"))
    assert not journal.exists()


@pytest.mark.slow
def test_killed_at_any_moment(tmp_path):
    """Nothing lost, nothing doubled, and the numbers of a run that nobody disturbed."""
    rng = random.Random(1)
    n, journal, done = 40, tmp_path / "out.xyz.partial.jsonl", 0
    make_input(tmp_path / "in.xyz", n, names=["CH3CH2OH", "H2O"])
    for _ in range(3):
        process = start(tmp_path, "--jobs", "2")
        wait_for_results(journal, done + rng.randint(0, 6))
        time.sleep(rng.random() * 0.3)
        kill(process, journal)
        assert not (tmp_path / "out.xyz").exists()
        done = journal.read_bytes().count(b"\n") - 1
    process = start(tmp_path, "--jobs", "2")
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    run_labelling([tmp_path / "in.xyz"], tmp_path / "undisturbed.xyz", jobs=2)
    same_labels(tmp_path / "out.xyz", tmp_path / "undisturbed.xyz")


def test_sigterm_leaves_nothing_running(tmp_path):
    make_input(tmp_path / "in.xyz", 200)
    process = start(tmp_path, "--jobs", "2", own=True)
    wait_for_results(tmp_path / "out.xyz.partial.jsonl", 3)
    assert len(of_run(process.pid)) >= 3
    process.terminate()
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130 and "same command" in errors and "Traceback" not in errors
    assert wait_until_gone(process.pid, 10) == []


def test_ctrl_c_says_how_to_go_on(tmp_path):
    make_input(tmp_path / "in.xyz", 60)
    process = start(tmp_path)
    wait_for_results(tmp_path / "out.xyz.partial.jsonl", 3)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "of 60 frames are done" in errors and "same command" in errors and "Traceback" not in errors


def test_another_run_does_not_resume(tmp_path):
    make_input(tmp_path / "in.xyz", 60)
    journal, out = tmp_path / "out.xyz.partial.jsonl", tmp_path / "out.xyz"
    process = start(tmp_path)
    wait_for_results(journal, 3)
    with pytest.raises(OptionsError, match="another hint label"):
        run_labelling([tmp_path / "in.xyz"], out)
    kill(process, journal)
    before = journal.read_bytes()
    with pytest.raises(OptionsError, match=r"charge: 0 then, 1 now.*--restart"):
        run_labelling([tmp_path / "in.xyz"], out, LabelSettings(charge=1))
    make_input(tmp_path / "in.xyz", 3)
    with pytest.raises(OptionsError, match="input 0"):
        run_labelling([tmp_path / "in.xyz"], out)
    assert journal.read_bytes() == before
    summary = run_labelling([tmp_path / "in.xyz"], out, restart=True)
    assert summary.labelled == 3 and summary.resumed == 0 and not journal.exists()


def test_existing_output_and_labels_are_safe(tmp_path):
    source, out = tmp_path / "in.xyz", tmp_path / "out.xyz"
    make_input(source, 3)
    out.write_text("precious")
    with pytest.raises(OptionsError, match="--overwrite"):
        run_labelling([source], out)
    assert out.read_text() == "precious" and not (tmp_path / "out.xyz.partial.jsonl").exists()
    run_labelling([source], out, LabelSettings(overwrite=True))
    assert numbers(out) == [0, 1, 2]
    with pytest.raises(OptionsError, match="input and output"):
        run_labelling([out], out, LabelSettings(overwrite=True))

    frames = read_frames(out)
    frames[1].info["REF_energy"] = 123.0  # a complete label of somebody else: kept
    write_frames(source, [*frames, molecule("H2")])
    out.unlink()
    summary = run_labelling([source], out)
    assert (summary.kept, summary.labelled) == (3, 1)
    assert read_frames(out, 1)[0].info["REF_energy"] == 123.0

    del frames[2].info["REF_hessian"]
    write_frames(source, frames)
    with pytest.raises(OptionsError, match="1 frame has some of the labels.*frame 2"):
        run_labelling([source], tmp_path / "new.xyz")
    run_labelling([source], tmp_path / "new.xyz", LabelSettings(hessian="none", overwrite=True))
    fresh = read_frames(tmp_path / "new.xyz")
    assert fresh[1].info["REF_energy"] < 0 and all("REF_hessian" not in atoms.info for atoms in fresh)


def test_frames_that_failed_are_no_output_of_themselves(tmp_path):
    """`hint label out.failed.xyz -o out.xyz` removed its own input; a message of lines broke the file."""
    failed = tmp_path / "out.failed.xyz"
    frames = [molecule("H2O", info={"hint_error": "SCF failed\nsee the log"}), molecule("H2")]
    write_frames(failed, frames)
    assert read_frames(failed, 0)[0].info["hint_error"] == "SCF failed\nsee the log"
    with pytest.raises(OptionsError, match="out.failed.xyz is an input.*Choose another output"):
        run_labelling([failed], tmp_path / "out.xyz")
    assert len(read_frames(failed)) == 2


def test_damaged_lines_of_a_journal_are_named(tmp_path):
    path, header = tmp_path / "out.partial.jsonl", {"run": {"a": 1}}
    kept = Journal(path, header)
    for frame in range(3):
        kept.add(frame, {"energy": -1.5, "forces": np.ones((2, 3))})
    kept.close()
    whole = path.read_bytes()
    again = Journal(path, header)
    assert len(again) == 3 and again[1]["energy"] == -1.5 and set(again[1]) == {"frame", "energy", "forces"}
    again.close()
    lines = whole.splitlines(keepends=True)
    for damaged, said in (
        (lines[2].replace(b"-1.5", b"-1.6"), "its checksum is that of other content"),
        (lines[2].replace(b"crc32", b"crc33"), "it has no checksum"),
        (lines[2].replace(b'"frame"', b'"frame'), "checksum"),
    ):
        path.write_bytes(lines[0] + lines[1] + damaged + lines[3])
        with pytest.raises(DataError, match=f"jsonl, line 3: damaged .*{said}.*Remove this line"):
            Journal(path, header)
    old = [re.sub(rb', "(crc32|checksums)": (\d+|true)', b"", line) for line in lines]  # of a HINT before
    path.write_bytes(b"".join(old))
    before = Journal(path, header)
    assert len(before) == 3 and np.all(before[2]["forces"] == 1)
    before.close()
    path.write_bytes(b"".join(old[:2]) + b"{damaged\n")
    with pytest.raises(DataError, match="line 3: damaged"):
        Journal(path, header)


def test_a_pipe_is_no_input(tmp_path):
    os.mkfifo(tmp_path / "pipe.xyz")
    with pytest.raises(DataError, match="pipe.xyz: neither a file nor a folder"):
        run_labelling([tmp_path / "pipe.xyz"], tmp_path / "out.xyz")


def test_inputs_that_cannot_be_read(tmp_path):
    with pytest.raises(DataError, match="no such file"):
        run_labelling([tmp_path / "none.xyz"], tmp_path / "out.xyz")
    (tmp_path / "empty.xyz").write_text("")
    with pytest.raises(OptionsError, match="no frames"):
        run_labelling([tmp_path / "empty.xyz"], tmp_path / "out.xyz")
    for wrong in (LabelSettings(engine="dft"), LabelSettings(hessian_every=2, hessian_fraction=0.5)):
        with pytest.raises(OptionsError):
            run_labelling([tmp_path / "empty.xyz"], tmp_path / "out.xyz", wrong)


@pytest.mark.spawn
def test_dead_workers_are_failures_and_the_rest_goes_on(capfd):
    payloads = [0, "die", 1, "raise", "exit", 2, 3]
    results = dict(run_tasks(enumerate(payloads), setup_fragile, 2))
    assert set(results) == set(range(7))
    assert "SIGKILL" in results[1].message and "memory" in results[1].message
    assert "ZeroDivisionError: oops" in results[3].message
    assert "exit code 7: last words" in results[4].message
    for number in (0, 2, 5, 6):
        assert results[number] == (payloads[number], "1")
    assert all(isinstance(results[number], Failure) for number in (1, 3, 4))
    assert "noise" not in capfd.readouterr().out


@pytest.mark.spawn
def test_workers_that_cannot_start():
    with pytest.raises(EngineError, match="before their first frame.*exit code 9"):
        list(run_tasks(enumerate([1, 2]), setup_dead, 2))
    with pytest.raises(EngineError, match="no licence"):
        list(run_tasks(enumerate([1, 2]), setup_broken, 2))
