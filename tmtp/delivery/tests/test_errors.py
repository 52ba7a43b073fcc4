"""Each error of this app has texts."""

from __future__ import annotations

import pytest

from tmtp.delivery import errors
from tmtp.tests.refusals import check_page, check_refusals

pytestmark = pytest.mark.once


def test_each_refusal_fits_the_table():
    check_refusals(errors.TEXTS, "tmtp/delivery")


def test_each_code_is_documented():
    check_page(errors.TEXTS, "Codes of `tmtp.delivery`")
