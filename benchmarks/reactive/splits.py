"""Which part a frame belongs to: by its formula, and by its molecule or reaction.

The part depends on names alone, so that shards know nothing of each other: a formula in ten is for the test;
of the others a molecule in forty for the validation, with all reactions from it and to it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

PARTS = ("train", "valid", "test")
TEST_FORMULAS, VALID_MOLECULES = 0.10, 0.025


def part_of_formula(formula: str, seed: int) -> str:
    """test, or train: then the molecule or reaction decides (`part_of`)."""
    return "test" if _number("formula", formula, seed) < TEST_FORMULAS else "train"


def part_of(formula: str, molecules: Iterable[str], seed: int) -> str:
    """train, valid or test.

    Args:
        formula: of all atoms.
        molecules: SMILES: of the molecule, or of both ends of the reaction.
        seed: of the set.
    """
    if part_of_formula(formula, seed) == "test":
        return "test"
    held_out = any(_number("molecule", smiles, seed) < VALID_MOLECULES for smiles in molecules)
    return "valid" if held_out else "train"


def _number(*words: object) -> float:
    """From 0 to 1, the same for the same words."""
    digest = hashlib.sha256("|".join(map(str, words)).encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64
