"""Each error of this app has texts."""

from __future__ import annotations

import pytest

from accounts import errors
from tmtp.tests.refusals import check_refusals

pytestmark = pytest.mark.once


def test_each_refusal_fits_the_table():
    check_refusals(errors.TEXTS, "accounts")
