"""A server of several processes: one with the store, others with links (docs/decisions/0017-processes.md)."""
