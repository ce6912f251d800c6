"""Models that learn: trained on what was known at the time, measured on later rows, saved without pickle."""
