"""The method `paper`: as `reactbench`, with RS-I-RFO for the saddle, which the paper on HINT names."""

from __future__ import annotations

from hint_plugin.science.reactions.methods.reactbench import ReactBench


class Paper(ReactBench):
    """See `Method`."""

    name = "paper"
    saddle_search = "rsirfo"
