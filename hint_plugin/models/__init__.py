"""Interatomic potentials of HINT's own: plain torch, smooth enough to be differentiated three times.

Nothing here knows a training framework; what makes a model a drop-in for one lives in that framework's
adapter (`hint_plugin.mace.alphanet`). `registry` says which architectures there are.
"""
