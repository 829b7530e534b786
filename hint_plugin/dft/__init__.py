"""Inputs and folders of DFT programs: Quantum ESPRESSO, pseudopotentials, primitive cells."""
