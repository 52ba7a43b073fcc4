"""How a service says no."""

from __future__ import annotations


class Refused(Exception):
    """What was asked for cannot be done, and nothing has changed. Its text is for a person to read."""


class Unreachable(Refused):
    """A user cannot be written to: they block the sender, or too much waits for them. It does not say which."""

    def __init__(self, name: str) -> None:
        """`name` is what the sender called them."""
        self.name = name
        super().__init__(f"{name} cannot be reached now")
