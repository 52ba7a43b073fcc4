"""Whatever the head of a post is, it is read in a moment, and never an error for who opens the mailbox."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from tmtp.services.messages.post_format import HEAD_MAX, READERS_MAX, Head, parse_head

pytestmark = pytest.mark.once


def parsed(head: bytes, size: int | None = None) -> Head:
    return parse_head(head, len(head) if size is None else size, len(head))


@pytest.mark.parametrize(
    "head",
    [
        b"[" * 100_000,
        b'{"cc":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"a":' * 20_000 + b"1" + b"}" * 20_000,
        b'{"attach":[{"name":"u:x","size":' + b"9" * 10_000 + b"}]}",
        b"\x00\xff",
        b'{"subject":"' + b"a" * HEAD_MAX + b'"}',
        b"null",
        b"",
    ],
)
def test_a_head_that_makes_no_sense_is_left_out(head: bytes) -> None:
    found = parsed(head, len(head) + 4)
    assert (found.subject, found.readers, found.attachments) == ("", [], [])
    assert (found.text_at, found.text_size) == (len(head), 4)


@pytest.mark.parametrize(
    ("head", "subject"),
    [
        (b'{"subject":"half \\ud83d","attach":[{"name":"u:a.txt","size":4}]}', "half \ufffd"),
        (b'{"subject":"caf\xe9","attach":[{"name":"u:a.txt","size":4}]}', "caf\ufffd"),
        (b'\xef\xbb\xbf{"subject":"mark","attach":[{"name":"u:a.txt","size":4}]}', "mark"),
    ],
)
def test_a_head_of_a_careless_program_is_read(head: bytes, subject: str) -> None:
    """A text cut in the middle of a pair, Latin-1, a byte order mark: files stay files."""
    found = parsed(head, len(head) + 4)
    assert (found.subject, found.text_size, [file.name for file in found.attachments]) == (subject, 0, ["a.txt"])


@pytest.mark.parametrize(
    "claim", ["\u200d", "\u200c", "\u202e", "\u0301", "\u0301\u200b", "👨\u200d", "🏻\u200d", "ب\u200c", "\ufe0f"]
)
def test_a_head_is_read_in_a_moment(claim: str) -> None:
    text = claim * 20_000
    data: dict[str, Any] = {"alias": text, "subject": text, "cc": [{"who": claim * 4, "whouid": "x"}] * 3000}
    head = json.dumps(data, ensure_ascii=False).encode()[: HEAD_MAX * 2]
    begun = time.thread_time()
    assert len(parsed(head).readers) <= READERS_MAX
    parsed(json.dumps(data | {"cc": []}, ensure_ascii=False).encode())
    assert time.thread_time() - begun < 2
