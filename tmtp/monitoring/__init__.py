"""For people and programs that watch the service: its state, its health, metrics for Prometheus."""
