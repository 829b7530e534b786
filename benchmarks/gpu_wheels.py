"""What `gpu.py` needs, as wheels in one folder, for a machine without network.

    python benchmarks/gpu_wheels.py FOLDER [--python 3.12] [--megabytes 50] [--extra NAME==VERSION ...]

The machine has Python 3.12 (x86-64 Linux), a torch of 2.4 or newer with CUDA, and nothing else. Copy the
folder and a checkout of HINT there; torch is not in the folder, and HINT is taken from the checkout. Versions
are those of constraints.txt, and for the rest those of `OTHERS`. Files in the folder:

================ =======================================================================================
*.whl            the wheels; where their sum is above the limit, the largest are packed again by LZMA,
                 which pip reads as well, with the same content
requirements.txt their names and versions
INSTALL.txt      the commands that install and check them
CONTENTS.txt     what is in the folder, how large it is, and what was done to it
================ =======================================================================================

A package without a wheel for that Python is built from its source here, which only serves if it is pure
Python; CONTENTS.txt says so. matplotlib is left out for its size: `_mace.without_pictures` takes its place.
Exit status 1: a package is missing, or the sum is above the limit.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
#: Of constraints.txt.
CONSTRAINED = (
    "numpy",
    "scipy",
    "ase",
    "h5py",
    "vesin",
    "rich",
    "typer",
    "mace-torch",
    "matscipy",
    "torch-ema",
    "torchmetrics",
    "lmdb",
    "orjson",
)
#: What those import, and constraints.txt leaves open.
OTHERS = {
    "e3nn": "0.4.4",
    "opt-einsum": "3.4.0",
    "opt-einsum-fx": "0.1.4",
    "lightning-utilities": "0.15.3",
    "packaging": "26.4",
    "tqdm": "4.70.1",
    "prettytable": "3.18.0",
    "wcwidth": "0.9.4",
    "markdown-it-py": "4.3.0",
    "mdurl": "0.1.2",
    "pygments": "2.21.0",
}
#: Tags of Linux on x86-64, the oldest glibc that any wheel asks for: 2.28 (Debian 10, RHEL 8).
PLATFORMS = (
    "manylinux_2_28_x86_64",
    "manylinux_2_27_x86_64",
    "manylinux_2_17_x86_64",
    "manylinux2014_x86_64",
)
#: Imported to check the installation.
CHECK = (
    "import torch, numpy, scipy, ase, h5py, vesin, e3nn, matscipy, mace.modules, mace.data; print('ready')"
)
MB = 2**20


def pins(constraints: Path, python: str) -> dict[str, str]:
    """name -> version of `CONSTRAINED` for a version of Python.

    Raises:
        SystemExit: constraints.txt has no line for one of them.
    """
    from packaging.requirements import Requirement

    found = {}
    for line in constraints.read_text().splitlines():
        text = line.split("#")[0].strip()
        if not text:
            continue
        wanted = Requirement(text)
        if wanted.marker is None or wanted.marker.evaluate({"python_version": python}):
            found[wanted.name] = str(wanted.specifier).removeprefix("==")
    missing = [name for name in CONSTRAINED if name not in found]
    if missing:
        raise SystemExit(f"error: {constraints} has no line for {', '.join(missing)}")
    return {name: found[name] for name in CONSTRAINED}


def pip(*words: str) -> subprocess.CompletedProcess[str]:
    """A command of pip, in this environment, which it does not change."""
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", *words]
    return subprocess.run(command, capture_output=True, text=True)


def fetch(name: str, version: str, folder: Path, python: str) -> str:
    """Bring a wheel into the folder; what there is to say about it, or an error that begins with "error"."""
    tags = [word for tag in PLATFORMS for word in ("--platform", tag)]
    done = pip(
        "download", "-q", "--no-deps", "--only-binary=:all:", "--python-version", python, *tags, "-d",
        str(folder), f"{name}=={version}",
    )  # fmt: skip
    if done.returncode == 0:
        return ""
    before = set(folder.glob("*.whl"))
    built = pip("wheel", "-q", "--no-deps", "-w", str(folder), f"{name}=={version}")
    new = set(folder.glob("*.whl")) - before
    if built.returncode == 0 and new and all(wheel.name.endswith("-none-any.whl") for wheel in new):
        return f"no wheel for Python {python}: built from its source, which is pure Python"
    for wheel in new:
        wheel.unlink()
    return f"error: {name} {version} has no wheel for Python {python}, and is not pure Python\n{_end(done)}"


def _end(done: subprocess.CompletedProcess[str]) -> str:
    return "\n".join(f"  {line}" for line in done.stderr.strip().splitlines()[-3:])


def squeeze(wheel: Path) -> None:
    """Pack a wheel again by LZMA, in one piece: the same files with the same content and rights."""
    beside = wheel.with_suffix(".part")
    with zipfile.ZipFile(wheel) as old, zipfile.ZipFile(beside, "w", zipfile.ZIP_LZMA) as new:
        for entry in old.infolist():
            content = old.read(entry)
            entry.compress_type = zipfile.ZIP_LZMA
            new.writestr(entry, content, compress_type=zipfile.ZIP_LZMA)
    os.replace(beside, wheel)


def shrink(folder: Path, limit: int) -> dict[str, str]:
    """Squeeze the largest wheels until all of them have at most ``limit`` bytes; name of a file -> remark."""
    remarks: dict[str, str] = {}
    for wheel in sorted(folder.glob("*.whl"), key=lambda file: -file.stat().st_size):
        if size_of(folder) <= limit:
            break
        before = wheel.stat().st_size
        squeeze(wheel)
        remarks[wheel.name] = f"packed again by LZMA: {before / MB:.1f} MiB before"
    return remarks


def size_of(folder: Path) -> int:
    """Bytes of the wheels."""
    return sum(file.stat().st_size for file in folder.glob("*.whl"))


def describe(folder: Path, wanted: dict[str, str], remarks: dict[str, str], python: str) -> None:
    """Write requirements.txt, INSTALL.txt and CONTENTS.txt."""
    names = "".join(f"{name}=={version}\n" for name, version in wanted.items())
    (folder / "requirements.txt").write_text(names)
    (folder / "INSTALL.txt").write_text(
        "# In this folder, on the machine with the GPU. torch is there already and stays as it is.\n"
        f"python{python} -m pip install --no-index --no-deps --find-links . -r requirements.txt\n"
        f'python{python} -c "{CHECK}"\n'
        "# Then, in the checkout of HINT:\n"
        f"make gpu GPU_PYTHON=python{python}\n"
    )
    lines = []
    for wheel in sorted(folder.glob("*.whl")):
        name = "-".join(wheel.name.split("-")[:2])
        said = [remarks[key] for key in (wheel.name, name) if key in remarks]
        lines.append(f"{wheel.stat().st_size / MB:7.2f} MiB  {wheel.name}  {'; '.join(said)}".rstrip())
    lines.append(f"{size_of(folder) / MB:7.2f} MiB  in all, without torch and HINT")
    (folder / "CONTENTS.txt").write_text("\n".join(lines) + "\n")


def main(words: list[str] | None = None) -> int:
    """Command line; the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="new or empty")
    parser.add_argument("--python", default="3.12", help="of the machine (default: 3.12)")
    parser.add_argument("--megabytes", type=float, default=50.0, help="MiB, at most (default: 50)")
    parser.add_argument("--extra", nargs="+", default=[], metavar="NAME==VERSION", help="further packages")
    options = parser.parse_args(words)
    folder: Path = options.folder
    if folder.exists() and any(folder.iterdir()):
        sys.exit(f"error: {folder} is not empty; give a new folder")
    if any(extra.count("==") != 1 for extra in options.extra):
        sys.exit(f"error: --extra {' '.join(options.extra)}; wanted NAME==VERSION")
    folder.mkdir(parents=True, exist_ok=True)
    wanted = pins(ROOT / "constraints.txt", options.python) | OTHERS
    wanted |= dict(extra.split("==") for extra in options.extra)
    remarks, failed = {}, False
    for name, version in wanted.items():
        said = fetch(name, version, folder, options.python)
        failed = failed or said.startswith("error")
        print(f"{name} {version}{': ' if said else ''}{said}", flush=True)
        if said:
            remarks[f"{name.replace('-', '_')}-{version}"] = said
    if failed:
        return 1
    limit = int(options.megabytes * MB)
    remarks |= shrink(folder, limit)
    describe(folder, wanted, remarks, options.python)
    print((folder / "CONTENTS.txt").read_text() + "\n" + (folder / "INSTALL.txt").read_text(), end="")
    if size_of(folder) > limit:
        print(f"error: the wheels have {size_of(folder) / MB:.1f} MiB, more than {options.megabytes:g}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
