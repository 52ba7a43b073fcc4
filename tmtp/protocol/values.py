"""The value formats of tmtp.md section 2: base32, message ids, times, names."""

from __future__ import annotations

import base64
import re
import secrets
from datetime import UTC, datetime

_TMTP = b"%+123456789BCDFGHJKLMNPQRSTVWXYZ"
_RFC4648 = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
_TO_TMTP = bytes.maketrans(_RFC4648, _TMTP)
_FROM_TMTP = bytes.maketrans(_TMTP, _RFC4648)

_MSGID = re.compile("[0-7][0-9a-f]{15}")  # a number that databases store: 63 bits

NUMBER_MAX = 2**63 - 1  # of messages, and of ids in databases
UID_OCTETS = 20
UID_CHARACTERS = 32
NODEID_OCTETS = 25
NAME_MIN_OCTETS = 8
NAME_MAX_CHARACTERS = 255
MAX_NODES = 100
PING_MAX_UNITS = 140  # of UTF-16, in a ping or an invitation (ops 5 and 9)


def encode_base32(octets: bytes) -> str:
    """Encode octets, a multiple of five, in TMTP's own base32 alphabet, which has no vowels."""
    return base64.b32encode(octets).translate(_TO_TMTP).decode("ascii")


def decode_base32(text: str) -> bytes:
    """Decode base32 text. Raise ValueError unless it is whole groups of eight characters of TMTP's alphabet."""
    coded = text.encode("utf-8", "surrogatepass")
    if not coded or len(coded) % 8 or coded.translate(None, _TMTP):
        raise ValueError("not base32 in TMTP's alphabet")
    return base64.b32decode(coded.translate(_FROM_TMTP))


def make_uid() -> str:
    """Return a new id for a user: 20 random octets, 32 characters."""
    return encode_base32(secrets.token_bytes(UID_OCTETS))


def make_nodeid() -> str:
    """Return a new secret for a node: 25 random octets, 40 characters."""
    return encode_base32(secrets.token_bytes(NODEID_OCTETS))


def format_msgid(number: int) -> str:
    """Return the msgid of a message's number: 16 lowercase hex digits."""
    return f"{number:016x}"


def is_msgid(text: str) -> bool:
    return _MSGID.fullmatch(text) is not None


def parse_msgid(msgid: str) -> int:
    """Return the number of the message with this msgid. Raise ValueError for other text."""
    if not is_msgid(msgid):
        raise ValueError("not 16 hex digits")
    return int(msgid, 16)


def format_posted(number: int) -> str:
    """Return the time of a message, whose number is nanoseconds since the epoch: RFC 3339, UTC, milliseconds."""
    seconds, rest = divmod(number, 1_000_000_000)
    return f"{_second(seconds)}.{rest // 1_000_000:03d}Z"


_last_second: tuple[int, str] = (0, "1970-01-01T00:00:00")


def _second(seconds: int) -> str:
    """Return the date and time of a second. The last result is cached, since many messages share a second."""
    global _last_second
    last = _last_second
    if last[0] != seconds:
        last = _last_second = (seconds, datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S"))
    return last[1]


def looks_like_uid(name: str) -> bool:
    """Return whether a name could be taken for a uid, in whatever case."""
    return len(name) == UID_CHARACTERS and not name.upper().encode().translate(None, _TMTP)


def utf16_units(text: str) -> int:
    """Return how many UTF-16 units a text has: characters above U+FFFF count twice."""
    return len(text.encode("utf-16-le")) // 2


def whole_number(text: str) -> int | None:
    """Return the number that a text from outside is, from 0 to NUMBER_MAX, in ASCII digits, or None for others."""
    if not (text.isascii() and text.isdigit() and len(text) <= len(str(NUMBER_MAX))):
        return None
    return number if (number := int(text)) <= NUMBER_MAX else None
