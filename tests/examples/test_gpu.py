"""`benchmarks/gpu.py` on a CPU, in its smallest size: rows, interruptions, faults; the folder of wheels."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest
import torch
import warm

ROOT = Path(__file__).parents[2]
CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def benchmarks(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))


@pytest.fixture
def part(tmp_path):
    """A part with its file, opened as often as a test wants."""
    from _gpu_rows import Part

    def opened(minutes: float = 1.0, **options):
        return Part("mace", tmp_path / "mace.json", CPU, options.pop("size", "tiny"), minutes, **options)

    return opened


def rows_of(folder: Path, name: str = "mace") -> dict[str, dict]:
    """The rows of a file, by their names."""
    return {row["name"]: row for row in json.loads((folder / f"{name}.json").read_text())["rows"]}


def never():
    raise AssertionError("measured again")


def run(folder: Path, name: str, *words: str) -> subprocess.CompletedProcess[str]:
    """The script, as a user starts it."""
    command = [sys.executable, str(ROOT / "benchmarks" / "gpu.py"), "--part", name, "-o", str(folder)]
    return warm.run([*command, "--device", "cpu", "--size", "tiny", *words], cwd=ROOT)


def test_a_row_is_kept_and_said_and_one_of_another_size_is_not_taken(part, tmp_path, capsys):
    part().row("a", lambda: {"seconds": 1.0, "spread": 0.1})
    found = part().row("a", never)
    assert found["seconds"] == 1.0 and "a: done: is there, not measured again" in capsys.readouterr().out
    part(size="full").row("a", lambda: {"seconds": 2.0, "spread": None})
    content = json.loads((tmp_path / "mace.json").read_text())
    assert [row["seconds"] for row in content["rows"]] == [1.0, 2.0]
    assert len({row["at"] for row in content["rows"]}) == 2
    assert not list(tmp_path.glob("*.part"))


def test_no_memory_and_a_failure_are_rows_and_the_next_one_is_measured(part, tmp_path):
    new = part()
    new.row("large", lambda: {"bytes": torch.empty(2**55, dtype=torch.uint8).nbytes})
    new.row("cuda", lambda: (_ for _ in ()).throw(torch.OutOfMemoryError("CUDA out of memory. Tried 1 GiB")))
    new.row("broken", lambda: {"x": 1 / 0})
    new.row("next", lambda: {"seconds": 1.0, "spread": None})
    rows = rows_of(tmp_path)
    assert [row["status"] for row in rows.values()] == ["no memory", "no memory", "failed", "done"]
    assert "memory" in rows["large"]["reason"] and "1 GiB" in rows["cuda"]["reason"]
    assert rows["broken"]["reason"] == "ZeroDivisionError: division by zero"
    again = part(again=True)
    again.row("large", never)
    assert again.row("broken", lambda: {"seconds": 1.0, "spread": None})["status"] == "done"


def test_a_broken_device_leaves_the_rest_to_another_start(part):
    new = part()
    new.row("a", lambda: (_ for _ in ()).throw(RuntimeError("CUDA error: an illegal memory access")))
    found = new.row("b", never)
    assert found["status"] == "not run" and "illegal memory access" in found["reason"]
    assert part().row("b", lambda: {"seconds": 1.0, "spread": None})["status"] == "done"


def test_rows_without_time_are_named_and_a_late_one_is_given_up_after_two_starts(part, monkeypatch):
    import _gpu_rows

    monkeypatch.setattr(_gpu_rows, "GRACE", 0.05)
    for tries in (1, 2):
        new = part()
        new.end = time.monotonic() + 0.5
        found = new.row("slow", lambda: time.sleep(100))
        assert (found["status"], found["tries"]) == ("late", tries)
    new = part()
    assert new.row("slow", never)["status"] == "failed"
    new.end = time.monotonic() - 1
    found = new.row("next", never)
    assert found["status"] == "not run" and "minutes are over" in found["reason"]


def test_a_row_that_ends_the_process_twice_is_left_alone(part, tmp_path):
    part().row("deadly", lambda: {"seconds": 1.0, "spread": None})
    content = json.loads((tmp_path / "mace.json").read_text())
    content["rows"][0] |= {"status": "begun", "tries": 2}
    (tmp_path / "mace.json").write_text(json.dumps(content))
    assert "process ended within this row 2 times" in part().row("deadly", never)["reason"]


def test_files_that_are_none_of_ours_are_refused(part, tmp_path):
    from _gpu_rows import Part

    from hint_plugin.errors import HintError

    part().row("a", lambda: {"seconds": 1.0, "spread": None})
    with pytest.raises(HintError, match="holds the part mace; wanted md"):
        Part("md", tmp_path / "mace.json", CPU, "tiny", 1.0)
    (tmp_path / "mace.json").write_text('{"part": "mace"')
    with pytest.raises(HintError, match="not a file of benchmarks/gpu.py"):
        part()


def test_tables_show_what_is_missing(part, tmp_path):
    from _gpu_rows import tables

    new = part()
    new.row("E+F", lambda: {"seconds": 0.1, "spread": 0.01, "frames_per_second": 80.0})
    new.row("K=1", lambda: {"seconds": 0.25, "spread": None, "memory_mb": 512.3}, base="E+F")
    new.row("large", lambda: torch.empty(2**55, dtype=torch.uint8))
    table = tables([tmp_path / "mace.json"])
    assert "| E+F | 100 +- 10 | 80 | - | - |  |" in table
    assert "| K=1 | 250 | - | 2.50 | 512 |  |" in table
    assert "| large | - | - | - | - | no memory: " in table


def test_a_folder_without_files_and_a_device_that_is_not_there_are_errors(tmp_path, capsys):
    import gpu

    assert gpu.main(["--report", "-o", str(tmp_path)]) == 2
    assert gpu.main(["--part", "mace", "--device", "cuda:77", "-o", str(tmp_path)]) == 2
    said = capsys.readouterr().err
    assert "there is no file of a part" in said and "cuda:77" in said


@pytest.mark.slow
def test_a_killed_part_keeps_its_rows_and_goes_on(tmp_path):
    """Killed by force as soon as it has a row; the second start measures the others."""
    words = ["--part", "mace", "--device", "cpu", "--size", "tiny", "-o", str(tmp_path), "--minutes", "10"]
    script = ROOT / "benchmarks" / "gpu.py"
    with subprocess.Popen([sys.executable, str(script), *words], stdout=subprocess.PIPE, text=True) as first:
        for line in first.stdout:
            if ": done" in line:
                first.send_signal(signal.SIGKILL)
                break
    before = rows_of(tmp_path)
    done = [name for name, row in before.items() if row["status"] == "done"]
    assert len(done) == 1
    second = run(tmp_path, "mace", "--minutes", "10")
    assert second.returncode == 0, second.stdout + second.stderr
    after = rows_of(tmp_path)
    assert after[done[0]] == before[done[0]] and f"{done[0]}: done: is there" in second.stdout
    assert len(after) == 5 and {row["status"] for row in after.values()} == {"done"}
    step = after["MACE 4x0e+4x1o, 2 x 9 atoms, K=1"]
    assert step["seconds"] > 0 and step["clock"] == "CPU" and "left out" in step["memory"]
    assert step["parameters"] > 0 and step["labelled"] == 2
    assert step["frames_per_second"] == pytest.approx(2 / step["seconds"])


@pytest.mark.slow
def test_correctness_is_found_and_a_wrong_gradient_as_well(tmp_path, monkeypatch):
    """The gradients of the float32 models get a factor: only rows of AlphaNet, to be short."""
    import _gpu_correctness as correctness
    import gpu

    every = correctness.rows
    monkeypatch.setattr(
        correctness, "rows", lambda c: {k: v for k, v in every(c).items() if k.startswith(("Alpha", "Neq"))}
    )
    words = ["--part", "correctness", "--device", "cpu", "--size", "tiny", "--minutes", "10"]

    def start(folder: str) -> tuple[int, dict[str, dict]]:
        status = gpu.main([*words, "-o", str(tmp_path / folder)], started=time.monotonic())
        return status, rows_of(tmp_path / folder, "correctness")

    status, rows = start("right")
    assert status == 0
    assert rows["AlphaNet, float32"]["status"] == rows["AlphaNet, float64"]["status"] == "done"
    assert rows["AlphaNet, float32"]["deviations"]["gradient"] > 0
    for name in ("NequIP, float32", "NequIP, float64"):
        assert rows[name]["status"] == "not run" and "NequIP is not in this" in rows[name]["reason"]

    placed = correctness.placed

    def planted(model, device, dtype):
        own = placed(model, device, dtype)
        if dtype == torch.float32:
            largest = max((p for p in own.parameters() if p.requires_grad), key=torch.numel)
            largest.register_hook(lambda gradient: 1.2 * gradient)
        return own

    monkeypatch.setattr(correctness, "placed", planted)
    status, rows = start("wrong")
    assert status == 1
    assert rows["AlphaNet, float64"]["status"] == "done"
    assert rows["AlphaNet, float32"]["status"] == "wrong"
    assert "gradient is off by" in rows["AlphaNet, float32"]["wrong"]


def test_wheels_are_squeezed_to_the_limit_and_described(tmp_path):
    import gpu_wheels

    text = "".join(f"line {number % 7}: the same words again\n" for number in range(40000))
    for name in ("large-1-py3-none-any.whl", "small-1-py3-none-any.whl"):
        with zipfile.ZipFile(tmp_path / name, "w") as file:
            file.writestr("module.py", text if "large" in name else "x = 1\n")
    remarks = gpu_wheels.shrink(tmp_path, 100_000)
    assert list(remarks) == ["large-1-py3-none-any.whl"] and gpu_wheels.size_of(tmp_path) < 100_000
    assert zipfile.ZipFile(tmp_path / "large-1-py3-none-any.whl").read("module.py").decode() == text
    gpu_wheels.describe(tmp_path, {"large": "1"}, remarks, "3.12")
    assert "packed again by LZMA: 1.1 MiB before" in (tmp_path / "CONTENTS.txt").read_text()
    assert "--no-index --no-deps --find-links . -r requirements.txt" in (tmp_path / "INSTALL.txt").read_text()


def test_wheels_have_the_versions_of_the_constraints(tmp_path):
    import gpu_wheels

    found = gpu_wheels.pins(ROOT / "constraints.txt", "3.12")
    assert set(found) == set(gpu_wheels.CONSTRAINED) and "torch" not in found
    assert f"mace-torch=={found['mace-torch']}" in (ROOT / "constraints.txt").read_text()
    (tmp_path / "constraints.txt").write_text("numpy==1.0\n")
    with pytest.raises(SystemExit, match="has no line for scipy"):
        gpu_wheels.pins(tmp_path / "constraints.txt", "3.12")


@pytest.mark.parametrize("pure", [True, False])
def test_a_package_without_a_wheel_is_said(tmp_path, monkeypatch, pure):
    """pip finds no wheel; from the source comes one that is pure Python, or one for this Python alone."""
    import gpu_wheels

    def pip(*words):
        if words[0] == "wheel":
            (tmp_path / f"thing-1-{'py3-none-any' if pure else 'cp311-cp311-linux_x86_64'}.whl").write_text(
                ""
            )
        return subprocess.CompletedProcess(words, int(words[0] == "download"), "", "no matching distribution")

    monkeypatch.setattr(gpu_wheels, "pip", pip)
    said = gpu_wheels.fetch("thing", "1", tmp_path, "3.12")
    assert ("built from its source" in said) == pure and said.startswith("error") != pure
    assert len(list(tmp_path.glob("*.whl"))) == pure
