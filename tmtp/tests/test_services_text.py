"""Invisible characters are removed from senders' texts, except where a script or an emoji needs them."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tmtp.services.people.names import is_name
from tmtp.services.text import visible

pytestmark = pytest.mark.once

BIDI = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
INVISIBLE = "\u00ad\u034f\u115f\u1160\u180e\u200b\u2060\u2062\u2800\u3164\ufeff\uffa0\U000e0001\U000e0041\U000e01f0"
NEEDED = [
    "می\u200cخواهم نامه",  # Persian: a non-joiner between letters that would join
    "ക്\u200d മലയാളം",  # Malayalam: a joiner after a virama makes a chillu
    "ශ්\u200dරී ලංකා",  # Sinhala
    "👩\u200d👩\u200d👧 family",
    "👩🏽\u200d💻 at work",
    "🏳\ufe0f\u200d🌈 flag",
    "❤\ufe0f letters",
    "1\ufe0f\u20e3 first",
    "🏴\U000e0067\U000e0062\U000e0073\U000e0063\U000e0074\U000e007f Scotland",
    "葛\U000e0100飾区の人々",
]


@pytest.mark.parametrize(
    ("claimed", "shown"),
    [
        ("inv\u202egpj.exe", "invgpj.exe"),
        ("mnm\u200b website", "mnm website"),
        ("two\nlines\tand\u2028more", "two lines and more"),
        ("a\u200db\u200cc", "abc"),  # these scripts need no joiners
        ("a\ufe0f", "a"),
        ("half a \ud83d pair", "half a \ufffd pair"),
        ("\u0301", ""),
        ("\U0001d159", ""),  # a note without a head
        ("a" + "\u0301" * 30 + "b", "a" + "\u0301" * 8 + "b"),  # more would cover other lines
        ("a" + "\u0301\u200b" * 30, "a" + "\u0301" * 8),
        ("क" + "्\u200d" * 30, "क" + "्\u200d" * 8),
        (" \u00a0\u3000 ", ""),
        ("…", "…"),
    ],
)
def test_what_hides_is_taken_out(claimed: str, shown: str) -> None:
    assert visible(claimed) == shown


@pytest.mark.parametrize("text", NEEDED)
def test_what_is_needed_stays(text: str) -> None:
    assert visible(text) == text
    assert is_name(text)


def test_names_have_no_more_marks_than_are_shown() -> None:
    assert is_name("z" + "\u0301" * 8 + "algo one")
    assert not is_name("z" + "\u0301" * 9 + "algo one")


@pytest.mark.parametrize("character", BIDI + INVISIBLE)
def test_each_character_that_hides(character: str) -> None:
    assert visible(f"photo{character}gpj.exe") == "photogpj.exe" or character == "\u2800"
    assert character not in visible(f"photo{character}gpj.exe")
    assert visible(character * 12) == ""
    assert not is_name(f"ann of{character} rome")
    assert not is_name(character * 12)


def test_marks_do_not_cover_other_lines() -> None:
    assert len(visible("e" + "\u0301" * 100)) < 12


@given(st.text(st.one_of(st.characters(), st.sampled_from(BIDI + INVISIBLE + "\u200c\u200d\ufe0f👩क्م"))))
def test_whatever_is_claimed(claimed: str) -> None:
    shown = visible(claimed)
    assert not set(BIDI) & set(shown)
    assert shown == "" or any(unicodedata.category(character)[0] in "LNPS" for character in shown)
    assert shown == " ".join(shown.split())
    assert "\n" not in shown
    shown.encode()
