"""Labelling under Parsl: the same labels, and what happens when workers, nodes or the run itself die."""

from __future__ import annotations

import json
import logging
import os
import pickle
import random
import signal
import sys
import time
from pathlib import Path

import pytest

pytest.importorskip("tblite", reason="needs tblite: pip install '.[label]'")
pytest.importorskip("parsl", reason="needs Parsl: pip install '.[cluster]'")
pytest.importorskip("yaml", reason="needs PyYAML: pip install '.[cluster]'")
if sys.platform == "win32":
    pytest.skip("Parsl needs POSIX", allow_module_level=True)

import worker_setups
from label_runs import (
    command,
    make_input,
    numbers,
    of_run,
    same_labels,
    start,
    wait_for_results,
    wait_until_gone,
)
from worker_setups import setup_broken, setup_dead, setup_fragile

import hint_plugin
from hint_plugin.cli.support.progress import Bar
from hint_plugin.data import read_frames
from hint_plugin.errors import EngineError, MissingDependencyError, OptionsError
from hint_plugin.labelling import run_labelling
from hint_plugin.parallel.cluster_settings import ClusterSettings, read_settings
from hint_plugin.parallel.parsl_config import FailedJobs, make_config, read_parsl_file
from hint_plugin.parallel.parsl_pool import ChunkSizes, run_tasks_on_parsl
from hint_plugin.parallel.parsl_worker import work_on
from hint_plugin.parallel.pool import Failure

CONFIGS = Path(hint_plugin.__file__).parents[1] / "configs" / "label"


def local_file(folder: Path, **keys: object) -> Path:
    """A configuration of two workers on this machine, with keys added or replaced."""
    found = {"provider": "local", "workers_per_node": 2, **keys}
    (folder / "cluster.yaml").write_text("".join(f"{k}: {json.dumps(v)}\n" for k, v in found.items()))
    return folder / "cluster.yaml"


@pytest.fixture(autouse=True)
def workers_find_the_helpers(monkeypatch):
    """Workers are given the PYTHONPATH, and not what pytest has put into sys.path."""
    folder = str(Path(worker_setups.__file__).parent)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([folder, os.environ.get("PYTHONPATH", "")]))


def is_interchange(process: int) -> bool:
    """Under either of its names: it renames itself where setproctitle is installed."""
    return any(name in command(process) for name in ("parsl_interchange", "HTEX interchange"))


# The file


@pytest.mark.parametrize("name", ["local", "slurm", "pbs", "kubernetes"])
def test_examples_are_good(name):
    assert read_settings(CONFIGS / f"{name}.yaml").provider == name


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("walltme: '1:00:00'", "no key 'walltme'; did you mean walltime"),
        ("colour: red", "no key 'colour'; there is provider, nodes"),
        ("provider: slrum", "no provider 'slrum'; did you mean slurm"),
        ("nodes: two", "nodes is 'two'; wanted a whole number"),
        ("nodes: true", "nodes is True; wanted a whole number"),
        ("account: 12", "account is 12; wanted text"),
        ("workers_per_node: 0", "workers_per_node is 0; wanted at least 1"),
        ("retries: -1", "retries is -1; wanted at least 0"),
        ("walltime: 90 minutes", "walltime is '90 minutes'; wanted \"HH:MM:SS\""),
        ("provider: local\nnodes: 3", "the local provider has one"),
        ("provider: kubernetes", "needs the key image"),
        ("- slurm", "wanted lines 'key: value', got list"),
        ("nodes: [", "not YAML"),
    ],
)
def test_wrong_files_are_refused(tmp_path, text, message):
    (tmp_path / "c.yaml").write_text(text)
    with pytest.raises(OptionsError, match="c.yaml") as error:
        read_settings(tmp_path / "c.yaml")
    assert message in str(error.value)


def test_walltime_without_quotation_marks(tmp_path):
    """YAML 1.1 reads 12:30:05 as a number of base 60."""
    (tmp_path / "c.yaml").write_text("walltime: 12:30:05")
    assert read_settings(tmp_path / "c.yaml").walltime == "12:30:05"


