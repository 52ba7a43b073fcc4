"""Each target of `make fuzz`, with its seeds, small changes of them, and any octets."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from .fuzz.targets import TARGETS, environment, seeds, stream
from .raw_client import frame

pytestmark = pytest.mark.once


@pytest.fixture(autouse=True, scope="module")
def alone() -> Iterator[None]:
    with environment():
        yield


CHANGES = 6  # of each seed
PIECES = [b"{", b"}", b"[", b'"', b"\\", b"\0", b"\xff", b"<", b">", b"&#0;", b"null", b"-1", b"1e999", b"\r\n", b"*"]


def changed(seed: bytes, chance: random.Random) -> bytes:
    """Return a seed in which a few places are left out, doubled, or written over."""
    data = seed
    for _ in range(chance.randint(1, 4)):
        at = chance.randint(0, len(data))
        end = at + chance.choice((0, 1, 1, 2, 8))
        data = data[:at] + chance.choice((b"", data[at:end] * 2, chance.choice(PIECES))) + data[end:]
    return data


@pytest.mark.parametrize("name", TARGETS)
def test_seeds_and_what_resembles_them(name: str) -> None:
    chance = random.Random(1)
    for seed in seeds(name):
        for data in (seed, *[changed(seed, chance) for _ in range(CHANGES)]):
            TARGETS[name](data)


@pytest.mark.parametrize("name", TARGETS)
@settings(max_examples=20, deadline=None)
@given(st.binary(max_size=200))
def test_any_octets(name: str, data: bytes) -> None:
    TARGETS[name](data)


def test_a_large_body_however_it_is_cut() -> None:
    start = frame(op=0, id="1") + frame(op=2, uid="u", node="1" * 40)
    post = frame(op=8, id="1", for_=[], notelen=70_000, datalen=150_000) + bytes(150_000)
    stream(bytes([2, 0x10, 0, 0xFF, 0]) + start + post + frame(op=12))
    stream(bytes([2, 0x10, 0, 0xFF, 0]) + start + post[:-9])
