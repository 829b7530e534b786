"""What a structure is apart from its labels: electrons, cells, neighbours, whether two are the same."""
