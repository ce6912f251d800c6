"""Batch engines and materializations."""
