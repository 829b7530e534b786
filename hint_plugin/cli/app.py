"""`hint <verb>`: the table of verbs, and what happens when one of them fails.

The verbs are lazy. `hint --help` reads only the table below; the module of a verb is imported when that verb
runs. A verb's module defines one plain function with Typer annotations. Errors that a user can act on are
raised as `HintError`, anywhere below, and become one line here.
"""

import errno
import importlib
import os
import sys
import textwrap
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated, Any, TextIO

import typer
from typer.core import TyperGroup

from hint_plugin import __version__
from hint_plugin.command_line import remember
from hint_plugin.errors import HintError, InterruptedRunError

EXIT_PROBLEMS = 1  # what a verb was to look for has been found: dataset check, doctor
EXIT_ERROR = 2  # what argument errors exit with, too
EXIT_SOME_FAILED = 3  # what could not be done is told, the rest is done
EXIT_INTERRUPTED = 130  # 128 + SIGINT, as shells have it

OF_THE_MACHINE = {
    *(errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM),
    *(errno.EISDIR, errno.ENOTDIR, errno.ENAMETOOLONG, errno.EMFILE),
}
"""Errors of disks, permissions and names: not bugs, whoever meets them."""

FIRST_STEPS = """\
HINT: Hessian-informed training of interatomic potentials.

  hint label molecules.xyz -o labelled.xyz      energies, forces, Hessians
  mace_run_train --loss hint_hutchinson ...     train, with MACE's own command
  hint evaluate MODEL DATA -o DIR               errors, of the Hessian too
  hint export MODEL -o model.hint.pt            one file: LAMMPS, i-PI, ASE
  hint thermo molecules.xyz -m model.hint.pt    Gibbs energies
"""
LAST_STEPS = """
  hint doctor                                   what is installed and active
  hint VERB --help                              options and examples of a verb
  hint --install-completion                     verbs and options by the Tab key"""


@dataclass(frozen=True)
class Verb:
    """One verb of the command line.

    Attributes:
        target: "module:function" of the Typer command function, "module:app" of a group.
        help: one line for `hint --help`.
        job: what it is for; the heading of its panel in `hint --help`.
        passthrough: hand all arguments over untouched, `--help` included. The function then takes a
            `typer.Context` and reads `context.args`.
        group: the target is a `typer.Typer` with commands of its own: `hint sample wld`.
    """

    target: str
    help: str
    job: str = "Commands"
    passthrough: bool = False
    group: bool = False

    def load(self) -> Callable[..., Any]:
        """Import the verb's module and return its command function, or the app of a group."""
        module, _, function = self.target.partition(":")
        command: Callable[..., Any] = getattr(importlib.import_module(module), function)
        return command


_DATA, _MODELS, _MOLECULES, _CRYSTALS = "Data", "Models", "Molecules and reactions", "Crystals"

