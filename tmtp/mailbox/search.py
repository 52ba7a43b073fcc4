"""Full-text search: a tsvector with a GIN index on PostgreSQL, FTS5 on SQLite (decision 14).

Both get the same words, made by `words`, and both only store and match them: no text search configuration, collation
or tokenizer of theirs has a say. The text is not kept, but its words are, each once: on PostgreSQL in the entry's row,
on SQLite in the table of FTS5. Its runs are kept whole (`models.Run`). Where SQLite was built without FTS5, only
subjects and names are searched.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from typing import NamedTuple

from django.db import connection
from django.db.models import Exists, OuterRef, Q, QuerySet

from .models import Entry, Run
from .words import Terms, terms_of, words_of

_WEIGHTS = {"subject": "A", "people": "B", "text": "C"}
FIELDS = tuple(_WEIGHTS)
TABLE = "tmtp_mailbox_words"
COLUMNS = "box, subject, people, text"


class Words(NamedTuple):
    """The words of a message, each once for each field, and its runs by field. `box`: see `_box`."""

    box: str
    subject: str
    people: str
    text: str
    runs: dict[str, str]

    @classmethod
    def of(cls, node: int, *texts: str) -> Words:
        """Return the words in a subject, names and a text."""
        found = [words_of(text) for text in texts]
        subject, people, words = (" ".join(sorted(its.words)) for its in found)
        runs = {field: " ".join(its.runs) for field, its in zip(FIELDS, found, strict=True) if its.runs}
        return cls(_box(node), subject, people, words, runs)


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
        else:
            rows = [(entry, *its[:-1]) for entry, its in words]
            insert = f"INSERT INTO {TABLE} (rowid, {COLUMNS}) VALUES (%s, %s, %s, %s, %s)"  # noqa: S608
            cursor.executemany(insert, rows)
    runs = [(entry, field, text) for entry, its in words for field, text in its.runs.items()]
    Run.objects.bulk_create(Run(entry_id=entry, field=field, text=text) for entry, field, text in runs)


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
    with connection.cursor() as cursor:
        cursor.executemany(f"DELETE FROM {TABLE} WHERE rowid = %s", [(entry,) for entry in entries])  # noqa: S608


def entries_with(node: int, text: str, fields: Sequence[str] = FIELDS) -> QuerySet[Entry]:
    """Return the entries of a mailbox that contain all that is in `text`, each part in any field, newest first.

    There are none if `text` has no word, run or symbol in it. Deleted messages are left out.
    """
    terms = terms_of(text)
    mine = Entry.objects.filter(node=node, deleted=None).order_by("-number")
    if not any(terms):
        return mine.none()
    if not is_there():
        return reduce(_with_term, [*terms.beginnings, *terms.words], mine)
    for run in terms.runs:
        mine = mine.filter(Exists(Run.objects.filter(entry=OuterRef("pk"), field__in=fields, text__contains=run)))
    if connection.vendor == "postgresql":
        return mine.extra(where=["tmtp_mailbox_entry.words @@ %s::tsquery"], params=[_tsquery(node, terms, fields)])
    inner = f"tmtp_mailbox_entry.id IN (SELECT rowid FROM {TABLE} WHERE {TABLE} MATCH %s)"  # noqa: S608
    return mine.extra(where=[inner], params=[_fts5_query(node, terms, fields)])  # noqa: S610


def _tsquery(node: int, terms: Terms, fields: Sequence[str]) -> str:
    weights = "".join(_WEIGHTS[name] for name in fields)
    beginnings = [f"'{word}':*{weights}" for word in terms.beginnings]
    return " & ".join([f"'{_box(node)}'", *beginnings, *(f"'{word}':{weights}" for word in terms.words)])


def _fts5_query(node: int, terms: Terms, fields: Sequence[str]) -> str:
    wanted = " AND ".join([*(f'"{word}" *' for word in terms.beginnings), *(f'"{word}"' for word in terms.words)])
    return f"box : {_box(node)} AND {{{' '.join(fields)}}} : ({wanted})"


def _with_term(entries: QuerySet[Entry], term: str) -> QuerySet[Entry]:
    return entries.filter(Q(subject__icontains=term) | Q(alias__icontains=term))


def _box(node: int) -> str:
    """Return the word that all entries of a mailbox have, so that a search covers no other mailbox."""
    return f"box{node}"


def is_there() -> bool:
    """Return whether this database has a full-text index."""
    if connection.vendor == "postgresql":
        return True
    with connection.cursor() as cursor:
        return bool(cursor.execute("SELECT 1 FROM sqlite_master WHERE name = %s", [TABLE]).fetchall())
