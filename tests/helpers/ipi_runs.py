"""Inputs for the real i-PI, and its processes."""

from __future__ import annotations

import os
import socket as sockets
import subprocess
import time
import uuid
from pathlib import Path

import warm

Process = warm.Started | subprocess.Popen[str]
PATIENCE = 300.0
"""Seconds until a process that says nothing is taken to hang, on a machine with other work."""


def simulation(forcefield: str, *, beads: int = 1, steps: int = 20, mode: str = "nve") -> str:
    """Dynamics at 300 K from ``start.xyz``, with every step in the output."""
    thermostat = (
        "<thermostat mode='pile_l'><tau units='femtosecond'> 100 </tau></thermostat>" if mode == "nvt" else ""
    )
    return f"""<simulation verbosity='low'>
  <output prefix='run'>
    <properties stride='1' filename='out'> [ step, conserved, potential, kinetic_md ] </properties>
    <checkpoint stride='5' filename='checkpoint' overwrite='true'/>
  </output>
  <total_steps> {steps} </total_steps>
  <prng><seed> 1 </seed></prng>
  {forcefield}
  <system>
    <initialize nbeads='{beads}'>
      <file mode='xyz' units='angstrom'> start.xyz </file>
      <velocities mode='thermal' units='kelvin'> 300 </velocities>
    </initialize>
    <forces><force forcefield='hint'/></forces>
    <ensemble><temperature units='kelvin'> 300 </temperature></ensemble>
    <motion mode='dynamics'>
      <dynamics mode='{mode}'><timestep units='femtosecond'> 0.5 </timestep>{thermostat}</dynamics>
    </motion>
  </system>
</simulation>
"""


def direct(model: str, template: str = "template.xyz", batch: int = 1, **options: object) -> str:
    """The driver in i-PI's own process."""
    import ipi_driver

    more = "".join(f", {name}: {value}" for name, value in options.items())
    return f"""<ffdirect name='hint' pbc='false' threaded='true'>
    <pes> custom </pes><pes_path> {ipi_driver.path()} </pes_path>
    <parameters> {{template: {template}, model: {model}{more}}} </parameters>
    <batch_size> {batch} </batch_size>
  </ffdirect>"""


def socket(address: str, *, port: int | None = None, batch: int = 1) -> str:
    """The driver in a process of its own."""
    where = f"<address> {address} </address>" + (f"<port> {port} </port>" if port else "")
    size = f"<batch_size> {batch} </batch_size>" if batch > 1 else ""
    return f"""<ffsocket name='hint' mode='{"inet" if port else "unix"}' pbc='false'>
    {where}{size}
  </ffsocket>"""


def free_port() -> int:
    """A TCP port that nobody has, of those that systems do not hand out by themselves."""
    for number in range(20000 + os.getpid() % 10000, 32000):
        with sockets.socket() as trial:
            try:
                trial.bind(("localhost", number))
            except OSError:
                continue
            return number
    raise AssertionError("no free port")


def unique() -> str:
    """A name for a UNIX socket."""
    return f"hint-{uuid.uuid4().hex[:12]}"


def launch(folder: Path, *command: object) -> Process:
    """A command of this environment, its output in ``<name>.log``."""
    name = str(command[0])
    log = open(folder / f"{name}.log", "a")  # noqa: SIM115  (the process keeps it)
    env = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}
    return warm.start([name, *command[1:]], cwd=folder, env=env, log=log)


def wait_for_path(path: Path, seconds: float = PATIENCE) -> None:
    """Until a file or socket is there."""
    end = time.monotonic() + seconds
    while not path.exists():
        assert time.monotonic() < end, path
        time.sleep(0.05)


def wait_until_still(*paths: Path, still: float = 0.5, seconds: float = PATIENCE) -> None:
    """Until files have not been written to for a while."""
    end, since, last = time.monotonic() + seconds, time.monotonic(), None
    while time.monotonic() - since < still:
        now = [path.stat().st_mtime_ns for path in paths]
        if now != last:
            since, last = time.monotonic(), now
        assert time.monotonic() < end, paths
        time.sleep(0.05)
