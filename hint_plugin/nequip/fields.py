"""Names of what HINT puts into NequIP's `AtomicDataDict`, made known to NequIP when this is imported."""

from __future__ import annotations

from typing import NamedTuple

from nequip.data import register_fields
from torch import Tensor

from hint_plugin.core.batches import KEYS

#: [N, K, 3], probes v, in training and in evaluation. Two names, since compiled code is kept by names of its
#: inputs and has a fixed K.
PROBES = {True: "hint_probes", False: "hint_validation_probes"}
#: [N, K, 3], H v as the model predicts it.
HVP = "hint_hvp"
#: [1], the optimiser's step, from `HessianDataModule`.
STEP = "hint_step"
#: Name of a field -> its name on the host, in a batch that is on an accelerator.
HOST = {name: f"hint_host_{name}" for name in ("num_atoms", "batch", "edge_index")}
#: In the model's output: a `Products`.
PRODUCTS = "hint_products"

#: Labels are rows a structure to NequIP, which joins such fields whatever their length.
register_fields(
    graph_fields=[*KEYS, STEP],
    node_fields=[*PROBES.values(), HVP],
    long_fields=["hint_atoms", "hint_count", "hint_key", STEP],
)


class Products(NamedTuple):
    """What the Hessian term of a batch needs: n atoms and G structures, with and without a label.

    Attributes:
        probes, predicted, reference: v, H_pred v, H_ref v, [K, n, 3]; zero for structures without a label.
        owner: structure of each atom [n].
        weights: of the structures [G], 0 without a label.
        readers: who has used this; a model whose products nobody reads is trained without Hessians.
    """

    probes: Tensor
    predicted: Tensor
    reference: Tensor
    owner: Tensor
    weights: Tensor
    readers: list[str]
