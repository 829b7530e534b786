"""Sets of frames: read, converted, merged, split, counted, checked."""
