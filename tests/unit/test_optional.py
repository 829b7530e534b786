"""Packages of the extras."""

from __future__ import annotations

import json

import pytest

from hint_plugin.errors import MissingDependencyError
from hint_plugin.optional import check, load


def test_what_is_there():
    assert load("json", "label", "nothing needs json") is json
    check("nothing", "json", "json", "csv")


def test_what_is_not():
    with pytest.raises(
        MissingDependencyError, match=r"^plots need it: pip install 'hint-mlip\[plot\]' \(No mod"
    ):
        load("no_such_module", "plot", "plots need it")
    with pytest.raises(MissingDependencyError, match="^this needs no_such_module, nor_this: pip install x$"):
        check("this", "x", "json", "no_such_module", "nor_this")