def test_slurm_and_pbs(tmp_path):
    settings = ClusterSettings(
        provider="slurm",
        nodes=3,
        workers_per_node=8,
        threads_per_worker=2,
        walltime="02:00:00",
        partition="short",
        account="chem",
        memory_per_node=64,
        worker_init="module load xtb",
        scheduler_options="#SBATCH --qos=low",
    )
    executor = make_config(settings, tmp_path, FailedJobs(3)).executors[0]
    slurm = executor.provider
    assert (slurm.max_blocks, slurm.nodes_per_block, slurm.cores_per_node, slurm.mem_per_node) == (
        3,
        1,
        16,
        64,
    )
    assert (slurm.partition, slurm.account, slurm.walltime) == ("short", "chem", "02:00:00")
    assert "#SBATCH --qos=low" in slurm.scheduler_options
    assert slurm.worker_init.index("OMP_NUM_THREADS=2") < slurm.worker_init.index("module load xtb")
    assert executor.max_workers_per_node == 8 and executor.drain_period == 6600
    settings = ClusterSettings(provider="pbs", workers_per_node=4, partition="q", memory_per_node=8)
    pbs = make_config(settings, tmp_path, FailedJobs(1)).executors[0].provider
    assert (pbs.queue, pbs.cpus_per_node, pbs.select_options) == ("q", 4, "mem=8gb")


def test_kubernetes_needs_its_client(tmp_path):
    try:
        import kubernetes  # noqa: F401
    except ImportError:
        with pytest.raises(MissingDependencyError, match="pip install kubernetes"):
            make_config(ClusterSettings(provider="kubernetes", image="hint"), tmp_path, FailedJobs(1))
    else:
        pytest.skip("kubernetes is installed")


PYTHON = """
from parsl.config import Config
from parsl.executors import HighThroughputExecutor, ThreadPoolExecutor
from parsl.providers import LocalProvider
frames_per_task = 7
config = Config(executors=[HighThroughputExecutor(
    max_workers_per_node=3, provider=LocalProvider(max_blocks=2, worker_init="export A=1"))])
"""


def test_python_files(tmp_path):
    file = tmp_path / "c.py"
    file.write_text(PYTHON)
    run = read_parsl_file(file, tmp_path / "logs")
    assert (run.workers, run.frames_per_task, run.retries) == (6, 7, 2)
    assert run.config.run_dir == str(tmp_path / "logs")
    init = run.config.executors[0].provider.worker_init
    assert init.index("OMP_NUM_THREADS=1") < init.index("export A=1")
    for text, message in (
        ("config = 3", "wanted config = parsl.config.Config"),
        (PYTHON + "retries = 'many'", "retries is 'many'"),
        (PYTHON + "config = Config(executors=[ThreadPoolExecutor()])", "ThreadPoolExecutor does not start"),
    ):
        file.write_text(text)
        with pytest.raises(OptionsError, match=message):
            read_parsl_file(file, tmp_path / "logs")
    with pytest.raises(OptionsError, match="no such file"):
        read_parsl_file(tmp_path / "none.yaml", tmp_path)


# Chunks


def test_chunks_grow_to_ten_seconds_and_shrink_at_the_end():
    sizes = ChunkSizes(workers=2)
    assert sizes.next(10_000) == 1  # nothing is known yet
    sizes.seen(1, 0.1)
    assert sizes.next(10_000) == 4  # 100 would be 10 s, but one frame is little to go by
    for _ in range(20):
        sizes.seen(50, 5.0)
    assert sizes.next(10_000) == 100
    assert sizes.next(100) == 25 and sizes.next(4) == 1 and sizes.next(1) == 1
    for _ in range(20):
        sizes.seen(1, 3600.0)
    assert sizes.next(10_000) == 1
    assert ChunkSizes(workers=2, fixed=9).next(10_000) == 9


def test_a_worker_keeps_its_engine_and_wants_the_same_version():
    setup, payloads = pickle.dumps(setup_fragile), pickle.dumps([1, "raise", 2])
    result = work_on("0.0.0-other", setup, payloads)
    assert isinstance(result.error, EngineError) and "0.0.0-other" in str(result.error)


