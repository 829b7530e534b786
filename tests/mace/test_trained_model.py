"""A model that HINT trained is an ordinary MACE model: it runs where there is no HINT."""

from __future__ import annotations

import json
import os
import pickletools
import subprocess
import sys
import zipfile

import pytest

from mace_runs import MOLECULES

WITHOUT_HINT = """
import sys

class NoHint:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "hint_plugin":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, NoHint())
import numpy as np
from ase.io import read
model, frames, out = sys.argv[1:]

from mace.calculators import MACECalculator
atoms = read(frames, "4")
atoms.calc = MACECalculator(model_paths=model, device="cpu", default_dtype="float64")
energy, forces = atoms.get_potential_energy(), atoms.get_forces()
hessian = atoms.calc.get_hessian(atoms).reshape(3 * len(atoms), -1)

from mace.cli.eval_configs import main as evaluate
sys.argv = ["mace_eval_configs", "--configs", frames, "--model", model, "--output", out + "/out.xyz",
            "--default_dtype", "float64"]
evaluate()
evaluated = read(out + "/out.xyz", "4")
np.testing.assert_allclose(evaluated.info["MACE_energy"], energy, rtol=1e-10)
np.testing.assert_allclose(evaluated.arrays["MACE_forces"], forces, atol=1e-6)

from mace.cli.create_lammps_model import main as lammps
sys.argv = ["mace_create_lammps_model", model]
lammps()
assert not [m for m in sys.modules if m.split(".")[0] == "hint_plugin"]
np.save(out + "/hessian.npy", hessian)
"""


def test_runs_without_hint(trained, tmp_path):
    """Calculator with Hessian, mace_eval_configs and mace_create_lammps_model, HINT not to be imported."""
    import numpy as np
    from ase.io import read

    from hint_plugin.mace.predictor import MacePredictor

    model = tmp_path / "model.model"
    model.write_bytes(trained.model_path.read_bytes())
    environment = {**os.environ, "TORCH_DEVICE_BACKEND_AUTOLOAD": "0", "OMP_NUM_THREADS": "1"}
    line = [sys.executable, "-c", WITHOUT_HINT, str(model), str(MOLECULES), str(tmp_path)]
    done = subprocess.run(line, env=environment, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    assert (tmp_path / "model.model-lammps.pt").stat().st_size > 10000
    ours = next(MacePredictor(model).predict(read(MOLECULES, "4:5"), hessian=True)).hessian.numpy()
    np.testing.assert_allclose(np.load(tmp_path / "hessian.npy"), ours, atol=1e-9)


@pytest.mark.parametrize("what", ["model", "checkpoint"])
def test_pickles_refer_to_nothing_of_hint(trained, what):
    path = trained.model_path if what == "model" else next((trained.folder / "checkpoints").glob("*.pt"))
    with zipfile.ZipFile(path) as archive:
        (name,) = [n for n in archive.namelist() if n.endswith("data.pkl")]
        strings = [str(arg) for _, arg, _ in pickletools.genops(archive.read(name)) if isinstance(arg, str)]
    assert any("mace" in s for s in strings) or what == "checkpoint"
    assert not [s for s in strings if "hint_plugin" in s.lower()]
    found = [s for s in strings if "hint" in s.lower()]  # how it was trained is a text, and the only trace
    assert len(found) == (2 if what == "model" else 0)
    if found:
        assert found[0] == "hint_training" and "--loss hint_" in json.loads(found[1])["command"]
