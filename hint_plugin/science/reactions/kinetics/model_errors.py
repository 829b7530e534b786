"""How wrong the potential behind a rate is, as far as anybody has recorded it.

An error dE of the barrier is a factor exp(dE / kT) in the rate: at 298 K 1 kcal/mol is a factor of 5.4. So a
rate from a model is told together with the errors on the model's card, or with the words that none are known.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from hint_plugin import pretrained
from hint_plugin.artifact.metadata import is_artifact, read_metadata
from hint_plugin.data.file_io import file_sha256
from hint_plugin.science.reactions.kinetics.species import BOLTZMANN


def model_error(model: Path | None, method: str, atoms: int, temperature: float) -> dict[str, Any]:
    """What is known of the error, for JSON; `said` is a sentence or two for people.

    Args:
        model: the file, if it is a model.
        method: what the potential calls itself.
        atoms: of the reaction.
        temperature: K, at which the effect on k is told.

    Returns:
        `known`: whether there is a card; `card`, `level`, `errors` and `outside_training` (by the number of
        atoms) if so; `verification` of an artifact; `said`.
    """
    if model is None:
        said = f"the error of {method} for this barrier is not known here. {_rule(temperature)}"
        return {"known": False, "method": method, "said": said}
    card = _card(model)
    found: dict[str, Any] = {"known": card is not None, "method": method}
    if is_artifact(model):
        found["verification"] = read_metadata(model).verification
    if card is None:
        found["said"] = (
            f"the error of the model {model.name} for this barrier is not known: it has no card (hint "
            f"evaluate measures it on labelled structures). {_rule(temperature)}"
        )
        return found
    errors = card.get("errors_on_reactions") or card.get("errors") or {}
    found |= {"card": card["name"], "level": card["level"], "errors": errors}
    each = float(errors.get("energy_mae", np.nan))
    factor = np.exp(min(each * atoms / (BOLTZMANN * temperature), 700.0))
    found["said"] = (
        f"the card of {card['name']} says: {1000 * each:.0f} meV per atom mean absolute error of energies "
        f"and {errors.get('frequencies_mae', np.nan):.0f} cm^-1 of frequencies against {card['level']} "
        f"({errors.get('of', 'structures not trained on')}). For {atoms} atoms an error of "
        f"{each * atoms:.2f} eV in the barrier would be a factor of {factor:.2g} in k at {temperature:g} K. "
        f"The error of {card['level']} itself comes on top and is not known here"
    )
    fewest, most = card.get("training", {}).get("atoms") or (1, np.inf)
    found["outside_training"] = not fewest <= atoms <= most
    if found["outside_training"]:
        found["said"] = (
            f"the model has seen molecules of {fewest} to {most} atoms, and this reaction has {atoms}: its "
            f"errors can be many times those of the card. {found['said']}"
        )
    return found


def _card(model: Path) -> dict[str, Any] | None:
    digest = file_sha256(model)
    for name in pretrained.names():
        card = pretrained.card(name)
        if digest in card["sha256"].values():
            return card
    return None


def _rule(temperature: float) -> str:
    factor = np.exp(0.0433641 / (BOLTZMANN * temperature))
    return f"An error of 1 kcal/mol in the barrier is a factor of {factor:.1f} in k at {temperature:g} K"
