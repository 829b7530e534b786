"""One item: a molecule, its reactions, and all geometries that come of them, without labels."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import numpy as np
from ase import Atoms
from rdkit import Chem

from hint_plugin.errors import EngineError, HintError
from hint_plugin.science.molecules.alignment import rmsd
from hint_plugin.science.reactions import match
from hint_plugin.science.reactions.limits import BROKEN_NUMBERS, TimeUp
from hint_plugin.science.reactions.one_reaction import SAME_MINIMUM
from reactive import displacements
from reactive.amounts import Amounts
from reactive.calculator import GFN2, ROUGH
from reactive.edits import products, smiles_of
from reactive.geometries import Dropped, minimum, product_of
from reactive.paths import geodesic, short_band
from reactive.saddles import saddle_from
from reactive.splits import part_of
from reactive.times import at_most_cpu

STATIONARY = ("minimum", "saddle")
LONGEST = 400.0  # CPU seconds: an item that takes longer is ended, and counted
_PRODUCTS = 4  # that are tried for a reaction
_IRC_KEPT = 5  # of each side


@dataclass
class Item:
    """What has become of it: frames with `info` kind, part, name, item; and what was counted."""

    number: int
    frames: list[Atoms] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0

    def add(self, frames: Iterable[Atoms], kind: str, part: str, name: str, **info: Any) -> None:
        """Keep copies without calculators."""
        for atoms in frames:
            about = {"kind": kind, "part": part, "name": name, "item": self.number, **info}
            self.frames.append(Atoms(atoms.symbols, atoms.positions, info=about))


def make_item(number: int, smiles: str, amounts: Amounts) -> Item:
    """All geometries of an item; the same for the same arguments."""
    item, start = Item(number), time.process_time()
    try:
        with at_most_cpu(LONGEST):
            _Maker(item, smiles, amounts).make()
    except Dropped as reason:
        item.counts[str(reason)] += 1
    except TimeUp:
        item.counts["time is up"] += 1
    except (HintError, *BROKEN_NUMBERS) as error:
        item.counts[f"error: {type(error).__name__}"] += 1
    item.seconds = time.process_time() - start
    return item


class _Maker:
    """The stages of one item."""

    def __init__(self, item: Item, smiles: str, amounts: Amounts) -> None:
        self.item, self.smiles, self.amounts = item, smiles, amounts
        self.molecule = Chem.AddHs(Chem.MolFromSmiles(smiles))
        self.calculator, self.rough = GFN2(), GFN2(ROUGH)
        self.rng = np.random.default_rng([amounts.seed, item.number])
        self.name = smiles_of(self.molecule)
        self.minima: list[tuple[Atoms, str, str]] = []

    def make(self) -> None:
        """Molecule first, then its reactions, as long as they go well."""
        start = minimum(self.molecule, 1 + self.item.number, self.calculator)
        formula = start.get_chemical_formula()
        part = part_of(formula, [self.name], self.amounts.seed)
        self._minimum(start, part, self.name, f"{self.item.number}M")
        self._around(start, part, self.name)
        choice = random.Random(f"{self.amounts.seed} {self.item.number}")
        others = products(self.molecule, choice)
        count = self.amounts.test_reactions if part == "test" else 1
        for k in range(count):
            self._reaction(start, islice(others, _PRODUCTS), k)
            if self.item.counts["saddles"]:
                break

    def _minimum(self, atoms: Atoms, part: str, name: str, point: str) -> str:
        """Keep it, unless this part has it; returns the name of the point."""
        for known, its_part, its_point in self.minima:
            if its_part == part and match(known, atoms) and rmsd(known, atoms, permute=True) < SAME_MINIMUM:
                return its_point
        self.minima.append((atoms, part, point))
        self.item.add([atoms], "minimum", part, name, point=point)
        return point

    def _around(self, start: Atoms, part: str, name: str) -> None:
        """Hot, pushed together, pulled apart."""
        self.item.add(displacements.hot(start, self.rough, self.rng), "hot", part, name)
        shaken = displacements.shaken(start, self.rng)
        for _ in range(2):
            close = displacements.pushed(shaken, self.rough, self.rng)
            self.item.add(close, "close", part, name)
        self.item.add(displacements.pulled_apart(shaken, self.rng), "apart", part, name)

    def _reaction(self, start: Atoms, candidates: Iterable[Chem.Mol], k: int) -> None:
        """The first of the products that is a minimum."""
        for number, product in enumerate(candidates):
            seed = 1 + self.item.number + 100_000 * (number + _PRODUCTS * k)
            try:
                end = product_of(start, product, seed, self.calculator)
            except Dropped as reason:
                self.item.counts[str(reason)] += 1
                continue
            return self._path(start, end, smiles_of(product), k)
        self.item.counts["no reaction"] += 1
        return None

    def _path(self, start: Atoms, end: Atoms, other: str, k: int) -> None:
        part = part_of(start.get_chemical_formula(), [self.name, other], self.amounts.seed)
        name, item = f"{self.name}>{other}", self.item
        item.counts["reactions"] += 1
        self._minimum(end, part, other, f"{item.number}P{k}")
        path = geodesic(start, end)
        item.add((displacements.shaken(a, self.rng) for a in path[1:-1]), "path", part, name)
        try:
            bands, top = short_band(path)
        except EngineError:
            item.counts["band failed"] += 1
            return
        images = [a for band in bands for a in band]
        item.add((displacements.shaken(a, self.rng) for a in images), "band", part, name)
        item.add(displacements.hot(top, self.rough, self.rng), "hot path", part, name)
        if part == "test" or self.rng.random() < self.amounts.saddles:
            self._saddle(top, part, name, k)

    def _saddle(self, top: Atoms, part: str, name: str, k: int) -> None:
        self.item.counts["saddles looked for"] += 1
        try:
            found = saddle_from(top, self.calculator)
        except Dropped as reason:
            self.item.counts[str(reason)] += 1
            return
        number = self.item.number
        ends = [
            self._minimum(a, part, name, f"{number}{s}{k}") for a, s in zip(found.minima, "AB", strict=True)
        ]
        info = {"point": f"{number}S{k}", "ends": " ".join(ends)}
        self.item.add([found.atoms], "saddle", part, name, **info)
        self.item.counts["saddles"] += 1
        for way in found.ways:
            chosen = [way[round(i)] for i in np.linspace(1, len(way) - 1, _IRC_KEPT)] if len(way) > 1 else []
            self.item.add((displacements.shaken(a, self.rng) for a in chosen), "descent", part, name)
