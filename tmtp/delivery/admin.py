"""The admin of delivery."""

from . import answers_admin, notices_admin  # noqa: F401
from .broadcasts import admin  # noqa: F401
