"""From a trained checkpoint to an artifact that was compared with it."""
