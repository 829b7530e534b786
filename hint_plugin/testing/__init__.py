"""The suites that models, potentials and engines have to pass: for HINT's own, and for plug-ins of others.

    from hint_plugin.testing import EngineContract, ModelContract, PotentialContract

    class TestMyEngine(EngineContract):
        @pytest.fixture
        def engine(self):
            return MyEngine(MyEngine.Options())

        @pytest.fixture
        def atoms(self):
            return molecule("H2O")

A class inherits a suite, gives its fixtures, and pytest collects the tests. The suites need pytest
(``pip install '.[test]'`` in HINT's folder).
"""

from hint_plugin.testing.edge_model import EdgeModel, EdgePotential
from hint_plugin.testing.engine_contract import EngineContract
from hint_plugin.testing.model_contract import ModelContract, ModelUnderTest, randomised
from hint_plugin.testing.potential_contract import PotentialContract

__all__ = [
    "EdgeModel",
    "EdgePotential",
    "EngineContract",
    "ModelContract",
    "ModelUnderTest",
    "PotentialContract",
    "randomised",
]