VERBS = {
    "label": Verb(
        "hint_plugin.cli.verbs.label:label", "Label structures with energies, forces and Hessians.", _DATA
    ),
    "sample": Verb(
        "hint_plugin.cli.verbs.sample:app",
        "Choose frames to label and to train on, and say why.",
        _DATA,
        group=True,
    ),
    "dataset": Verb(
        "hint_plugin.cli.verbs.dataset:dataset",
        "Convert, merge, split, describe and check data sets.",
        _DATA,
        group=True,
    ),
    "mace-train": Verb(
        "hint_plugin.cli.verbs.mace_train:mace_train",
        "Run mace_run_train with HINT's losses and all of its own options.",
        _MODELS,
        passthrough=True,
    ),
    "evaluate": Verb(
        "hint_plugin.cli.verbs.evaluate:evaluate", "Measure a model's errors on labelled structures.", _MODELS
    ),
    "export": Verb(
        "hint_plugin.cli.verbs.export:export",
        "Write a trained model as one file for LAMMPS, i-PI and ASE.",
        _MODELS,
    ),
    "model": Verb(
        "hint_plugin.cli.verbs.model:app", "List the trained models that come with HINT.", _MODELS, group=True
    ),
    "configs": Verb(
        "hint_plugin.cli.verbs.configs:app",
        "Copy the configurations and examples that come with HINT.",
        _DATA,
        group=True,
    ),
    "inspect": Verb(
        "hint_plugin.cli.verbs.inspect:inspect", "Show what an exported file contains, and check it.", _MODELS
    ),
    "lammps": Verb("hint_plugin.cli.verbs.lammps:lammps", "Build pair_style hint for LAMMPS.", _MODELS),
    "ipi": Verb(
        "hint_plugin.cli.verbs.ipi:ipi",
        "Run an exported model in i-PI, for path integrals and phonons.",
        _MODELS,
    ),
    "external": Verb(
        "hint_plugin.cli.verbs.external:app",
        "Compute energies and Hessians for Gaussian, ORCA, geomeTRIC or pysisyphus.",
        _MODELS,
        group=True,
    ),
    "doctor": Verb(
        "hint_plugin.cli.verbs.doctor:doctor",
        "Say what is installed and active, and what to do if something is not.",
        _MODELS,
    ),
    "optimize": Verb(
        "hint_plugin.cli.verbs.optimize:optimize",
        "Find minima and transition states of molecules.",
        _MOLECULES,
    ),
    "hessian": Verb(
        "hint_plugin.cli.verbs.hessian:hessian", "Compute exact Hessians of molecules.", _MOLECULES
    ),
    "vibrations": Verb(
        "hint_plugin.cli.verbs.vibrations:vibrations",
        "Compute frequencies, modes and infrared spectra of molecules.",
        _MOLECULES,
    ),
    "thermo": Verb(
        "hint_plugin.cli.verbs.thermo:thermo",
        "Compute enthalpies, entropies and Gibbs energies of molecules.",
        _MOLECULES,
    ),
    "compare-thermo": Verb(
        "hint_plugin.cli.verbs.compare_thermo:compare_thermo",
        "Compare the Gibbs corrections of a model with a reference.",
        _MOLECULES,
    ),
    "reaction": Verb(
        "hint_plugin.cli.verbs.reaction:reaction",
        "Find the transition state and the barriers between two molecules.",
        _MOLECULES,
    ),
    "rates": Verb(
        "hint_plugin.cli.verbs.rates:rates",
        "Rate constants and isotope effects of a reaction that was found.",
        _MOLECULES,
    ),
    "neb": Verb(
        "hint_plugin.cli.verbs.neb:neb",
        "Relax a path between two molecules (nudged elastic band).",
        _MOLECULES,
    ),
    "reactions": Verb(
        "hint_plugin.cli.verbs.reactions:reactions",
        "Find the transition states of a set of reactions, and count the successes.",
        _MOLECULES,
    ),
    "phonons": Verb(
        "hint_plugin.cli.verbs.phonons:phonons",
        "Compute phonons of a crystal: bands and densities of states.",
        _CRYSTALS,
    ),
    "qha": Verb(
        "hint_plugin.cli.verbs.qha:qha",
        "Thermal expansion, C_p and Gibbs energies of crystals.",
        _CRYSTALS,
    ),
    "cubic": Verb(
        "hint_plugin.cli.verbs.cubic:cubic",
        "Compute cubic force constants of a crystal.",
        _CRYSTALS,
    ),
    "conductivity": Verb(
        "hint_plugin.cli.verbs.conductivity:conductivity",
        "Lattice thermal conductivity of a crystal.",
        _CRYSTALS,
    ),
    "double-well": Verb(
        "hint_plugin.cli.verbs.double_well:double_well",
        "Compute energies along a mode or a displacement of a crystal.",
        _CRYSTALS,
    ),
    "anharmonic": Verb(
        "hint_plugin.cli.verbs.anharmonic:anharmonic",
        "Write the DFT inputs for anharmonic phonons and Tc.",
        _CRYSTALS,
    ),
    "sscha": Verb(
        "hint_plugin.cli.verbs.sscha:sscha",
        "Compute anharmonic phonons of crystals with quantum nuclei.",
        _CRYSTALS,
    ),
    "tc": Verb(
        "hint_plugin.cli.verbs.tc:tc",
        "Compute superconducting Tc from the electron-phonon coupling.",
        _CRYSTALS,
    ),
}


def next_steps() -> str:
    """What `hint` alone says: the first commands, and all verbs by their job."""
    jobs: dict[str, list[str]] = {}
    for name, verb in VERBS.items():
        jobs.setdefault(verb.job, []).append(name)
    lines = [
        f"  {job}:\n{textwrap.indent(textwrap.fill(' '.join(names), 74), 6 * ' ')}"
        for job, names in jobs.items()
    ]
    return "\n".join([FIRST_STEPS, *lines, LAST_STEPS])


