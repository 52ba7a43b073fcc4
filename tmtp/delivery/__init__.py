"""Policies around getting a message to a person: what is retried, what expires, who is told otherwise."""
