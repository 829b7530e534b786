"""Reactions: paths between molecules, transition states, what they connect, barriers."""

from hint_plugin.science.reactions.irc import Path, follow
from hint_plugin.science.reactions.matching import bonds, match, same_atoms
from hint_plugin.science.reactions.methods import METHODS
from hint_plugin.science.reactions.one_reaction import Reaction, find_reaction
from hint_plugin.science.reactions.paths import interpolate
from hint_plugin.science.reactions.reaction_settings import ReactionSettings

__all__ = [
    "METHODS",
    "Path",
    "Reaction",
    "ReactionSettings",
    "bonds",
    "find_reaction",
    "follow",
    "interpolate",
    "match",
    "same_atoms",
]
