"""MkDocs hook: the copy button of a block of code copies its commands, without outputs, prompts and remarks.

A block without any command is copied as it is, if it is a file or a piece of a program. Errors and tables
that a program prints get no button.
"""

import html
import re
from collections.abc import Iterator

PROGRAMS = {
    *("hint", "mace_run_train", "nequip-train", "nequip-package", "nequip-compile", "lmp", "i-pi", "orca"),
    *("ase", "phonopy", "xtb", "pysis", "q2r.x", "matdyn.x", "pw.x", "ph.x", "i-pi-driver-py", "run.sh"),
    *("pip", "python", "python3", "pytest", "ruff", "mkdocs", "pre-commit", "twine", "rattler-build"),
    *("make", "git", "cd", "export", "source", "echo", "cat", "mkdir", "cp", "mv", "rm", "ls", "tar", "sh"),
    *("unzip", "head", "tail", "curl", "wget", "sudo", "apt-get", "conda", "docker", "module", "tmux"),
    *("sbatch", "srun", "torchrun", "mpirun"),
}
"""First words by which a line is known as a command."""

_BLOCK = re.compile(r'<div class="([^"]*\bhighlight\b[^"]*)">(<pre>.*?</pre>)</div>', re.S)
_TAG = re.compile(r"<[^>]+>")
_ASSIGNED = re.compile(r"(?:[A-Za-z_]\w*=(?:'[^']*'|\"[^\"]*\"|\S*)\s+)*")
_HERE = re.compile(r"<<-?\s*['\"]?(\w+)")
_REMARK = re.compile(r"(?<=\S) {3,}(?![-<'\"]).*$")
_PRINTED = re.compile(r"^\s*(?:error|warning|note|HINT):|^stopped\b|[─━│┃┏┡┌└]|^\s*-{20,}$", re.M)


def _is_command(line: str) -> bool:
    words = line[_ASSIGNED.match(line).end() :].split(" ")  # type: ignore[union-attr]
    if line.startswith(" ") or (words[0] == "export" and "=" not in line):
        return False
    return words[0].rsplit("/", 1)[-1] in PROGRAMS


def _whole(lines: list[str], at: int) -> int:
    """The line after the command that begins at line `at`, with what it continues on."""
    end = at + 1
    if here := _HERE.search(lines[at]):
        while end < len(lines) and lines[end].strip() != here[1]:
            end += 1
        return end + 1
    while end < len(lines) and lines[end - 1].endswith("\\"):
        end += 1
    return end


def _commands(lines: list[str]) -> Iterator[str]:
    prompts = any(line.startswith("$ ") for line in lines)
    at = 0
    while at < len(lines):
        line = lines[at].removeprefix("$ ") if prompts else lines[at]
        if (prompts and not lines[at].startswith("$ ")) or not _is_command(line):
            at += 1
            continue
        end = _whole(lines, at)
        first, *more = [line, *lines[at + 1 : end]]
        yield "\n".join([_REMARK.sub("", first), *more])
        at = end


def _doctest(lines: list[str]) -> list[str]:
    return [line[4:] for line in lines if line.startswith((">>> ", "... "))]


def copied(text: str, language: str = "") -> str:
    """What the button of a block copies; empty if the block is only what a program printed.

    Args:
        text: The block as it is shown.
        language: The language that the page names, if it names one. All but shells are copied as they are.
    """
    lines = text.rstrip().splitlines()
    if any(line.startswith(">>> ") for line in lines):
        return "\n".join(_doctest(lines))
    if language not in ("", "text", "console", "bash", "sh", "shell"):
        return text.rstrip()
    if found := list(_commands(lines)):
        return "\n".join(found)
    return "" if _PRINTED.search(text) else text.rstrip()


def mark(page: str) -> str:
    """HTML in which a block of code says what its button copies (`data-copy`), or has none (`no-copy`)."""

    def one(match: re.Match[str]) -> str:
        kinds, block = match[1], match[2]
        language = re.search(r"\blanguage-(\S+)", kinds)
        shown = html.unescape(_TAG.sub("", block))
        text = copied(shown, language[1] if language else "")
        if not text:
            return f'<div class="{kinds} no-copy">{block}</div>'
        if text == shown.rstrip():
            return match[0]
        data = html.escape(text).replace("\n", "&#10;")
        return f'<div class="{kinds}" data-copy="{data}">{block}</div>'

    return _BLOCK.sub(one, page)


def on_page_content(content: str, **_: object) -> str:
    """Called by MkDocs for each page."""
    return mark(content)
