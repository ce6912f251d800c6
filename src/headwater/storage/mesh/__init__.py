"""The data mesh: a Delta table per port of a data product."""
