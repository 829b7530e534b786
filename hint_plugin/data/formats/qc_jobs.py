"""The jobs that one output of a quantum chemistry program holds, each as a text of its own.

Outputs are joined by hand, and programs write several jobs into one file: Gaussian behind `--Link1--`, Q-Chem
behind `@@@`, ORCA behind `$new_job`. Charge, method and Hessian of one job are none of another's, so every
job is read by itself. Steps of one job (`opt freq`) stay together.
"""

from __future__ import annotations

import re

_BEGINS = {
    "Gaussian": r"^ Entering Link 1 =",
    "Q-Chem": r"^ +Welcome to Q-Chem",
    "ORCA": r"^ +\* O   R   C   A \*",
}
"""The line that each job of a program has once."""
_NEW_JOB = re.compile(r"^.*\$ +JOB NUMBER +\d+ +\$.*$", re.MULTILINE)
_ECHO = re.compile(r"^\|\s*\d+>\s*(.*?)\s*$\n?", re.MULTILINE)
ORCA_ENDS = "ORCA TERMINATED NORMALLY"


def jobs(text: str, program: str) -> list[str]:
    """The text of each job, with the banner of the program; the whole text where there is one."""
    starts = [match.start() for match in re.finditer(_BEGINS.get(program, r"(?!)"), text, re.MULTILINE)]
    if len(starts) > 1:
        bounds = [0, *starts[1:], len(text)]
        found = [text[begin:end] for begin, end in zip(bounds, bounds[1:], strict=False)]
    else:
        found = [text]
    return [job for part in found for job in _new_jobs(part)] if program == "ORCA" else found


def _new_jobs(text: str) -> list[str]:
    """ORCA's jobs of one input: the head, with the input of this job alone, before each of them."""
    marks = list(_NEW_JOB.finditer(text))
    if len(marks) < 2:
        return [text]
    head = text[: marks[0].start()]
    inputs: list[list[str]] = [[]]
    for match in _ECHO.finditer(head):
        if match[1].lower().startswith("$new_job"):
            inputs.append([])
        inputs[-1].append(match[0])
    head, end = _ECHO.sub("", head), ORCA_ENDS if ORCA_ENDS in text else ""  # one such line is for all jobs
    bounds = [*(mark.start() for mark in marks), len(text)]
    echoes = inputs if len(inputs) == len(marks) else [[] for _ in marks]
    return [
        "\n".join([head + "".join(echo), text[begin:stop], end])
        for echo, begin, stop in zip(echoes, bounds, bounds[1:], strict=False)
    ]
