"""Folder of YAML, SQL and Python to Project."""
