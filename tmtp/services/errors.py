"""How a service says no."""

from __future__ import annotations


class Refused(Exception):
    """What was asked for cannot be done, and nothing has changed. Its text is for a person to read."""
