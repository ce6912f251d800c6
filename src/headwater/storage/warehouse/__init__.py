"""The warehouse: a DuckDB file."""
