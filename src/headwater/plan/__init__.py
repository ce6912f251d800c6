"""The only place where steps are planned."""
