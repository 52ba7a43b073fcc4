"""Values that go to PostgreSQL as the text of an array arrive as they are."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection
from hypothesis import given
from hypothesis import strategies as st

from tmtp.services.storage.dialect import Row, array, fetch, run_many

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.skipif(connection.vendor != "postgresql", reason="arrays are PostgreSQL's"),
]
NUMBERS = st.integers(-(2**63), 2**63 - 1)
TEXTS = st.text(st.sampled_from('a",\\{} Nul\tß'), max_size=6) | st.sampled_from(["NULL", "None"])
ECHO = {"postgresql": "SELECT * FROM unnest(%s::bigint[], %s::bool[], %s::text[], %b::bytea[])"}


@given(st.lists(NUMBERS))
def test_numbers(values: list[int]) -> None:
    assert fetch({"postgresql": "SELECT %s::bigint[]"}, (array(values),)) == [(values,)]


@given(st.lists(TEXTS))
def test_texts(values: list[str]) -> None:
    assert fetch({"postgresql": "SELECT %s::text[]"}, (array(values),)) == [(values,)]


@given(st.lists(st.tuples(st.none() | NUMBERS, st.booleans(), st.none() | TEXTS, st.none() | st.binary()), min_size=1))
def test_columns(rows: list[Row]) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "CREATE TEMP TABLE IF NOT EXISTS echo"
            " (id serial, number bigint, flag bool, words text, octets bytea); TRUNCATE echo"
        )
    run_many({"postgresql": f"INSERT INTO echo (number, flag, words, octets) {ECHO['postgresql']}"}, rows)
    stored: list[Any] = fetch({"postgresql": "SELECT number, flag, words, octets FROM echo ORDER BY id"}, ())
    assert stored == rows
