"""MkDocs hook: turns `<!-- cli -->` into the options of every verb of `hint`, as `--help` has them."""

from typing import Any

MARK = "<!-- cli -->"


def _rows(command: Any) -> list[str]:
    rows = []
    for parameter in command.params:
        names = [*parameter.opts, *parameter.secondary_opts]
        if parameter.param_type_name == "argument":
            names = [parameter.metavar or parameter.name.upper()]
        text = (parameter.help or "").replace("\\[", "[").replace("|", "\\|")
        rows.append(f"| {', '.join(f'`{name}`' for name in names)} | {text} |")
    return rows


def _section(name: str, command: Any) -> str:
    lines = [f"### hint {name}", "", command.help or "", ""]
    if command.epilog:
        examples = command.epilog.splitlines()[1:]
        lines += [*(f"    {line}" for line in examples), ""]
    if not hasattr(command, "commands"):
        lines += ["| option | |", "|---|---|", *_rows(command), ""]
    return "\n".join(lines)


def reference() -> str:
    """Markdown of all verbs, but those that hand their arguments over."""
    from hint_plugin.cli import app

    sections = []
    for name, verb in app.VERBS.items():
        if not verb.passthrough:
            command = app._real_command(name)
            sections.append(_section(name, command))
            members = getattr(command, "commands", {})
            sections += [_section(f"{name} {member}", found) for member, found in members.items()]
    return "\n".join(["## Options of each verb", "", *sections])


def on_page_markdown(markdown: str, **_: object) -> str:
    """Called by MkDocs for each page."""
    return markdown.replace(MARK, reference()) if MARK in markdown else markdown
