"""The words of messages, for searching: PostgreSQL's tsvector with a GIN index, SQLite's FTS5 without content.

Neither keeps the text. Both get the same words, split here: letters and digits without case or accents, each Chinese
or Japanese character by itself. Where SQLite was built without FTS5, subjects and names alone are searched.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

from django.db import connection
from django.db.models import Q, QuerySet

from .models import Entry

TEXT_MAX = 64 * 1024  # characters of a text whose words are kept
WORD_MAX = 60
TERMS_MAX = 12
_WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]|[^\W_\u3040-\u30ff\u3400-\u9fff]+")
_WEIGHTS = {"subject": "A", "people": "B", "text": "C"}
FIELDS = tuple(_WEIGHTS)
TABLE = "accounts_words"


@dataclass(frozen=True, slots=True)
class Words:
    """What of an entry can be found."""

    entry: int
    node: int
    subject: str
    people: str
    text: str

    def row(self) -> tuple[Any, ...]:
        """(entry, box, subject, people, text): each the words in it, once."""
        return (self.entry, _box(self.node), *(" ".join(sorted(split(getattr(self, name)))) for name in FIELDS))


def split(text: str) -> set[str]:
    """The words of a text."""
    plain = text[:TEXT_MAX].casefold()
    if not plain.isascii():
        composed = unicodedata.normalize("NFKD", plain)
        plain = "".join(letter for letter in composed if not unicodedata.combining(letter))
    return {word[:WORD_MAX] for word in _WORD.findall(plain)}


def add(words: Sequence[Words]) -> None:
    """Make entries findable."""
    rows = [one.row() for one in words]
    if not rows or not is_there():
        return
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute(
                "UPDATE accounts_entry SET words = found.words::tsvector"
                " FROM unnest(%s::bigint[], %s::text[]) AS found (entry, words) WHERE id = found.entry",
                [[row[0] for row in rows], [_vector(row) for row in rows]],
            )
        else:
            cursor.executemany(
                f"INSERT INTO {TABLE} (rowid, box, subject, people, text) VALUES (%s, %s, %s, %s, %s)",  # noqa: S608
                rows,
            )


def _vector(row: tuple[Any, ...]) -> str:
    """A tsvector as PostgreSQL reads it: words with the weights of where they are. A word has no quote in it."""
    _, box, *fields = row
    weights: dict[str, str] = {}
    for weight, text in zip(_WEIGHTS.values(), fields, strict=True):
        for word in text.split():
            weights[word] = weights.get(word, "") + weight
    found = " ".join(
        f"'{word}':" + ",".join(f"{place}{weight}" for place, weight in enumerate(its, 1))
        for word, its in weights.items()
    )
    return f"'{box}':1 {found}"


def forget(known: Sequence[Words], gone: Iterable[int] = ()) -> None:
    """Let entries not be found any more, before they are deleted: `known` by their words, others by their ids.

    PostgreSQL keeps the words in the entry's own row. SQLite has to be told which words those were; of messages that
    are gone, its index itself says so, which takes a pass over all of it.
    """
    gone = list(gone)
    if connection.vendor == "postgresql" or not is_there():
        return
    rows = [one.row() for one in known]
    with connection.cursor() as cursor:
        if gone:
            rows += _rows_of(cursor, gone)
        cursor.executemany(
            f"INSERT INTO {TABLE} ({TABLE}, rowid, box, subject, people, text)"  # noqa: S608
            " VALUES ('delete', %s, %s, %s, %s, %s)",
            rows,
        )


def _rows_of(cursor: Any, entries: Iterable[int]) -> list[tuple[Any, ...]]:
    """What the index itself knows of entries."""
    cursor.execute(f"CREATE VIRTUAL TABLE IF NOT EXISTS temp.{TABLE}_vocab USING fts5vocab(main, {TABLE}, instance)")
    found: dict[int, dict[str, list[str]]] = {}
    wanted = ", ".join(str(int(entry)) for entry in entries)
    cursor.execute(f"SELECT doc, col, term FROM temp.{TABLE}_vocab WHERE doc IN ({wanted})")  # noqa: S608
    for entry, column, word in cursor.fetchall():
        found.setdefault(entry, {}).setdefault(column, []).append(word)
    return [
        (entry, *(" ".join(columns.get(name, ())) for name in ("box", *FIELDS))) for entry, columns in found.items()
    ]


def search(node: int, text: str, fields: Sequence[str] = FIELDS) -> QuerySet[Entry]:
    """The entries of a mailbox that have all words of `text`, or words that begin so, in any of the fields; the
    newest first. None when there is no word in `text`."""
    terms = sorted(split(text))[:TERMS_MAX]
    mine = Entry.objects.filter(node=node).order_by("-number")
    if not terms:
        return mine.none()
    if not is_there():
        return reduce(_with_term, terms, mine)
    if connection.vendor == "postgresql":
        weights = "".join(_WEIGHTS[name] for name in fields)
        query = " & ".join([f"'{_box(node)}'", *(f"'{term}':*{weights}" for term in terms)])
        return mine.extra(where=["accounts_entry.words @@ %s::tsquery"], params=[query])
    wanted = " AND ".join(f'"{term}" *' for term in terms)
    query = f"box : {_box(node)} AND {{{' '.join(fields)}}} : ({wanted})"
    inner = f"accounts_entry.id IN (SELECT rowid FROM {TABLE} WHERE {TABLE} MATCH %s)"  # noqa: S608
    return mine.extra(where=[inner], params=[query])  # noqa: S610


def _with_term(entries: QuerySet[Entry], term: str) -> QuerySet[Entry]:
    return entries.filter(Q(subject__icontains=term) | Q(alias__icontains=term))


def _box(node: int) -> str:
    """A word that all entries of a mailbox have, so that a search goes no further."""
    return f"box{node}"


def is_there() -> bool:
    """Whether this database has a full-text index."""
    return connection.vendor == "postgresql" or TABLE in connection.introspection.table_names()

