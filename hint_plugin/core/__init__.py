"""What HINT is, in torch alone: Hessian-vector products, probes, losses, the weight schedule, spectra,
metrics.

Nothing here reads a file or knows a training framework.
"""
