"""Source connectors, a room each."""