def test_rate_and_time_left_of_bursts(capsys):
    """20 frames come at once every 10 s, after an hour in the queue: 2 frames/s, whenever it is looked at."""
    clock = [0.0]
    progress = Bar("labelling", clock=lambda: clock[0])
    progress(100, 0, 2000)  # from an interrupted run
    done, clock[0] = 100, 3600.0
    while done < 1500:
        clock[0] += 10
        for _ in range(20):
            done += 1
            progress(done, 1, 2000)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("101/2000 frames, 1.00/h")  # the one that came
    frames, rest = lines[-1].split(" frames, ")
    count = int(frames.split("/")[0])
    assert rest.endswith("left 1 failed") and abs(float(rest.split("/s")[0]) - 2) < 0.2
    hours, minutes, seconds = map(int, rest.split(", ")[1].split()[0].split(":"))
    assert abs(3600 * hours + 60 * minutes + seconds - (2000 - count) / 2) < 30


def test_no_rate_without_progress(capsys):
    """Nothing is done between two looks: there is no time left to tell, and no error."""
    clock = [0.0]
    progress = Bar("labelling", clock=lambda: clock[0])
    for clock[0] in (0.0, 100.0):
        progress(5, 0, 20)
    assert capsys.readouterr().err == "5/20 frames, 0.00/h\n"


# Runs


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory) -> Path:
    """30 ethanol and water molecules, labelled by local processes."""
    folder = tmp_path_factory.mktemp("undisturbed")
    make_input(folder / "in.xyz", 30, names=["CH3CH2OH", "H2O"])
    run_labelling([folder / "in.xyz"], folder / "out.xyz", jobs=2)
    return folder


@pytest.mark.slow
def test_deaths_are_tried_again_then_reported(tmp_path, caplog):
    run = read_parsl_file(local_file(tmp_path, frames_per_task=3, retries=1), tmp_path / "parsl")
    payloads = [0, 1, 2, 3, "die", 4, "raise", 5, "exit", 6]
    with caplog.at_level(logging.WARNING, "hint_plugin"):
        found = list(run_tasks_on_parsl(enumerate(payloads), setup_fragile, run, len(payloads)))
    results = dict(found)
    assert len(found) == len(results) == len(payloads)
    for number in (4, 8):
        assert "died 2 times" in results[number].message
    assert "killed by SIGKILL (out of memory?)" in results[4].message
    assert "exit code 7: last words" in results[8].message
    assert "ZeroDivisionError: oops" in results[6].message
    good = [number for number in results if not isinstance(results[number], Failure)]
    assert [results[number] for number in sorted(good)] == [(n, "1") for n in range(7)]
    again = [record.getMessage() for record in caplog.records if "given again" in record.getMessage()]
    assert len(again) == 2 and "frame 4 is" in caplog.text and "frame 8 is" in caplog.text


@pytest.mark.slow
@pytest.mark.parametrize(
    ("setup", "message"),
    [
        pytest.param(setup_broken, "no licence", marks=pytest.mark.long),
        (setup_dead, "before their first frame"),
    ],
)
def test_workers_that_cannot_start(tmp_path, setup, message):
    run = read_parsl_file(local_file(tmp_path), tmp_path / "parsl")
    with pytest.raises(EngineError, match=message):
        list(run_tasks_on_parsl(enumerate([1, 2]), setup, run, 2))
    assert (tmp_path / "parsl").exists()  # the logs are for whoever looks for the reason


def test_a_node_without_the_engine(tmp_path):
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "sitecustomize.py").write_text("import sys\nsys.modules['tblite'] = None\n")
    file = local_file(tmp_path, worker_init=f"export PYTHONPATH={tmp_path / 'broken'}:$PYTHONPATH")
    make_input(tmp_path / "in.xyz", 5)
    with pytest.raises(MissingDependencyError, match=r"needs tblite.*\(on "):
        run_labelling([tmp_path / "in.xyz"], tmp_path / "out.xyz", parsl=file)


