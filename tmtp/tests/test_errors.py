"""Refused: each code has texts, each error has a code, and parameters are never used as format strings."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
from django.utils import translation

from tmtp.services import errors
from tmtp.services.errors import Refused, Text, Unreachable, add_texts
from tmtp.services.people import names

from . import refusals
from .refusals import STRANGE, check_page, check_refusals

pytestmark = pytest.mark.once


# the table


def test_each_refusal_fits_the_table() -> None:
    check_refusals(errors.TEXTS, "tmtp", but=("tmtp/api", "tmtp/delivery"))  # which have their own tables and tests


def test_each_code_is_documented() -> None:
    check_page(errors.TEXTS, "Codes of `tmtp`")


def test_a_wrong_refusal_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(refusals, "ROOT", tmp_path)
    source = tmp_path / "source.py"
    for wrong in (
        'Refused("alias not found")',
        'Refused("alias_not_found", alias=name)',
        "Refused(code)",
        "errors.Refused(*why)",
        'Unreachable("unreachable")',
    ):
        source.write_text(f"def refuse():\n    raise {wrong}\n")
        with pytest.raises(AssertionError, match=r"source\.py:2"):
            list(refusals.used_codes(tmp_path))
    source.write_text('raise Refused("alias_not_found", name=name)')
    assert list(refusals.used_codes(tmp_path)) == ["alias_not_found"]


def test_what_does_not_fit_the_table_fails() -> None:
    with pytest.raises(TypeError, match="no text for the code 'alias not found'"):
        Refused("alias not found")
    for parameters in ({}, {"alias": "x"}, {"name": "x", "alias": "x"}):
        with pytest.raises(TypeError, match=r"\['name'\]"):
            Refused("alias_not_found", **parameters)


def test_an_app_can_add_codes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(errors, "_known", dict(errors.TEXTS))
    ours = {"out_of_stock": Text("%(item)s is out of stock")}
    add_texts(ours)
    add_texts(ours)
    assert str(Refused("out_of_stock", item="tea")) == "tea is out of stock"
    with pytest.raises(ValueError, match="out_of_stock"):
        add_texts({"out_of_stock": Text("nothing left")})
    with pytest.raises(ValueError, match="unreachable"):
        add_texts({"unreachable": Text("%(name)s is away")})


# an error


def test_a_refusal_says_why() -> None:
    refused = Refused("already_member", name="ann of rome", gid="friends of rome")
    assert refused.code == "already_member"
    assert refused.parameters == {"name": "ann of rome", "gid": "friends of rome"}
    assert str(refused) == "ann of rome is a member of friends of rome already"
    assert refused.text_for_people() == "“ann of rome” is already a member."
    assert Refused("no_recipient").text_for_people() == "there is no recipient"


def test_what_strangers_write_is_text_only() -> None:
    refused = Refused("alias_not_found", name=STRANGE)
    assert str(refused) == f"alias {STRANGE} not found"
    assert refused.text_for_people() == f"No member is named “{STRANGE}”."


def test_only_people_get_a_translation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(errors, "gettext", lambda text: {"there is no recipient": "niemand"}.get(text, text))
    with translation.override("de"):
        refused = Refused("no_recipient")
        assert (str(refused), refused.text_for_people()) == ("there is no recipient", "niemand")


def test_a_refusal_goes_through_a_task_queue() -> None:
    refused = pickle.loads(pickle.dumps(Unreachable("unreachable", name="ann of rome")))
    assert type(refused) is Unreachable
    assert (refused.code, refused.parameters) == ("unreachable", {"name": "ann of rome"})
    assert str(refused) == "ann of rome cannot be reached now"


# names


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("seven 7", "newalias must be 8+ characters"),
        ("x" * 8, None),
        ("漢字漢", None),  # nine octets
        ("漢" * 30, None),
        ("é" * 4, None),
        ("x" * 255, None),
        ("x" * 256, "newalias must be 255 characters or fewer"),
        ("bell\a ringing", "newalias has characters that cannot be printed"),
        ("zero\u200bwidth", "newalias has characters that cannot be printed"),
        ("no\1 names", "newalias has characters that cannot be printed"),
        (" begins with a space", "newalias must not begin or end with a space"),
    ],
)
def test_names(name: str, why: str | None) -> None:
    """The errors are those of the protocol (tmtp.md section 2)."""
    assert why_not(name, "newalias") == why
    assert why_not(name, "gid") == (why and why.replace("newalias", "gid"))
    assert names.is_name(name) == (why is None)


def why_not(name: str, field: str) -> str | None:
    try:
        names.check(name, field)
    except Refused as refused:
        return str(refused)
    return None
