"""Rate constants of reactions whose transition state is known: partition functions, tunnelling, isotopes.

Everything here takes geometries, energies and Hessians, or arrays along a reaction path; `rates` reads them
from the folder of `hint reaction`.
"""

from hint_plugin.science.reactions.kinetics.run_rates import Rates, rates

__all__ = ["Rates", "rates"]
