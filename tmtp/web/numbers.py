"""Whole numbers in addresses and forms, which anybody may have written."""

from __future__ import annotations

NUMBER_MAX = 2**63 - 1  # the largest that the database stores


def whole_number(text: str) -> int | None:
    """Return the number that a text is, from 0 to NUMBER_MAX, in ASCII digits. Return None for any other text."""
    if not (text.isascii() and text.isdigit() and len(text) <= len(str(NUMBER_MAX))):
        return None
    return number if (number := int(text)) <= NUMBER_MAX else None
