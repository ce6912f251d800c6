"""Walks the steps and emits events."""
