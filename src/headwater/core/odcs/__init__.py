"""The Open Data Contract Standard: its files become contracts of ports, and contracts of ports its files."""
