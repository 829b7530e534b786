"""From the file behind `hint label --parsl FILE` to Parsl: our keys in YAML, or Parsl's Config in Python."""

from __future__ import annotations

import os
import runpy
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hint_plugin.errors import EngineError, OptionsError
from hint_plugin.optional import check, wanted
from hint_plugin.parallel.cluster_settings import ClusterSettings, read_settings
from hint_plugin.parallel.threads import THREAD_VARIABLES

_FAILED_JOBS = 3  # in a row without a result in between, and more of them on more nodes


@dataclass
class ParslRun:
    """What the runner needs to know.

    Attributes:
        config: parsl.Config.
        workers: processes at most.
        frames_per_task: 0 adapts it.
        retries: see `ClusterSettings`.
        jobs: which batch jobs failed; None where the configuration is Parsl's own.
    """

    config: Any
    workers: int
    frames_per_task: int = 0
    retries: int = 2
    jobs: FailedJobs | None = None


class FailedJobs:
    """Parsl's `block_error_handler`: many batch jobs that fail, and no result in between, end the run.

    Parsl's own counts all jobs of a run, and ends one of a single node at the first death of that node.
    """

    def __init__(self, nodes: int) -> None:
        self.most = max(_FAILED_JOBS, nodes)
        self._failed = self._forgiven = 0

    def forgive(self) -> None:
        """A result came: what failed until now was bad luck."""
        self._forgiven = self._failed

    def __call__(self, executor: Any, status: dict[str, Any]) -> None:
        """Called by Parsl at each poll, with the status of all jobs since the start."""
        failed = [job for job in status.values() if job.state.name in ("FAILED", "MISSING")]
        self._failed = len(failed)
        if self._failed - self._forgiven >= self.most:
            executor.set_bad_state_and_fail_all(EngineError(_last_words(failed[-1])))


def _last_words(job: Any) -> str:
    said = [job.message or "", f"exit code {job.exit_code}" if job.exit_code is not None else ""]
    said += [(job.stderr_summary or "").strip()[-400:]]
    return "; ".join(part for part in said if part)


def read_parsl_file(path: str | Path, folder: str | Path) -> ParslRun:
    """Read a configuration; Parsl writes its own files into `folder`.

    A file that ends in .py is executed, and has to set `config` to a parsl.Config; `frames_per_task` and
    `retries` may be set beside it.

    Raises:
        OptionsError: the file is missing, or a key or value in it is wrong.
        MissingDependencyError: Parsl, or what a provider needs, is not installed.
    """
    path, folder = Path(path), Path(folder).resolve()
    if not path.is_file():
        raise OptionsError(f"{path}: no such file. --parsl wants a YAML file or Parsl's own .py")
    with wanted(
        "parsl", "yaml", message="--parsl needs {package}: pip install '.[cluster]' in HINT's folder"
    ):
        import parsl  # noqa: F401
        import yaml  # noqa: F401
    if path.suffix == ".py":
        return _from_python(path, folder)
    settings = read_settings(path)
    jobs = FailedJobs(settings.nodes)
    workers = settings.nodes * settings.workers_per_node
    config = make_config(settings, folder, jobs)
    return ParslRun(config, workers, settings.frames_per_task, settings.retries, jobs)


