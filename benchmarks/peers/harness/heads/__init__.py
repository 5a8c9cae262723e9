"""Attention over heads beside its peers: see README.md of the folder above, "Attention over heads"."""
