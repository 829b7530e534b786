"""The artifact: a trained potential as one file that torch alone reads; its contract, metadata, checks."""
