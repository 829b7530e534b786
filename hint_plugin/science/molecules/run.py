"""What the verbs for molecules do, as functions of the same names and options.

    from hint_plugin.science.molecules.run import thermo
    found = thermo("molecules.xyz", "gfn2-xtb", optimize=True)
    found.results[0]["gibbs_energy"]
    found.write("thermo")

Atoms may be held by FixAtoms and FixCartesian (but for `compare_thermo`); then a structure may be periodic.

Beside its own options, each takes

- `inputs`: files, patterns of files, ASE atoms; one or several.
- `potential`: what computes. The name of an engine (gfn2-xtb) or of a model that comes with HINT, the file of
  a model, a `PotentialSpec` (an engine with options), or an ASE calculator with `get_hessian`.
- `output`: the file or folder, as `-o` of the command. None: nothing is written, and nothing is kept of a run
  that is stopped.
- `device`, `charge`, `spin`: where a model runs; charge and multiplicity of molecules that state none. A
  calculator has its own.
- `jobs`, `parsl`, `restart`: processes; a file that says where workers run; drop what a stopped run has left.
- `report`: called with (done, failed, total); `report.say(text)`, if it has that, with what is being done.

and returns a `Batch` with `results`, `failures`, `as_dict()` and `write(output)`. What fails with one
molecule is in `failures`. What no molecule can do without, and inputs that cannot be read, raise a HintError.
"""

from hint_plugin.parallel import Batch
from hint_plugin.potentials.on_demand import PotentialSpec
from hint_plugin.science.molecules.run_compare_thermo import ThermoComparison, compare_thermo
from hint_plugin.science.molecules.run_hessian import HessianResult, hessian
from hint_plugin.science.molecules.run_optimize import OptimizeResult, optimize
from hint_plugin.science.molecules.run_thermo import ThermoResult, thermo
from hint_plugin.science.molecules.run_vibrations import VibrationsResult, vibrations

__all__ = [
    "Batch",
    "HessianResult",
    "OptimizeResult",
    "PotentialSpec",
    "ThermoComparison",
    "ThermoResult",
    "VibrationsResult",
    "compare_thermo",
    "hessian",
    "optimize",
    "thermo",
    "vibrations",
]
