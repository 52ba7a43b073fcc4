"""Checks of an app's errors with a code: each error fits the table, and each code is used."""

from __future__ import annotations

import ast
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path

from tmtp.services.errors import CodedError, Text, placeholders, text_of
from tmtp.services.people import identities, users  # noqa: F401 (kinds of CodedError)
from tmtp.store import store  # noqa: F401

ROOT = Path(__file__).resolve().parents[2]
STRANGE = "100% %(uid)s %s {0} {uid} <b>\\"


def check_refusals(texts: Mapping[str, Text], *folders: str, but: Collection[str] = ()) -> None:
    """Assert that the texts of an app are valid, and that the sources in `folders` use all of them correctly.

    Sources in the folders `but` are left out.
    """
    assert texts
    for code, text in texts.items():
        assert text_of(code) == text
        assert placeholders(text.people) <= text.parameters, code
        refused = CodedError(code, **dict.fromkeys(text.parameters, STRANGE))
        for line in (str(refused), refused.text_for_people()):
            assert line
            assert not placeholders(line.replace(STRANGE, "")), code
    used = {code for folder in folders for code in used_codes(ROOT / folder, but)}
    assert texts.keys() <= used, f"unused: {texts.keys() - used}"


def check_page(texts: Mapping[str, Text], section: str) -> None:
    """Assert that a section of docs/reference/errors.md lists each code with its parameters and texts."""
    page = (ROOT / "docs" / "reference" / "errors.md").read_text()
    (rows,) = re.findall(rf"^## {re.escape(section)}$(.*?)(?=^## |\Z)", page, re.MULTILINE | re.DOTALL)
    listed = re.findall(r"^\| `.*$", rows, re.MULTILINE)
    expected = [_row(code, text) for code, text in texts.items()]
    missing = "\n".join(row for row in expected if row not in listed)
    assert not missing, f"add to docs/reference/errors.md:\n{missing}"
    assert listed == expected


def _row(code: str, text: Text) -> str:
    names = dict.fromkeys(re.findall(r"%\((\w+)\)s", text.wire))
    braced = {name: f"{{{name}}}" for name in names}
    cells = (_code_list([code]), _code_list(names) or "none", text.wire % braced, text.people % braced or "the same")
    return f"| {' | '.join(cells)} |"


def _code_list(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def used_codes(folder: Path, but: Collection[str] = ()) -> Iterator[str]:
    """Yield the codes of the errors in the sources. Assert that each is known and has the right parameters."""
    for path in sorted(folder.rglob("*.py")):
        left_out = any(path.is_relative_to(ROOT / name) for name in but)
        if left_out or {"tests", "migrations"} & set(path.relative_to(ROOT).parts):
            continue
        for call in ast.walk(ast.parse(path.read_text())):
            if not isinstance(call, ast.Call) or _name(call.func) not in _kinds():
                continue
            where = f"{path.relative_to(ROOT)}:{call.lineno}"
            assert len(call.args) == 1 and isinstance(call.args[0], ast.Constant), f"{where}: the code is no literal"
            code = call.args[0].value
            text = text_of(code)
            assert text is not None, f"{where}: {code!r} is in no table"
            assert {keyword.arg for keyword in call.keywords} == text.parameters, f"{where}: parameters of {code!r}"
            yield code


def _name(function: ast.expr) -> str:
    return function.id if isinstance(function, ast.Name) else getattr(function, "attr", "")


def _kinds(kind: type[CodedError] = CodedError) -> set[str]:
    """Return the names of all errors with a code."""
    return {kind.__name__}.union(*(_kinds(one) for one in kind.__subclasses__()))
