"""Greedy evolution in the light of SGD (Kucharavy, Guerraoui, Dolamic 2023): its experiments, and its theory."""
