"""Processing: batch engines."""
