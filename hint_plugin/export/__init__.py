"""The artifact: a trained potential as one file, that torch alone reads, and what runs it."""
