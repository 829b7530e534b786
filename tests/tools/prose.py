"""Check that README, CONTRIBUTING, docs and help texts are written in plain English.

    python tests/tools/prose.py             (`make lint` runs this)
    python tests/tools/prose.py docs/x.md   (only these pages)

Each rule has a pattern, the phrase to write instead, a sentence that it reports and a sentence that it
accepts. The check skips code, formulas, comments and the addresses of links. If a sentence is right
although a rule reports it, put `<!-- prose: allow -->` in its line.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
ALLOW = "<!-- prose: allow -->"
LONGEST = 45
"""Largest number of words in a sentence."""
FORMULA = re.compile(r"\$\$(.+?)\$\$|(?<![\w$])\$(?! )([^$\n]+?)(?<! )\$(?!\d)", re.S)
"""A formula in a line of its own, or within a sentence."""


@dataclass(frozen=True)
class Rule:
    """One phrase with its `pattern`, the phrase to write instead, and an example of each kind.

    A space in the pattern matches any white space. A match with a group named ``right`` is not reported.
    """

    pattern: str
    instead: str
    bad: str
    good: str

    def found(self, text: str) -> Iterator[re.Match[str]]:
        """All places in ``text`` that break the rule."""
        for match in re.finditer(self.pattern.replace(" ", r"\s+"), text, re.I):
            if not match.groupdict().get("right"):
                yield match


_END = r"(?=\s*(?:[.,;:)|]|\Z|\n\n))"
"""The end of a clause."""
_COUNTED = (
    "bytes|[kMG]B|m?s|seconds?|minutes?|hours?|times?|gradients?|evaluations|Hessians?|products?|pairs?|Hv|"
    "probes?|directions?|threads?|cores?|values|rows|numbers|lines?|runs?|files?|frames|meV|eV"
)
_OF_ONE = "frame|structure|molecule|step|process|atom|node|cell|row|thread|task|job|epoch|worker|label|batch"
_PROGRAMS = "pip|torch|python|mace|nequip|tblite|xtb|phonopy|symfc|e3nn|glibc|pw|ph|mutmut|libxc|vesin"

RULES = (
    Rule(
        r"\b(?P<right>there )?\b(?:is|are|was|were) no (?!longer\b|more\b|less\b|worse\b|\w+er\b)",
        "'is not a'",
        "A minimum of another method is no label.",
        "There is no fork, and it is no longer needed.",
    ),
    Rule(
        rf"\b(?:has|have|had) not(?:{_END}| (?:a|an|the|any)\b)",
        "'does not have', or say what is missing",
        "It offers what HINT has not.",
        "The page has not been read.",
    ),
    Rule(r"\bof HINT (?:is|are)\b", "'comes from HINT'", "Of HINT is the loss alone.", "HINT adds the loss."),
    Rule(r"\bthere and back\b", "say what it does", "It leads there and back.", "It runs the workflow."),
    Rule(r"\b(?:do|does|did|doing) so\b", "repeat the verb", "MACE does so too.", "MACE also trains."),
    Rule(
        rf"\ball the same{_END}", "'still' or 'anyway'", "It joins them all the same.", "All the same size."
    ),
    Rule(r"\banew\b", "'again'", "It labels them anew.", "It labels them again."),
    Rule(
        rf"\b(?:goes|go|went|going) on(?:{_END}| (?:where|with|from|until|only|after|by)\b)",
        "'continues'",
        "A killed run goes on where it was.",
        "The run continues where it was.",
    ),
    Rule(
        r"(?P<right>[.] )?\bbut for\b",
        "'except for'",
        "All of it but for the last row.",
        "All is right. But for random probes it differs.",
    ),
    Rule(r"\bnothing but\b", "'only'", "It is nothing but noise.", "It is only noise."),
    Rule(r"\bto be had\b", "'available'", "It is not to be had here.", "It is not available here."),
    Rule(
        r"\b(?:what|those that|all that|grid that|list that) there (?:is|are)\b",
        "'the existing', or leave it out",
        "It lists those that there are.",
        "It says what there would be.",
    ),
    Rule(
        r"\b(?:nothing|something) else is said\b",
        "'unless stated otherwise'",
        "Units are eV where nothing else is said.",
        "Units are eV unless stated otherwise.",
    ),
    Rule(
        rf"\b(?:{_COUNTED}) an? (?:{_OF_ONE})\b",
        "'per'",
        "It costs 2K gradients a frame.",
        "It costs 2K gradients per frame. This reads a frame.",
    ),
    Rule(
        r"\bbeside (?:it|them|that|this|the|a|one|its)?\b",
        "'next to', 'in addition to' or 'compared with'",
        "A file beside it says more.",
        "Besides, it is quick.",
    ),
    Rule(
        r"(?:\A|\n\n|[.:;] )(?:around|beside|behind|between|before|of) (?:it|them|that|these|those)"
        r" (?:is|are|stands?|lies?|comes?)\b",
        "put the subject first",
        "Around it is the rest.",
        "The rest is around it.",
    ),
    Rule(
        r"(?:\A|\n\n|[.:] )where (?!\w+ (?:is|are|to)\b[^.]*\?|next\b|[^.]{0,60}\?)",
        "'if' or 'when'",
        "Labels are checked. Where one fails, the run stops.",
        "Labels are checked. If one fails, the run stops where it is.",
    ),
    Rule(
        rf"\b(?:does|do|did) not tell{_END}",
        "say what it does not tell",
        "The name names the format where the content does not tell.",
        "It does not tell the format.",
    ),
    Rule(
        r"\bstands? (?:there|below|above|beside|in it)\b",
        "'is'",
        "The table that stands below.",
        "`N` stands for a number.",
    ),
    Rule(
        r"\b(?:was|were) got\b|\bwhat (?:was|were) wanted\b|\bgot and wanted\b",
        "'found' and 'expected'",
        "It says what was got and what was wanted.",
        "It says what was found and what was expected.",
    ),
    Rule(
        r"\b(?:keeps?|takes?|draws?|chooses?|of) so many\b",
        "'this number of'",
        "It keeps so many components.",
        "It has so many options that one gets lost.",
    ),
    Rule(
        r"\b(?:it|which|that|MACE|NequIP|HINT|LAMMPS|e3nn|verb|program|parser) wants\b(?! to)",
        "'needs' or 'expects'",
        "It is not what e3nn wants.",
        "The user wants phonons.",
    ),
    Rule(
        r"\b(?:goes|takes?|leads?) the (?:whole|same|other) way\b",
        "say what it does",
        "It goes the whole way for palladium hydride.",
        "It runs the whole calculation.",
    ),
    Rule(
        r"\bof one's own\b",
        "'your own'",
        "A hydride of one's own.",
        "A hydride of your own.",
    ),
    Rule(
        r"\b(?:thereof|therein|whereof|wherein|hereby|thereto|hitherto|henceforth|whilst|amongst|thereby)\b",
        "a word of today",
        "The file and the hash thereof.",
        "The file and its hash.",
    ),
    Rule(
        r"\b(?:says?|tells?) (?:all|nothing)" + _END,
        "say what is learnt from it",
        "Its asymmetry says nothing.",
        "It says nothing about the sum rule.",
    ),
    Rule(
        r"\bas (?:it|they|(?:the )?\w+s) (?:has|have) it\b",
        "'according to'",
        "The numbers as the pages have it.",
        "As it has two atoms, it is linear.",
    ),
    Rule(
        r"\b(?:says?|tells?) of (?:itself|themselves)\b",
        "'reports about itself' or 'records'",
        "It prints what a file says of itself.",
        "It prints the metadata.",
    ),
    Rule(
        rf"(?-i:(?<=\n\n)(?!(?:and|or|where|with|in|for|which|is|are|as)\b|(?:{_PROGRAMS})\b)[a-z]+\b)",
        "the subject of the sentence",
        "A command:\n\nmoves all atoms.",
        "A command:\n\nIt moves all atoms,\n\nand no more.",
    ),
    Rule(
        r"(?-i:\b([a-z]{3,})[ \n]\1\b)",
        "the word once",
        "It is in the the file.",  # twice
        "A grid of 4 4 4.",
    ),
)
HELP_RULES = (
    Rule(
        r"\A(?:of|at most|to|where|the same|the end:|what|in its place|on a|with)(?!\w)",
        "name the thing: 'Width of a line', 'Relax the cell to the pressure given by --pressure'",
        "At most.",
        "Largest number of steps.",
    ),
)
"""These rules apply to help texts only. Users read them without their neighbours."""


@dataclass(frozen=True)
class Finding:
    """A phrase in a page or a help text."""

    source: str
    line: int
    text: str
    instead: str

    def __str__(self) -> str:
        return f"{self.source}:{self.line}: '{self.text}'; better: {self.instead}"


def prose(text: str) -> str:
    """The text that a reader sees. Code, comments and addresses become blanks, and no line moves."""

    def blank(match: re.Match[str]) -> str:
        return re.sub(r"[^\n]", " ", match[0])

    def word(match: re.Match[str]) -> str:
        return "`" + re.sub(r"[^\n]", "x", match[0][1:-1]) + "`"

    text = re.sub(r"^```.*?^```[^\n]*$", blank, text, flags=re.M | re.S)
    text = re.sub(
        r"(?:\A|(?<=\n\n)|(?<=-->\n)) {4}(?:(?!\n\s*\n).)*", blank, text, flags=re.S
    )  # blocks that begin indented
    text = re.sub(r"<!--.*?-->|<[a-z/][^>]*>", blank, text, flags=re.S)
    text = re.sub(r"`[^`]+`", word, text)
    text = FORMULA.sub(lambda match: blank(match) if match[1] else re.sub(r"[^\n]", "X", match[0]), text)
    return re.sub(r"(?<=\])\([^)\s]+\)", blank, text)


def long_sentences(text: str) -> Iterator[tuple[int, str]]:
    """Start and first words of sentences with more than `LONGEST` words, outside tables and headings."""
    for paragraph in re.finditer(r"(?:^(?![ ]*(?:\||#)).*\S.*\n?)+", text, re.M):
        for item in re.finditer(r"(?:(?!\n[ ]*(?:[-*]|\d+\.) ).)+", paragraph[0], re.S):
            for sentence in re.finditer(r"(?!\s)(?:(?![.:;?!][*)\"]*\s).)+[.:;?!]?[*)\"]*", item[0], re.S):
                words = sentence[0].split()
                if len(words) > LONGEST:
                    yield paragraph.start() + item.start() + sentence.start(), " ".join(words[:6]) + " ..."


def check(source: str, text: str, rules: tuple[Rule, ...] = RULES) -> list[Finding]:
    """All findings in a page or a help text, sorted by line."""
    read = prose(text)
    lines = text.splitlines()
    found = []

    def report(start: int, end: int, words: str, instead: str) -> None:
        first, last = (read.count("\n", 0, at) for at in (start, max(start, end - 1)))
        if not any(ALLOW in line for line in lines[first : last + 1]):
            found.append(Finding(source, first + 1, " ".join(words.split()), instead))

    for rule in rules:
        for match in rule.found(read):
            start = match.start() + len(match[0]) - len(match[0].lstrip(" \n.:;|"))
            report(start, match.end(), match[0].strip(" \n.:;|"), rule.instead)
    for start, words in long_sentences(read):
        report(start, start + 1, words, f"it in two sentences (more than {LONGEST} words)")
    return sorted(found, key=lambda one: one.line)


def pages(root: Path = ROOT) -> dict[str, str]:
    """Path and text of README, CONTRIBUTING and the pages of the documentation."""
    paths = [root / "README.md", root / "CONTRIBUTING.md", *sorted((root / "docs").rglob("*.md"))]
    return {str(path.relative_to(root)): path.read_text() for path in paths}


def help_texts() -> Iterator[tuple[str, str]]:
    """Help texts as (command and option, text)."""
    from hint_plugin.cli import app

    def texts(name: str, command: Any) -> Iterator[tuple[str, str]]:
        yield name, command.help or ""
        for parameter in command.params:
            text = getattr(parameter, "help", None) or ""
            yield f"{name} {parameter.opts[0]}", re.sub(r"\\?\[default: .*\]\s*$", "", text)
        for member, found in getattr(command, "commands", {}).items():
            yield from texts(f"{name} {member}", found)

    for name, verb in app.VERBS.items():
        yield f"hint {name}", verb.help
        if not verb.passthrough:
            yield from texts(f"hint {name}", app._real_command(name))


def main(arguments: list[str]) -> int:
    """Print all findings. Returns 1 if there are any."""
    everything = pages()
    findings = []
    for source in arguments or sorted(everything):
        text = everything[source] if source in everything else Path(source).read_text()
        findings += check(source, text)
    if not arguments:
        for where, text in help_texts():
            findings += check(where, text, RULES + HELP_RULES)
    for finding in findings:
        print(finding)
    if findings:
        print(f"prose: please rewrite {len(findings)}; if a sentence is right, put {ALLOW} in its line")
    return int(bool(findings))


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    sys.exit(main(sys.argv[1:]))
