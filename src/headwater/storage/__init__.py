"""Stores, one file each; the only place where a commit is made."""
