"""Artefacts: the files that consumers make, a folder per version."""
