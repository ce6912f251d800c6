"""The consumer kind `postgres`: datasets published as tables of a PostgreSQL database."""
