"""The YAML file behind `hint label --parsl FILE`: where workers run, in a few keys.

    provider: slurm            # or pbs, kubernetes, local
    nodes: 4
    workers_per_node: 32
    walltime: "12:00:00"
    partition: compute

Each node is a batch job of its own, which starts when the scheduler has room for it, and is replaced when its
time is over and frames are left.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from hint_plugin.errors import OptionsError
from hint_plugin.settings import nearest

PROVIDERS = ("local", "slurm", "pbs", "kubernetes")


@dataclass(frozen=True)
class ClusterSettings:
    """The keys of a YAML file.

    Attributes:
        provider: where workers run: local (this machine), slurm, pbs, kubernetes.
        nodes: how many nodes at most, each a batch job (a pod) of its own.
        workers_per_node: processes on a node; each computes one frame at a time.
        threads_per_worker: cores of one worker.
        walltime: of a batch job, "HH:MM:SS".
        partition: Slurm's partition, PBS's queue.
        account: who pays.
        memory_per_node: GB to ask for.
        worker_init: shell commands before workers start: modules, environments, licences.
        scheduler_options: lines for the head of the batch script, "#SBATCH ..." or "#PBS ...".
        address: where workers reach this machine, if it is not found by trying all of its addresses.
        image: the container (kubernetes).
        namespace: of the pods (kubernetes).
        frames_per_task: how many frames are sent at once; 0 adapts it to about 10 s.
        retries: how often a frame is given again when its worker or node died, before it counts as failed.
    """

    provider: str = "local"
    nodes: int = 1
    workers_per_node: int = 1
    threads_per_worker: int = 1
    walltime: str = "01:00:00"
    partition: str = ""
    account: str = ""
    memory_per_node: int = 0
    worker_init: str = ""
    scheduler_options: str = ""
    address: str = ""
    image: str = ""
    namespace: str = "default"
    frames_per_task: int = 0
    retries: int = 2


def read_settings(path: Path) -> ClusterSettings:
    """The keys of a YAML file, checked. Raises OptionsError."""
    import yaml

    try:
        found = yaml.safe_load(path.read_text())
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise OptionsError(f"{path}: not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(found, dict):
        raise OptionsError(f"{path}: wanted lines 'key: value', got {type(found).__name__}")
    known = {field.name: field for field in fields(ClusterSettings)}
    for name, value in found.items():
        if name not in known:
            raise OptionsError(f"{path}: no key '{name}'; {_hint(name, known)}")
        if name == "walltime":
            found[name] = _walltime(value, path)
            continue
        wanted = type(known[name].default)
        if type(value) is not wanted:
            kind = "a whole number" if wanted is int else "text"
            raise OptionsError(f"{path}: {name} is {value!r}; wanted {kind}")
    settings = ClusterSettings(**found)
    _check(settings, path)
    return settings


def _hint(name: object, known: Iterable[str]) -> str:
    near = nearest(name, known)
    return f"there is {', '.join(known)}" if near is None else f"did you mean {near}?"


def _walltime(value: Any, path: Path) -> str:
    """YAML 1.1 reads 12:00:00 without quotation marks as a number of base 60: seconds."""
    if type(value) is int and value > 0:
        return f"{value // 3600:02d}:{value // 60 % 60:02d}:{value % 60:02d}"
    if isinstance(value, str) and re.fullmatch(r"\d+:[0-5]\d:[0-5]\d", value):
        return value
    raise OptionsError(f'{path}: walltime is {value!r}; wanted "HH:MM:SS"')


def _check(settings: ClusterSettings, path: Path) -> None:
    if settings.provider not in PROVIDERS:
        raise OptionsError(
            f"{path}: no provider '{settings.provider}'; {_hint(settings.provider, PROVIDERS)}"
        )
    for name in ("nodes", "workers_per_node", "threads_per_worker"):
        if getattr(settings, name) < 1:
            raise OptionsError(f"{path}: {name} is {getattr(settings, name)}; wanted at least 1")
    for name in ("memory_per_node", "frames_per_task", "retries"):
        if getattr(settings, name) < 0:
            raise OptionsError(f"{path}: {name} is {getattr(settings, name)}; wanted at least 0")
    if settings.provider == "local" and settings.nodes != 1:
        raise OptionsError(f"{path}: nodes is {settings.nodes}; the local provider has one, this machine")
    if settings.provider == "kubernetes" and not settings.image:
        raise OptionsError(f"{path}: kubernetes needs the key image, a container with HINT and its engines")
