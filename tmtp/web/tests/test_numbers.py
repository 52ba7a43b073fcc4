"""Whole numbers in addresses and forms."""

from __future__ import annotations

import pytest

from tmtp.web.numbers import NUMBER_MAX, whole_number

pytestmark = pytest.mark.once


@pytest.mark.parametrize(("text", "number"), [("0", 0), ("0012", 12), (str(NUMBER_MAX), NUMBER_MAX)])
def test_a_number(text: str, number: int) -> None:
    assert whole_number(text) == number


@pytest.mark.parametrize(
    "text", ["", "-1", "+1", " 1", "1_0", "1.0", "0x1", "²", "٣", str(NUMBER_MAX + 1), "9" * 5000]
)
def test_what_is_none(text: str) -> None:
    assert whole_number(text) is None
