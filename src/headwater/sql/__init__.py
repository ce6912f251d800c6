"""DuckDB's dialect: header, parsing, placeholders, binding."""
