"""What README and docs say of `hint` exists: each verb, each option, and whole command lines parse."""

import contextlib
import io
import re
import shlex
from pathlib import Path

import pytest
import typer

from hint_plugin.cli import app
from hint_plugin.cli.support.examples import EXAMPLES

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    path
    for pattern in ("*.md", "docs/**/*.md", "lammps_pair/*.md", "examples/**/*.md")
    for path in ROOT.glob(pattern)
    if path.name != "CHANGELOG.md"  # tells of options that were
)
OF_OTHER_PROGRAMS = set(
    [
        *(
            "--loss",
            "--lr",
            "--ema",
            "--swa",
            "--lora",
            "--lbfgs",
            "--patience",
            "--freeze",
            "--wandb",
        ),  # MACE
        *("--config", "--distributed", "--launcher"),  # MACE, too
        *("--hess", "--acc"),  # xtb
        *("--dependency", "--job-name", "--cpus-per-task", "--ntasks-per-node"),  # sbatch
        *("--gpus", "--build-arg"),  # docker
    ]
)
SCRIPTS = [
    path.read_text()
    for folder in ("benchmarks", "examples", "tests/tools")
    for path in ROOT.glob(f"{folder}/*.py")
]
LONG = {
    "anharmonic": 80,
    "conductivity": 82,
    "cubic": 50,
    "optimize": 50,
    "phonons": 50,
    "qha": 62,
    "sscha": 56,
    "tc": 52,
    "thermo": 64,
    "vibrations": 53,
}
"""Lines of `--help` at 100 columns, where 48 are not enough."""


ROOT_OPTIONS = {
    option for parameter in typer.main.get_command(app.build_app()).params for option in parameter.opts
}


def command(path):
    """The parsed command of "label" or "sample wld", and what is left of the words."""
    words = list(path)
    assert words[0] in app.VERBS, f"no verb {words[0]}"
    found, name = app._real_command(words[0]), words.pop(0)
    while hasattr(found, "commands") and words and not words[0].startswith("-"):
        assert words[0] in found.commands, f"no {name} {words[0]}"
        name += f" {words[0]}"
        found = found.commands[words.pop(0)]
    return found, name, words


def options(found):
    return {"--help"}.union(*([*one.opts, *one.secondary_opts] for one in found.params))


def parse(line):
    """Raises what the command line would be refused with."""
    given = shlex.split(line, comments=True)[1:]
    if given[0].startswith("-"):
        assert given[0] in {"--help", *ROOT_OPTIONS}, given[0]
        return
    found, name, words = command(given)
    if not app.VERBS[name.split()[0]].passthrough:
        with contextlib.suppress(typer.Exit), contextlib.redirect_stdout(io.StringIO()):
            found.make_context(f"hint {name}", words)


def code_lines(text):
    """Lines of blocks of code that call hint, joined where they go on."""
    text = re.sub(r"\\\n\s*", " ", text)
    fenced = "".join(re.findall(r"^```[^\n]*\n(.*?)^```", text, re.M | re.S))
    indented = "".join(re.findall(r"^ {4}.*\n", text, re.M))
    for line in (fenced + "\n" + indented).splitlines():
        line = line.strip().removeprefix("$ ")
        if line.startswith("hint "):
            yield re.split(r" {3,}| [|>&]", line)[0]  # remarks in a column of their own; what the shell does


LINES = [(path.relative_to(ROOT), line) for path in PAGES for line in code_lines(path.read_text())]


def test_the_pages_are_read():
    assert {"README.md", "docs/labels.md", "docs/sscha.md", "docs/reactions.md"} <= {str(p) for p, _ in LINES}
    assert len(LINES) > 60


@pytest.mark.parametrize("page", sorted({page for page, _ in LINES}), ids=str)
def test_command_lines_parse(page):
    for line in (line for where, line in LINES if where == page):
        try:
            parse(line)
        except Exception as error:
            pytest.fail(f"{page}: {line}\n{getattr(error, 'message', error)}")


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_commands_in_sentences_exist(page):
    for quoted in re.findall(r"`hint ([a-z][^`\n]*)`", page.read_text()):
        found, name, words = command(quoted.split())
        if not app.VERBS[name.split()[0]].passthrough:
            given = {word.partition("=")[0] for word in words if re.match(r"--?[a-zA-Z]", word)}
            assert given <= options(found), f"hint {quoted}"


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_scripts_that_are_named_exist(page):
    for script in re.findall(
        r"(?:benchmarks|examples|configs|tests)/[\w/]+\.(?:py|sh|in|xml|yaml)", page.read_text()
    ):
        assert (ROOT / script).is_file(), script


