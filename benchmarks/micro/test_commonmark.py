"""E-mails that are made to take long: 20,000 octets of one thing. The tests count calls; this measures the time."""

from __future__ import annotations

import pytest

from tmtp.delivery.commonmark import from_html, from_plain
from tmtp.delivery.tests.test_commonmark import MANY, SITE


@pytest.mark.parametrize("piece", MANY)
def test_much_of_anything(benchmark, piece):
    text = piece * (20_000 // len(piece))
    benchmark(lambda: (from_html(text, SITE), from_plain(text)))
