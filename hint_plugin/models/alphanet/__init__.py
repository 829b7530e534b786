"""The local-frame model after AlphaNet (Yin et al., npj Comput. Mater. 11, 332 (2025)); see `model`."""

from hint_plugin.models.alphanet.config import SIZES, AlphaNetConfig
from hint_plugin.models.alphanet.model import AlphaNet

__all__ = ["SIZES", "AlphaNet", "AlphaNetConfig"]
