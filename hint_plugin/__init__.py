"""HINT: Hessian INformed Training for machine-learned interatomic potentials.

Importing the package loads nothing heavy: reach for `hint_plugin.core`, `hint_plugin.data` and so on.
"""

__all__ = ["__version__"]

__version__ = "0.1.0"
