"""Working with a project, whether another process runs it or not: queries, unit tests, looking for damage."""