class LazyGroup(TyperGroup):
    """A group whose listed commands are stand-ins, each replaced by the real one when it is called."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        name, _, rest = super().resolve_command(ctx, args)  # fails with a suggestion if there is no such verb
        return name, None if name is None else _real_command(name), rest

    def make_context(self, *arguments: Any, **more: Any) -> Any:
        """Ctrl-C is told here and in `invoke`: Typer would end with 130, and without a word."""
        with _told():
            return super().make_context(*arguments, **more)

    def invoke(self, ctx: Any) -> Any:
        """Runs the verb."""
        with _told():
            return super().invoke(ctx)


@contextmanager
def _told() -> Iterator[None]:
    """Ctrl-C where the verb itself has nothing to say of it."""
    try:
        yield
    except KeyboardInterrupt:
        raise InterruptedRunError("stopped: results that were not yet written are lost") from None


def _real_command(name: str) -> Any:
    from hint_plugin.cli.support.help_texts import dress

    verb = VERBS[name]
    if verb.group:
        loaded: Any = verb.load()
        return dress(typer.main.get_command(loaded), name)
    settings: dict[str, Any] = {"help_option_names": ["-h", "--help"]}
    if verb.passthrough:
        settings = {
            "help_option_names": [],
            "allow_extra_args": True,
            "ignore_unknown_options": True,
            "allow_interspersed_args": False,
        }
    single = typer.Typer(add_completion=False)
    single.command(name, help=None, context_settings=settings)(verb.load())
    return dress(typer.main.get_command(single), name)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"hint {__version__}")
        raise typer.Exit


def _root(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks, as HINT_DEBUG=1 does.")] = False,
) -> None:
    """Hessian-informed training of machine-learned interatomic potentials."""
    if debug:
        os.environ["HINT_DEBUG"] = "1"  # the environment reaches worker processes as well
    if context.invoked_subcommand is None:
        typer.echo(next_steps())


def _stand_in() -> None:
    raise AssertionError("a stand-in is only ever listed")


def build_app() -> typer.Typer:
    """Return the Typer app with a stand-in for every verb of `VERBS`."""
    app = typer.Typer(
        name="hint",
        cls=LazyGroup,
        invoke_without_command=True,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_root)
    for name, verb in VERBS.items():
        app.command(name, help=verb.help, rich_help_panel=verb.job)(_stand_in)
    return app


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point of the `hint` script.

    Exits 0 on success, 1 where `dataset check` or `doctor` find something wrong, 2 on a `HintError` or a
    wrong argument or what the machine refuses (disk full, no permission), 3 where a part failed, 130 when
    interrupted. Other exceptions are bugs and keep their traceback.

    Args:
        arguments: what follows `hint` on the command line; taken from `sys.argv` by default.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    remember(given)
    shown, warnings.showwarning = warnings.showwarning, _show_warning
    command = typer.main.get_command(build_app())
    try:
        command.main(args=given, prog_name="hint")
    except HintError as error:
        if os.environ.get("HINT_DEBUG", "") not in ("", "0"):
            raise
        if isinstance(error, InterruptedRunError):
            typer.echo(str(error), err=True)
            sys.exit(EXIT_INTERRUPTED)
        _fail(str(error))
    except OSError as error:
        if error.errno not in OF_THE_MACHINE or os.environ.get("HINT_DEBUG", "") not in ("", "0"):
            raise
        _fail(f"{error.filename or 'a file'}: {error.strerror}. Choose another place, or correct this one")
    except KeyboardInterrupt:
        typer.echo("stopped", err=True)
        sys.exit(EXIT_INTERRUPTED)
    finally:
        warnings.showwarning = shown
        remember(None)


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """HINT's own warnings as a sentence; others with the line of code that they come from."""
    if category.__module__.partition(".")[0] == __name__.partition(".")[0]:
        typer.echo(f"warning: {message}", err=True)
    else:
        typer.echo(warnings.formatwarning(message, category, filename, lineno, line), nl=False, err=True)


def _fail(message: str) -> None:
    typer.secho(f"error: {message}", fg=typer.colors.RED, err=True)
    sys.exit(EXIT_ERROR)


if __name__ == "__main__":
    main()
