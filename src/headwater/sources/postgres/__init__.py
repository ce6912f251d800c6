"""PostgreSQL: by query, by cursor and by its log."""