def make_config(settings: ClusterSettings, folder: Path, jobs: FailedJobs) -> Any:
    """The parsl.Config that the settings stand for.

    Raises:
        MissingDependencyError: the provider needs a package that is not installed.
    """
    from parsl.config import Config
    from parsl.executors import HighThroughputExecutor

    local = settings.provider == "local"
    drain = None
    if settings.provider in ("slurm", "pbs"):
        # take no new task at the end of a job: it would be cut off and done again
        hours, minutes, seconds = map(int, settings.walltime.split(":"))
        walltime = 3600 * hours + 60 * minutes + seconds
        drain = walltime - min(600, walltime // 10)
    pool = "-m parsl.executors.high_throughput.process_worker_pool"
    executor = HighThroughputExecutor(
        label="label",
        provider=_provider(settings),
        max_workers_per_node=settings.workers_per_node,
        # how many fit is the user's word: a container's or batch system's count of cores is often another
        cores_per_worker=1e-6,
        address="127.0.0.1" if local else settings.address or None,
        launch_cmd=_launch_command(pool),
        interchange_launch_cmd=[sys.executable, "-m", "hint_plugin.parallel.parsl_interchange"],
        drain_period=drain,
        heartbeat_period=1 if local else 10,
        heartbeat_threshold=20 if local else 120,
        # certificates are read from the folder of the run, which pods do not see
        encrypted=settings.provider != "kubernetes",
        worker_logdir_root="/tmp" if settings.provider == "kubernetes" else None,
        block_error_handler=jobs,
    )
    return Config(
        executors=[executor],
        run_dir=str(folder),
        strategy="simple",
        strategy_period=1 if local else 5,
        retries=0,  # by us: a chunk whose worker died is given again frame by frame
    )


def _launch_command(pool: str) -> str:
    """Parsl's own, by `python -m`: its script need not be in the PATH."""
    from parsl.executors.high_throughput.executor import DEFAULT_LAUNCH_CMD

    return f"python3 {pool} " + DEFAULT_LAUNCH_CMD.split(" ", 1)[1]


def _init(settings: ClusterSettings) -> str:
    lines = [f"export {name}={settings.threads_per_worker}" for name in THREAD_VARIABLES]
    if settings.provider != "kubernetes":
        # this Python, unless worker_init brings another
        lines.append(f"export PATH={shlex.quote(os.path.dirname(sys.executable))}:$PATH")
    return "\n".join([*lines, settings.worker_init])


def _provider(settings: ClusterSettings) -> Any:
    from parsl.launchers import SimpleLauncher, SingleNodeLauncher

    cores = settings.workers_per_node * settings.threads_per_worker
    common: dict[str, Any] = {
        "init_blocks": settings.nodes,
        "max_blocks": settings.nodes,
        "nodes_per_block": 1,
        "worker_init": _init(settings),
    }
    batch = common | {"walltime": settings.walltime, "account": settings.account or None}
    if settings.provider == "local":
        from parsl.providers import LocalProvider

        return LocalProvider(**common)
    if settings.provider == "slurm":
        from parsl.providers import SlurmProvider

        return SlurmProvider(
            partition=settings.partition or None,
            cores_per_node=cores,
            mem_per_node=settings.memory_per_node or None,
            scheduler_options=settings.scheduler_options,
            exclusive=False,
            launcher=SingleNodeLauncher(),
            cmd_timeout=60,
            **batch,
        )
    if settings.provider == "pbs":
        from parsl.providers import PBSProProvider

        memory = f"mem={settings.memory_per_node}gb" if settings.memory_per_node else ""
        return PBSProProvider(
            queue=settings.partition or None,
            cpus_per_node=cores,
            select_options=memory,
            scheduler_options=settings.scheduler_options,
            launcher=SimpleLauncher(),
            **batch,
        )
    check("provider kubernetes", "kubernetes", "kubernetes")
    from parsl.providers import KubernetesProvider

    memory = f"{settings.memory_per_node}Gi" if settings.memory_per_node else f"{2 * cores}Gi"
    try:
        return KubernetesProvider(
            image=settings.image,
            namespace=settings.namespace,
            max_cpu=cores,
            init_cpu=cores,
            max_mem=memory,
            init_mem=memory,
            **common,
        )
    except Exception as error:  # the client's own kinds, which are not known without it
        raise OptionsError(f"provider kubernetes: {error}") from error


def _from_python(path: Path, folder: Path) -> ParslRun:
    from parsl.config import Config
    from parsl.executors.status_handling import BlockProviderExecutor

    found = runpy.run_path(str(path))
    config = found.get("config")
    if not isinstance(config, Config):
        raise OptionsError(f"{path}: wanted config = parsl.config.Config(...), got {type(config).__name__}")
    workers = 0
    for executor in config.executors:
        if not isinstance(executor, BlockProviderExecutor) or executor.provider is None:
            raise OptionsError(
                f"{path}: {type(executor).__name__} does not start processes; an engine needs one of its "
                "own. Take HighThroughputExecutor"
            )
        provider: Any = executor.provider
        provider.worker_init = f"{_init(ClusterSettings())}\n{getattr(provider, 'worker_init', '')}"
        workers += provider.max_blocks * provider.nodes_per_block * int(executor.workers_per_node)
    config.run_dir = str(folder)
    numbers = {}
    for name in ("frames_per_task", "retries"):
        numbers[name] = found.get(name, getattr(ClusterSettings, name))
        if type(numbers[name]) is not int or numbers[name] < 0:
            raise OptionsError(f"{path}: {name} is {numbers[name]!r}; wanted a whole number of at least 0")
    return ParslRun(config, max(1, workers), **numbers)
