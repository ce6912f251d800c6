"""The package below is tested from outside, with itself on the path."""

collect_ignore = ["ledger"]
