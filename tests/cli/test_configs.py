"""`hint configs list|copy`: what it copies is what the repository has, and nothing of the user's is lost."""

import json
import os
from pathlib import Path

import pytest

from hint_plugin import shipped
from hint_plugin.cli import app
from hint_plugin.errors import OptionsError

ROOT = Path(__file__).parents[2]


@pytest.fixture
def hint(tmp_path, monkeypatch, capsys):
    """Runs `hint` in an empty folder: (exit status, stdout, stderr)."""
    monkeypatch.chdir(tmp_path)

    def run(*words):
        with pytest.raises(SystemExit) as ended:
            app.main(["configs", *words])
        said = capsys.readouterr()
        return ended.value.code or 0, said.out, said.err

    return run


def files(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


def of_repository(folder):
    return {name: content for name, content in files(ROOT / folder).items() if "__pycache__" not in name}


def test_every_file_of_the_repository_is_listed(hint):
    found = json.loads(hint("list", "--json")[1])
    assert found.pop("constraints.txt") == ["constraints.txt"] and "molecules.xyz" in found["examples"]
    assert set(found.pop("examples")) == set(of_repository("examples"))
    listed = {f"{top}/{one}" for top, inside in found.items() for one in inside}
    assert listed == set(of_repository("configs"))
    status, text, _ = hint("list")
    assert status == 0 and "slurm" in text and "label.sh" in text


@pytest.mark.parametrize("name", ["slurm", "nequip", "examples"])
def test_a_folder_is_copied_as_it_is(hint, tmp_path, name):
    status, text, _ = hint("copy", name)
    source = "examples" if name == "examples" else f"configs/{name}"
    assert status == 0 and files(tmp_path / name) == of_repository(source)
    assert f"{len(of_repository(source))} of {len(of_repository(source))} files copied to {name}" in text


def test_permissions_are_kept(hint, tmp_path):
    hint("copy", "slurm")
    for path in (ROOT / "configs/slurm").iterdir():
        assert os.access(tmp_path / "slurm" / path.name, os.X_OK) == os.access(path, os.X_OK)


def test_single_files_and_folders_within(hint, tmp_path):
    assert hint("copy", "slurm/label.sh")[0] == hint("copy", "constraints.txt")[0] == 0
    assert hint("copy", "examples/molecules.xyz", "data/first")[0] == 0
    assert hint("copy", "examples/pdh")[0] == 0
    assert (tmp_path / "constraints.txt").read_bytes() == (ROOT / "constraints.txt").read_bytes()
    assert (tmp_path / "label.sh").is_file() and (tmp_path / "data/first/molecules.xyz").is_file()
    assert files(tmp_path / "pdh") == of_repository("examples/pdh")


def test_files_of_the_user_are_kept(hint, tmp_path):
    own = tmp_path / "slurm" / "label.sh"
    own.parent.mkdir()
    own.write_text("mine\n")
    status, _, said = hint("copy", "slurm")
    assert status == 2 and "slurm/label.sh would be overwritten, and nothing was copied" in said
    assert "--force" in said and files(own.parent) == {"label.sh": b"mine\n"}
    assert hint("copy", "slurm", "--force")[0] == 0
    assert files(own.parent) == of_repository("configs/slurm")


def test_a_second_copy_changes_nothing(hint):
    hint("copy", "label")
    status, text, _ = hint("copy", "label", "--json")
    found = json.loads(text)
    assert status == 0 and found["written"] == [] and len(found["unchanged"]) == 4
    assert found == json.loads(json.dumps(shipped.copy("label").as_dict()))


@pytest.mark.parametrize(
    "name, said",
    [
        ("slrum", "Did you mean 'slurm'?"),
        ("slurm/lable.sh", "slurm/label.sh"),
        ("../setup", "comes with HINT"),
        ("", "there is"),
    ],
)
def test_unknown_names(name, said):
    with pytest.raises(OptionsError, match=said.replace("?", r"\?")):
        shipped.copy(name, "nowhere")
    assert not Path("nowhere").exists()


def test_places_that_cannot_be_written(hint, tmp_path):
    (tmp_path / "file").write_text("mine")
    assert "file is a file" in hint("copy", "label", "file")[2]
    (tmp_path / "label" / "local.yaml").mkdir(parents=True)
    assert hint("copy", "label", "--force")[0] == 2
    assert (tmp_path / "file").read_text() == "mine"


def test_a_clone_without_links_says_so(monkeypatch, tmp_path):
    monkeypatch.setattr(shipped, "FOLDER", tmp_path)
    with pytest.raises(OptionsError, match="without symbolic links"):
        shipped.listing()
