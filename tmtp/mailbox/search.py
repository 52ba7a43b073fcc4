"""Full-text search: a tsvector with a GIN index on PostgreSQL, FTS5 on SQLite.

The text is not kept, but the words in it are: on PostgreSQL in the entry's row, on SQLite in a table that FTS5 has for
its content, since it has to be told which words to remove. Both get the same words, split here: letters and digits
without case or accents, each Chinese or Japanese character by itself. Where SQLite was built without FTS5, only
subjects and names are searched.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from functools import reduce
from typing import NamedTuple

from django.db import connection
from django.db.models import Q, QuerySet

from .models import Entry

TEXT_MAX = 64 * 1024  # characters of a text whose words are kept
WORD_MAX = 60
TERMS_MAX = 12
_WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]|[^\W_\u3040-\u30ff\u3400-\u9fff]+")
_WEIGHTS = {"subject": "A", "people": "B", "text": "C"}
FIELDS = tuple(_WEIGHTS)
TABLE = "tmtp_mailbox_words"
COLUMNS = "box, subject, people, text"


class Words(NamedTuple):
    """The words of a message, each once. `box` is a word that all entries of its mailbox have."""

    box: str
    subject: str
    people: str
    text: str

    @classmethod
    def of(cls, node: int, *texts: str) -> Words:
        """Return the words in a subject, names and a text."""
        return cls(_box(node), *(" ".join(sorted(split(text))) for text in texts))


def split(text: str) -> set[str]:
    """Return the words of a text."""
    plain = text[:TEXT_MAX].casefold()
    if not plain.isascii():
        composed = unicodedata.normalize("NFKD", plain)
        plain = "".join(letter for letter in composed if not unicodedata.combining(letter))
    return {word[:WORD_MAX] for word in _WORD.findall(plain)}


def add(words: Sequence[tuple[int, Words]]) -> None:
    """Add entries to the full-text index, by their ids."""
    if not words or not is_there():
        return
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute(
                "UPDATE tmtp_mailbox_entry SET words = found.words::tsvector"
                " FROM unnest(%s::bigint[], %s::text[]) AS found (entry, words) WHERE id = found.entry",
                [[entry for entry, _ in words], [_vector(its) for _, its in words]],
            )
            return
        rows = [(entry, *its) for entry, its in words]
        for table, key in ((f"{TABLE}_content", "id"), (TABLE, "rowid")):
            cursor.executemany(f"INSERT INTO {table} ({key}, {COLUMNS}) VALUES (%s, %s, %s, %s, %s)", rows)  # noqa: S608


def _vector(words: Words) -> str:
    """Return a tsvector in PostgreSQL's syntax: each word with a weight for each field. No word contains a quote."""
    weights: dict[str, str] = {}
    for name, weight in _WEIGHTS.items():
        for word in getattr(words, name).split():
            weights[word] = weights.get(word, "") + weight
    found = " ".join(
        f"'{word}':" + ",".join(f"{place}{weight}" for place, weight in enumerate(its, 1))
        for word, its in weights.items()
    )
    return f"'{words.box}':1 {found}"


def forget(entries: Sequence[int]) -> None:
    """Remove entries, by their ids, from the index of SQLite. Call this before deleting them."""
    if connection.vendor == "postgresql" or not is_there():
        return
    rows = [(entry,) for entry in entries]
    with connection.cursor() as cursor:
        cursor.executemany(
            f"INSERT INTO {TABLE} ({TABLE}, rowid, {COLUMNS})"  # noqa: S608
            f" SELECT 'delete', id, {COLUMNS} FROM {TABLE}_content WHERE id = %s",
            rows,
        )
        cursor.executemany(f"DELETE FROM {TABLE}_content WHERE id = %s", rows)  # noqa: S608


def entries_with(node: int, text: str, fields: Sequence[str] = FIELDS) -> QuerySet[Entry]:
    """Return the entries of a mailbox that contain all words of `text`, or words that begin with them, newest first.

    `fields` are those to search. The result is empty if `text` contains no word.
    """
    terms = sorted(split(text))[:TERMS_MAX]
    mine = Entry.objects.filter(node=node).order_by("-number")
    if not terms:
        return mine.none()
    if not is_there():
        return reduce(_with_term, terms, mine)
    if connection.vendor == "postgresql":
        weights = "".join(_WEIGHTS[name] for name in fields)
        query = " & ".join([f"'{_box(node)}'", *(f"'{term}':*{weights}" for term in terms)])
        return mine.extra(where=["tmtp_mailbox_entry.words @@ %s::tsquery"], params=[query])
    wanted = " AND ".join(f'"{term}" *' for term in terms)
    query = f"box : {_box(node)} AND {{{' '.join(fields)}}} : ({wanted})"
    inner = f"tmtp_mailbox_entry.id IN (SELECT rowid FROM {TABLE} WHERE {TABLE} MATCH %s)"  # noqa: S608
    return mine.extra(where=[inner], params=[query])  # noqa: S610


def _with_term(entries: QuerySet[Entry], term: str) -> QuerySet[Entry]:
    return entries.filter(Q(subject__icontains=term) | Q(alias__icontains=term))


def _box(node: int) -> str:
    """Return the word that all entries of a mailbox have, so that a search covers no other mailbox."""
    return f"box{node}"


def is_there() -> bool:
    """Return whether this database has a full-text index."""
    return connection.vendor == "postgresql" or TABLE in connection.introspection.table_names()
