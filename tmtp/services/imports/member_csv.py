"""Read a table of members, a CSV file, and take them over line by line: `manage.py tmtpimport --csv FILE`."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator
from pathlib import Path

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils.translation import gettext as _

from ..errors import Refused
from .members import Added, NewMember, account_fields, take_member

ALIAS, GROUPS = "alias", "groups"
SEPARATOR = ";"  # between gids
Row = dict[str, str]
Line = tuple[int, list[str], list[str]]  # its number, the columns, the values


class CsvError(Exception):
    """The file is not a table of members. The text says why, in the reader's language."""


def import_members(path: Path, tell: Callable[[str], object], *, dry_run: bool = False) -> tuple[Added, int]:
    """Take over the members in a file. Return what was added, and how many lines are wrong.

    `tell` is given a line of text for each of them. With `dry_run`, nothing is changed in the end. Raise CsvError.
    """
    rows = list(_rows(path))
    if not dry_run:
        return _take(rows, tell)
    with transaction.atomic():
        result = _take(rows, tell)
        transaction.set_rollback(True)
        return result


def _take(rows: list[Line], tell: Callable[[str], object]) -> tuple[Added, int]:
    total, wrong = Added(), 0
    first: dict[str, int] = {}
    for line, columns, values in rows:
        try:
            added = take_member(_member(_row(columns, values), first, line))
        except (CsvError, ValidationError, Refused) as error:
            wrong += 1
            tell(_("line %(line)d: %(error)s") % {"line": line, "error": _text(error)})
        else:
            total.accounts += added.accounts
            total.names += added.names
            total.members += added.members
    return total, wrong


def _member(row: Row, first: dict[str, int], line: int) -> NewMember:
    """Return a row as a member. Raise CsvError if it is of nobody, or of somebody who is in an earlier line."""
    who = account_fields()[0]
    if not row[who]:
        raise CsvError(_("%s is empty") % who)
    if first.setdefault(row[who], line) != line:
        raise CsvError(_("“%(who)s” is in line %(line)d already") % {"who": row[who], "line": first[row[who]]})
    gids = [gid.strip() for gid in row.get(GROUPS, "").split(SEPARATOR)]
    account = {name: value for name, value in row.items() if name not in (ALIAS, GROUPS)}
    return NewMember(account, row.get(ALIAS, ""), [gid for gid in gids if gid])


def _rows(path: Path) -> Iterator[Line]:
    """Read the lines that are not empty. Raise CsvError."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True)
            columns = [name.strip() for name in next(reader, [])]
            _check_columns(columns)
            for values in reader:
                if values:
                    yield reader.line_num, columns, values
    except csv.Error as error:
        raise CsvError(_("line %(line)d: %(error)s") % {"line": reader.line_num, "error": error}) from None
    except UnicodeDecodeError:
        raise CsvError(_("%s is not in UTF-8") % path) from None
    except OSError as error:
        raise CsvError(f"{path}: {error.strerror or error}") from None


def _check_columns(columns: list[str]) -> None:
    known = [*account_fields(), ALIAS, GROUPS]
    unknown = [name for name in columns if name not in known]
    if unknown or known[0] not in columns or len(set(columns)) < len(columns):
        names = {"columns": ", ".join(known), "who": known[0], "given": ", ".join(columns)}
        raise CsvError(
            _("the first line must name columns: %(who)s, and others of %(columns)s; it is “%(given)s”") % names
        )


def _row(columns: list[str], values: list[str]) -> Row:
    if len(values) != len(columns):
        counts = {"there": len(values), "columns": len(columns)}
        raise CsvError(_("%(there)d values for %(columns)d columns") % counts)
    if any("\0" in value for value in values):
        raise CsvError(_("a value has a null character"))
    return {name: value.strip() for name, value in zip(columns, values, strict=True)}


def _text(error: Exception) -> str:
    if isinstance(error, Refused):
        return error.text_for_people()
    if isinstance(error, ValidationError):
        by_field = getattr(error, "error_dict", None)
        if by_field:
            return "; ".join(f"{name}: {' '.join(ValidationError(each).messages)}" for name, each in by_field.items())
        return " ".join(error.messages)
    return str(error)
