"""Journal and lease."""
