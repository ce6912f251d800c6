"""Prepare, reject and schema policy as SQL and decisions; writes nothing."""
