"""Stores, a room each; the only place where a commit is made."""
