"""Real servers for tests, benchmarks and examples, each on a free port of 127.0.0.1 and stopped by its process id."""
