"""Public conformance suites for connectors."""
