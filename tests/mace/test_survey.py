"""How many structures are labelled, and what is said of sets without a label."""

from __future__ import annotations

import logging
from types import SimpleNamespace

import configargparse
import pytest
import torch

from hint_plugin.errors import HintError
from hint_plugin.mace.options import HintOptions, add_arguments
from hint_plugin.mace.survey import survey
from hint_plugin.mace.wrappers import _report_labels, _warn_of_rare_steps


def structures(size: int, labelled: tuple[int, ...] = ()) -> list[SimpleNamespace]:
    """Like MACE's data: number k has k edges."""
    count = torch.tensor([[0, 0, 0]])
    return [
        SimpleNamespace(
            hint_count=torch.tensor([[1, 0, 1]]) if k in labelled else count,
            edge_index=torch.zeros(2, k, dtype=torch.long),
        )
        for k in range(size)
    ]


class FromFile(torch.utils.data.Dataset):
    """The same, read one by one."""

    def __init__(self, items):
        self.items, self.read = items, []

    def __len__(self):
        return len(self.items)

    def __getitem__(self, index):
        self.read.append(index)
        return self.items[index]


def test_labels_that_are_rare_are_found():
    """Three in 4100: a sample of every second structure, 0, 2, 4, ..., sees none of them."""
    found = survey(structures(4100, (1, 777, 2001)))
    assert (found.labelled, found.seen, found.complete, found.best) == (3, 4100, True, 2001)
    parts = [structures(300, (7,)), structures(200, (3, 150))]
    found = survey(torch.utils.data.ConcatDataset(parts))
    assert (found.labelled, found.seen, found.best) == (3, 500, 450)


def test_of_files_a_sample_is_read_and_more_until_a_label_is_there():
    file = FromFile(structures(4100, (1, 777, 2001)))
    found = survey(file, limit=50)
    assert (found.labelled, found.complete, found.best) == (1, False, 1)
    assert len(file.read) == len(set(file.read)) == found.seen < 60
    file = FromFile(structures(4100, tuple(range(0, 4100, 2))))
    found = survey(file, limit=50)
    assert (found.labelled, found.seen) == (50, 50) and len(file.read) == 50
    assert str(found) == "50 of 50 structures looked at (of 4100) have a Hessian label"
    assert survey(FromFile(structures(70)), limit=50).complete  # none at all: all were looked at


def test_a_structure_that_was_read_without_hint_is_an_error():
    items = structures(3)
    del items[1].hint_count
    with pytest.raises(HintError, match="structure 1 of a data set has no hint_rows"):
        survey(items)
    assert survey(items, any_structure=True).best == 2  # where no label is asked for


def test_the_last_head_decides_on_the_best_checkpoint(caplog):
    """MACE looks at the last head's validation alone, whatever the others have."""
    caplog.set_level(logging.INFO)
    loss = SimpleNamespace(options=HintOptions())
    some, none = (SimpleNamespace(dataset=structures(4, labelled)) for labelled in ((1,), ()))
    _report_labels(loss, some, {"a": none, "b": some})
    assert "no Hessian label in validation set a; the best checkpoint is that of b" in caplog.text
    assert not [r for r in caplog.records if r.levelno >= logging.WARNING]
    _report_labels(loss, some, {"a": some, "b": none})
    (warning,) = [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING]
    assert "validation set b: the best checkpoint is chosen by energies and forces alone" in warning


def test_a_term_that_is_used_once_is_said(caplog):
    for every, total in ((1000, 12), (12, 12)):
        caplog.clear()
        _warn_of_rare_steps(every, total)
        assert f"--hint_every {every}, and the training has {total} steps" in caplog.text
    caplog.clear()
    for every, total in ((1, 1), (5, 12)):
        _warn_of_rare_steps(every, total)
    assert caplog.text == ""


def test_yes_and_no_of_a_yaml_file(tmp_path):
    """YAML makes False of `no`."""
    (tmp_path / "c.yaml").write_text("name: a\nhint_gate: no\nhint_check: yes\n")
    parser = configargparse.ArgumentParser(config_file_parser_class=configargparse.YAMLConfigFileParser)
    parser.add("--config", is_config_file=True)
    parser.add_argument("--name")
    parser.add_argument("--loss", choices=["weighted"])
    add_arguments(parser)
    found = parser.parse_args(["--config", str(tmp_path / "c.yaml")])
    assert (found.hint_gate, found.hint_check) == ("no", "yes")
