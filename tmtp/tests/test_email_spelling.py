"""One spelling for each e-mail address."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tmtp.email_spelling import normalise, spellings, to_ascii

pytestmark = pytest.mark.once


@pytest.mark.parametrize(
    ("address", "normal"),
    [
        ("Ann@Example.org", "ann@example.org"),
        (" ann@example.org\n", "ann@example.org"),
        ("ann@exämple.org", "ann@xn--exmple-cua.org"),
        ("ann@EXÄMPLE.org", "ann@xn--exmple-cua.org"),
        ("ann@exa\u0308mple.org", "ann@xn--exmple-cua.org"),
        ("ann@xn--exmple-cua.org", "ann@xn--exmple-cua.org"),
        ("ann@XN--EXMPLE-CUA.org", "ann@xn--exmple-cua.org"),
        ("ann@例え。テスト", "ann@xn--r8jz45g.xn--zckzah"),
        ("ann@straße.de", "ann@xn--strae-oqa.de"),
        ("ann@strasse.de", "ann@strasse.de"),
        ("ann@ｅｘａｍｐｌｅ.org", "ann@example.org"),
        ("ann@☕.example", "ann@xn--53h.example"),
        ("ann@[192.0.2.1]", "ann@[192.0.2.1]"),
        ("ann", "ann"),
        ("", ""),
    ],
)
def test_one_spelling(address: str, normal: str) -> None:
    assert normalise(address) == normal


@pytest.mark.parametrize("address", ["ann@exämple.org", "Ann@XN--EXMPLE-CUA.org"])
def test_both_spellings(address: str) -> None:
    assert spellings(address) == {"ann@exämple.org", "ann@xn--exmple-cua.org"}


@pytest.mark.parametrize(
    ("recipient", "ascii_form"),
    [
        ("Ann <Ann@Example.org>", "Ann <Ann@Example.org>"),
        ("Änn <ann@exämple.org>", "Änn <ann@xn--exmple-cua.org>"),
        ("ann@straße.de", "ann@xn--strae-oqa.de"),
        ("no address", "no address"),
    ],
)
def test_recipients(recipient: str, ascii_form: str) -> None:
    assert to_ascii(recipient) == ascii_form


@given(st.text() | st.builds("{}@{}.org".format, st.text(), st.text()))
def test_anything_has_a_spelling(text: str) -> None:
    assert normalise(normalise(text)) == normalise(text)
    assert normalise(text) in spellings(text)
    to_ascii(text)
