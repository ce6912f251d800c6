"""What several stores have in common: commits, claims, files, staging, rejects."""
