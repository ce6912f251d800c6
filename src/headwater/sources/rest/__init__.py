"""HTTP APIs of JSON."""
