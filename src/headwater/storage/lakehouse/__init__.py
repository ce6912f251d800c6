"""The lakehouse: Delta tables."""
