"""docs/training-nequip.md says what the two configurations say."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

pytest.importorskip("nequip", reason="NequIP has an environment of its own: make test")

import hint_plugin.nequip
from hint_plugin.nequip.model import ProbeSettings

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "training-nequip.md").read_text()


def config(name: str) -> list[str]:
    return (ROOT / "configs" / "nequip" / name).read_text().splitlines()


def test_the_diff_is_that_of_the_configurations():
    block = TEXT.split("```diff\n")[1].split("```")[0].splitlines()
    plain, hessian = config("plain.yaml"), config("hessian.yaml")
    added = [line[1:] for line in block if line.startswith("+")]
    removed = [line[1:] for line in block if line.startswith("-")]
    context = [line[1:] for line in block if line.startswith(" ") and line != " ..."]
    assert all(line in plain for line in [*removed, *context])
    assert all(line in hessian for line in [*added, *context])

    def body(lines: list[str]) -> list[str]:
        return [line for line in lines if not line.lstrip().startswith("#")]

    rest = {line for line in body(hessian) if line not in body(plain)}
    assert rest == {line for line in added if line not in plain}
    assert sorted(line for line in body(plain) if line not in hessian) == sorted(removed)


def test_options_and_names():
    rows = TEXT.split("## Options")[1].split("##")[0]
    for field in dataclasses.fields(ProbeSettings):
        assert f"| `{field.name}` |" in rows
        default = getattr(field.default, "name", field.default)
        if default is not None:
            assert f"| `{field.name}` | `{default}` |" in rows
    for name in hint_plugin.nequip.__all__:
        assert getattr(hint_plugin.nequip, name).__doc__
        assert f"`{name}`" in TEXT or name == "FrameDataset"
