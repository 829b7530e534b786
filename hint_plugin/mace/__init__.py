"""Everything that touches MACE's internals. Importing this package loads neither MACE nor torch."""
