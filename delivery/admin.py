"""The admin of delivery."""

from .broadcasts import admin  # noqa: F401
