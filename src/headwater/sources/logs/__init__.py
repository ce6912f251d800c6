"""Logs: text that grows, rotated and packed."""
