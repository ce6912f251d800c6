"""What listens to the events of a run."""
