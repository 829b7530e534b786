"""`hint model list|card|path`: the trained models that come with HINT."""

from __future__ import annotations

import json
from textwrap import wrap
from typing import Annotated, Any

import typer

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="List the trained models that come with HINT. You can give their names wherever a verb takes a "
    "model's file.",
)

Name = Annotated[str, typer.Argument(metavar="NAME", help="Name from `hint model list`.")]


@app.command("list")
def list_models(
    json_: Annotated[bool, typer.Option("--json", help="Print the cards as JSON.")] = False,
) -> None:
    """List the models, with the error of their Hessians on molecules that they have not seen."""
    from hint_plugin import pretrained
    from hint_plugin.cli.support.tables import show

    cards = [pretrained.card(name) for name in pretrained.names()]
    if json_:
        typer.echo(json.dumps(cards, indent=2))
        return
    show(
        ("name", "made for", "learnt", "Hessian error, eV/A^2"),
        [(c["name"], c["made_for"], c["level"], f"{c['errors']['hessian_mae']:.2g}") for c in cards],
        left=3,
    )


@app.command("card")
def show_card(
    name: Name,
    json_: Annotated[
        bool, typer.Option("--json", help="Print the whole card, with checksums and versions.")
    ] = False,
) -> None:
    """Print what a model was trained on, its errors on molecules that it has not seen, and its limits."""
    from hint_plugin import pretrained

    found = pretrained.card(name)
    typer.echo(json.dumps(found, indent=2) if json_ else as_text(found))


def as_text(card: dict[str, Any]) -> str:
    """A card for people: without checksums and versions."""
    return "\n".join(_lines({key: card[key] for key in card if key not in ("versions", "sha256")}))


def _lines(content: dict[str, Any], indent: str = "") -> list[str]:
    from hint_plugin.science.evaluation_report import UNITS

    lines = []
    for key, value in content.items():
        words = f"{indent}{key.replace('_', ' ')}:"
        if isinstance(value, dict):
            lines += [words, *_lines(value, indent + "  ")]
        elif isinstance(value, list):
            lines.append(f"{words} {' '.join(map(str, value))}")
        elif isinstance(value, float):
            lines.append(f"{words} {value:.4g} {UNITS.get(key, '')}".rstrip())
        else:
            lines += wrap(f"{words} {value}", 100, subsequent_indent=f"{indent}  ")
    return lines


@app.command("path")
def path(
    name: Name,
    checkpoint: Annotated[
        bool, typer.Option("--checkpoint", help="Print the path of the checkpoint, for fine-tuning.")
    ] = False,
    json_: Annotated[bool, typer.Option("--json", help="Print the paths of both as JSON.")] = False,
) -> None:
    """Print the path of a model's file, for programs that do not know its name: LAMMPS, mace_run_train."""
    from hint_plugin import pretrained

    kinds = {"artifact": pretrained.ARTIFACT, "checkpoint": pretrained.CHECKPOINT}
    found = {kind: str(pretrained.path_of(name, suffix)) for kind, suffix in kinds.items()}
    typer.echo(json.dumps(found, indent=2) if json_ else found["checkpoint" if checkpoint else "artifact"])
