"""The pipeline over interfaces as a service: listeners, workers, restart."""
