"""The lake: files as they came, load by load."""