@pytest.mark.long
def test_a_node_without_hint_and_jobs_that_fail(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # workers start there, and would find a source tree
    (tmp_path / "broken" / "hint_plugin").mkdir(parents=True)
    (tmp_path / "broken" / "hint_plugin" / "__init__.py").write_text("")
    make_input(tmp_path / "in.xyz", 5)
    file = local_file(tmp_path, worker_init=f"export PYTHONPATH={tmp_path / 'broken'}:$PYTHONPATH")
    with pytest.raises(EngineError, match="workers cannot import.*hint_plugin.*worker_init"):
        run_labelling([tmp_path / "in.xyz"], tmp_path / "out.xyz", parsl=file)
    file = local_file(tmp_path, worker_init="echo no such module >&2; exit 5")
    with pytest.raises(EngineError, match="exit code 5; no such module"):
        run_labelling([tmp_path / "in.xyz"], tmp_path / "out.xyz", parsl=file)


@pytest.mark.long
def test_killed_at_random_and_resumed(tmp_path, undisturbed):
    rng = random.Random(7)
    (tmp_path / "in.xyz").write_bytes((undisturbed / "in.xyz").read_bytes())
    file, journal = local_file(tmp_path, frames_per_task=2), tmp_path / "out.xyz.partial.jsonl"
    done, runs = 0, []
    for _ in range(2):
        process = start(tmp_path, "--parsl", str(file))
        runs.append(process.pid)
        wait_for_results(journal, done + rng.randint(0, 6))
        time.sleep(rng.random() * 0.2)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert not (tmp_path / "out.xyz").exists()
        done = journal.read_bytes().count(b"\n") - 1
    process = start(tmp_path, "--parsl", str(file), "--json")
    output, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    assert json.loads(output)["resumed"] == done > 0
    same_labels(tmp_path / "out.xyz", undisturbed / "out.xyz")
    assert not journal.exists() and not (tmp_path / "out.xyz.parsl").exists()
    # nobody stopped the workers of the killed runs: they have to notice
    assert [left for run in [*runs, process.pid] for left in wait_until_gone(run, 60)] == []


@pytest.mark.slow
def test_a_node_dies_and_the_run_goes_on(tmp_path, undisturbed):
    (tmp_path / "in.xyz").write_bytes((undisturbed / "in.xyz").read_bytes())
    process = start(tmp_path, "--parsl", str(local_file(tmp_path, frames_per_task=2)))
    wait_for_results(tmp_path / "out.xyz.partial.jsonl", 4)
    for part in of_run(process.pid):
        if part != process.pid and not is_interchange(part):
            os.kill(part, signal.SIGKILL)
    _, errors = process.communicate(timeout=180)
    assert process.returncode == 0, errors
    assert "the node on" in errors and "given again" in errors
    same_labels(tmp_path / "out.xyz", undisturbed / "out.xyz")
    assert wait_until_gone(process.pid, 30) == []


@pytest.mark.parametrize("number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.long)])
def test_stopped_it_leaves_nothing_running(tmp_path, number):
    make_input(tmp_path / "in.xyz", 300, names=["CH3CH2OH"])
    process = start(tmp_path, "--parsl", str(local_file(tmp_path)))
    wait_for_results(tmp_path / "out.xyz.partial.jsonl", 3)
    os.killpg(process.pid, number)  # as a terminal, `timeout`, or a service does
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert "frames are done" in errors and "same command" in errors and "Traceback" not in errors
    assert wait_until_gone(process.pid, 10) == []


@pytest.mark.long
def test_an_interchange_that_dies_ends_the_run(tmp_path):
    make_input(tmp_path / "in.xyz", 300, names=["CH3CH2OH"])
    process = start(tmp_path, "--parsl", str(local_file(tmp_path, frames_per_task=40)))
    wait_for_results(tmp_path / "out.xyz.partial.jsonl", 3)
    [interchange] = [part for part in of_run(process.pid) if is_interchange(part)]
    os.kill(interchange, signal.SIGKILL)
    _, errors = process.communicate(timeout=120)  # a command under way waits for a minute
    assert process.returncode == 2, errors
    assert "interchange has ended" in errors and "Traceback" not in errors
    assert wait_until_gone(process.pid, 10) == []


def test_order_and_failures_are_those_of_local_runs(tmp_path):
    make_input(tmp_path / "in.xyz", 10, bad=5)
    seen = []
    summary = run_labelling(
        [tmp_path / "in.xyz"],
        tmp_path / "out.h5",
        parsl=local_file(tmp_path),
        report=lambda *count: seen.append(count),
    )
    assert numbers(tmp_path / "out.h5") == [0, 1, 2, 3, 4, 6, 7, 8, 9]
    assert not (tmp_path / "out.h5.parsl").exists()
    assert (summary.labelled, summary.failed) == (9, 1) and seen[-1] == (10, 1, 10)
    [failed] = read_frames(tmp_path / "out.failed.xyz")
    assert failed.info["number"] == 5 and "not converged" in failed.info["hint_error"]