def all_options():
    found = {"--help", *ROOT_OPTIONS}
    for name, verb in app.VERBS.items():
        if not verb.passthrough:
            one = app._real_command(name)
            for member in getattr(one, "commands", {"": one}).values():
                found |= options(member)
    return found


def test_options_in_sentences_exist_somewhere():
    known = all_options() | OF_OTHER_PROGRAMS
    known |= {option for script in SCRIPTS for option in re.findall(r'"(--[a-z0-9-]+)"', script)}
    for page in PAGES:
        quoted = " ".join(re.findall(r"`([^`\n]+)`", page.read_text()))
        named = set(re.findall(r"(?<![\w-])--[a-z][a-z0-9-]*(?![\w-])", quoted))
        assert named <= known, (str(page.relative_to(ROOT)), sorted(named - known))


@pytest.mark.parametrize("verb", [name for name, verb in app.VERBS.items() if not verb.passthrough])
def test_help_has_examples_that_parse_and_fits_a_screen(verb, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("TERMINAL_WIDTH", "100")
    one = app._real_command(verb)
    for path in [verb, *(f"{verb} {name}" for name in getattr(one, "commands", {}))]:
        assert EXAMPLES[path]
        for line in EXAMPLES[path]:
            assert line.startswith(f"hint {path} ") or line == f"hint {path}" or path == verb
            parse(line)
        with pytest.raises(SystemExit):
            app.main([*path.split(), "--help"])
        text = capsys.readouterr().out
        assert EXAMPLES[path][0] in re.sub(r"\x1b\[[0-9;]*m", "", text)
        assert len(text.splitlines()) <= LONG.get(path, 48), path


def test_help_texts_are_shown_whole_and_end_in_a_sentence():
    """Rich takes `[default: 10]` for markup, and hides it, unless its bracket is escaped."""
    for name, verb in app.VERBS.items():
        one = app._real_command(name)
        for member in () if verb.passthrough else getattr(one, "commands", {"": one}).values():
            for parameter in member.params:
                text = parameter.help
                assert text and text[-1] in ".]", (name, parameter.opts, text)
                assert not re.search(r"(?<!\\)\[", text), (name, parameter.opts, text)


def test_alone_it_names_every_verb_and_fits_a_screen():
    text = app.next_steps()
    assert len(text.splitlines()) <= 40 and max(map(len, text.splitlines())) <= 80
    for name in app.VERBS:
        assert re.search(rf"(?<![\w-]){name}(?![\w-])", text)


@pytest.mark.parametrize(
    ("words", "wanted"),
    [("hint pho", "phonons"), ("hint tc --mu", "--mu-star-at"), ("hint sample w", "wld")],
)
def test_completion_knows_verbs_that_are_not_loaded(words, wanted, monkeypatch, capsys):
    monkeypatch.setenv("_HINT_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", words)
    monkeypatch.setenv("COMP_CWORD", str(words.count(" ")))
    with pytest.raises(SystemExit):
        app.main([])
    assert wanted in capsys.readouterr().out.split()


WITHOUT_JSON = {"mace-train": "takes MACE's options, and prints what MACE prints"}
"""Verbs without --json, and why."""


@pytest.mark.parametrize("verb", [name for name in app.VERBS if name not in WITHOUT_JSON])
def test_results_are_to_be_had_as_json(verb):
    one = app._real_command(verb)
    for member in getattr(one, "commands", {"": one}).values():
        assert "--json" in options(member)


SAME = {  # of each option: what its short form is, wherever both are
    **{"--output": "-o", "--model": "-m", "--engine-option": "-e", "--jobs": "-j", "--temperature": "-T"},
    **{"--number": "-n", "--help": "-h", "--pressure": "-p", "--neighbours": "-k"},
}


def test_options_have_the_same_short_names_and_shapes_everywhere():
    wrong = []
    for name, verb in app.VERBS.items():
        if verb.passthrough:
            continue
        one = app._real_command(name)
        for member in getattr(one, "commands", {"": one}).values():
            for parameter in member.params:
                short = {word for word in parameter.opts if re.fullmatch(r"-\w", word)}
                for long in set(parameter.opts) & set(SAME):
                    if short != {SAME[long]} and (name, long) != ("sscha", "--pressure"):
                        wrong.append(f"{name} {long}: {short or 'no short form'}, wanted {SAME[long]}")
                if not set(parameter.opts) & set(SAME) and short:
                    wrong.append(f"{name}: {short} belongs to {parameter.opts}")
                if "--supercell" in parameter.opts and parameter.nargs != 3:
                    wrong.append(f"{name} --supercell takes {parameter.nargs} numbers, wanted 3")
    assert not wrong
