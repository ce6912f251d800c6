"""Checks compiled to one scan."""
