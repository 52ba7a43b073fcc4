"""What is fuzzed: each target takes any octets, and raises AssertionError, or whatever else, if a promise is broken.

The promises: bad input ends at most its own link, with a reason; memory is bounded; no error escapes; whatever is
rendered is safe.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import email
import email.policy
import json
import socket
import tempfile
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from itertools import count, pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, utils
from django.conf import settings
from django.core.mail import EmailMultiAlternatives
from django.test import override_settings

from tmtp import markup
from tmtp.conf import conf
from tmtp.engine.counters import Counters
from tmtp.engine.limits import Limits
from tmtp.links.handlers import HANDLERS
from tmtp.links.session import Session
from tmtp.openid.providers import OpenID, Provider
from tmtp.openid.tokens import LEEWAY, OpenIDError, Verifier
from tmtp.protocol import errors, messages
from tmtp.protocol.errors import Quit
from tmtp.protocol.requests import Op, Request
from tmtp.server import proxy
from tmtp.services.errors import Refused
from tmtp.services.people.users import LoggedIn
from tmtp.services.storage import spool

BODY_MAX = 200_000
HEADER_MAX = 4 + 65_535
REASONS = {value for name, value in vars(errors).items() if name.isupper()}
NOW = 1_700_000_000
SITE = "https://site.example"


@contextlib.contextmanager
def environment() -> Iterator[None]:
    """Let targets run without limits, and with a spool of their own."""
    with (
        tempfile.TemporaryDirectory(prefix="mnm-fuzz-") as folder,
        override_settings(TMTP={**settings.TMTP, "LIMITS": None, "SPOOL_DIR": folder}),
    ):
        yield


# -- the octets of a link


class Store:
    """A store that accepts every other post and request, without a database."""

    def __init__(self) -> None:
        self._numbers = count(1 << 60)

    def post(self, link: Any, item: Any, done: Callable[[Any], None]) -> None:
        spool.discard(item.spool_names)
        done(self._result())

    async def run(self, link: Any, service: Any, *, savepoint: bool = True) -> Any:
        result = self._result()
        if isinstance(result, Refused):
            raise result
        return result

    def _result(self) -> int | Refused:
        number = next(self._numbers)
        return number if number % 2 else Refused("user_not_found", uid="nobody")


async def enter(session: Session, request: Request) -> None:
    session.sender = LoggedIn("u" * 32, 1, 1)
    session.connection.logged_in()


LINK_HANDLERS = {**HANDLERS, Op.REGISTER: enter, Op.LOGIN: enter}


def stream(data: bytes) -> None:
    """Send a stream of octets over a link, in one piece and cut. The answers are the same, and are valid frames.

    The first octet says how many cuts there are, and the two octets for each that follow say where.
    """
    cuts = data[0] % 8 if data else 0
    places, octets = data[1 : 1 + 2 * cuts], data[1 + 2 * cuts :]
    bounds = sorted(int.from_bytes(places[at : at + 2], "big") % (len(octets) + 1) for at in range(0, len(places), 2))
    pieces = [octets[a:b] for a, b in pairwise([0, *bounds, len(octets)])]
    whole, cut = asyncio.run(both(octets, pieces))
    assert not [path for path in Path(conf.SPOOL_DIR).rglob("*") if path.is_file()], "a file is left in the spool"
    assert whole == cut, (whole, cut)
    frames, reason = whole
    assert reason is None or reason in REASONS
    for frame in frames:
        assert json.loads(frame[4 : 4 + int(frame[:4], 16)])["op"]


async def both(octets: bytes, pieces: list[bytes]) -> tuple[Any, Any]:
    return await converse([octets]), await converse(pieces)


async def converse(pieces: list[bytes]) -> tuple[list[bytes], str | None]:
    """Return the frames that a link sends in answer to these octets, and the reason for which it ended."""
    online = SimpleNamespace(contacts_with=lambda *_: 0, announce=lambda *_, **__: None)
    engine: Any = SimpleNamespace(
        max_body=BODY_MAX,
        counters=Counters(),
        limits=Limits(),
        online=online,
        store=Store(),
        greeting=messages.frame(b'{"op":"tmtprev"}'),
    )
    session, frames = Session(engine, "::1"), []

    def drain() -> None:
        sent = session.outgoing()
        frames.extend(sent)
        session.was_sent(sent)

    session.wake = drain
    reason = None
    try:
        for piece in pieces:
            await session.receive(piece, LINK_HANDLERS)
            assert len(session.connection._buffer) <= HEADER_MAX
    except Quit as quit_:
        reason = quit_.reason
    finally:
        session.end()
    return frames, reason  # type: ignore[return-value]


def proxy_header(data: bytes) -> None:
    """Begin a connection with these octets. The header of the PROXY protocol is believed, or it is refused."""

    async def read() -> None:
        here, there = socket.socketpair()
        with here, there:
            here.setblocking(False)
            there.sendall(data[:4096])
            there.shutdown(socket.SHUT_WR)
            try:
                client = await proxy.read_header(here)
            except (proxy.InvalidHeader, EOFError):
                return
            assert client is None or (client[0] and 0 <= client[1] < 65536)

    asyncio.run(read())


# -- id_tokens

KEY = ec.derive_private_key(7, ec.SECP256R1())
PUBLIC = KEY.public_key().public_numbers()


def b64(octets: bytes) -> str:
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode()


JWK = {
    "kty": "EC",
    "crv": "P-256",
    "kid": "k",
    "x": b64(PUBLIC.x.to_bytes(32, "big")),
    "y": b64(PUBLIC.y.to_bytes(32, "big")),
}


def verifier(keys: str, fetch: Callable[[str], Any] | None = None) -> Verifier:
    provider = Provider("p", ("https://p.example/l",), ("https://p.example/t",), (), keys, "https://p.example", "mnm")
    return Verifier(OpenID(1, providers=(provider,)), lambda: NOW, fetch)


TRUSTED = verifier(json.dumps({"keys": [JWK]}))


def signed(header: bytes, payload: bytes) -> str:
    """Return a token with a right signature, whatever it says."""
    text = f"{b64(header)}.{b64(payload)}"
    r, s = utils.decode_dss_signature(KEY.sign(text.encode(), ec.ECDSA(hashes.SHA256())))
    return f"{text}.{b64(r.to_bytes(32, 'big') + s.to_bytes(32, 'big'))}"


def tokens(data: bytes) -> None:
    """Verify a token: any text, signed claims of any kind, or against any keys of the provider.

    The first octet says which. A token that is accepted has the right issuer, times and subject.
    """
    kind, rest = data[:1], data[1:]
    check = TRUSTED
    if kind == b"s":
        header, _, payload = rest.partition(b"\n")
        token = signed(header, payload)
    elif kind == b"k":
        check = verifier("https://p.example/keys", lambda url: json.loads(rest))
        claims = {"iss": "https://p.example", "aud": "mnm", "exp": NOW + 1, "iat": NOW, "sub": "s"}
        token = signed(b'{"alg":"ES256","kid":"k"}', json.dumps(claims).encode())
    else:
        token = rest.decode("utf-8", "surrogateescape")
    try:
        claims_ = check.verify(token)
    except OpenIDError as error:
        assert len(token) < 40 or token not in str(error)
        return
    assert claims_.iss == "https://p.example" and claims_.sub.isprintable()
    assert claims_.exp + LEEWAY > NOW and claims_.iat <= NOW + LEEWAY


# -- texts


class Safe(HTMLParser):
    """Check that HTML has only tags and attributes that cannot run, load or lead astray."""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in markup.TAGS, tag
        allowed = markup.ATTRIBUTES.get(tag, set()) | ({"rel"} if tag == "a" else set())
        for name, value in attrs:
            assert name in allowed, (tag, name)
            if name == "href":
                assert urlsplit((value or "").strip()).scheme.lower() in markup.SCHEMES, value

    def handle_comment(self, data: str) -> None:
        raise AssertionError(f"a comment: {data}")

    handle_decl = handle_pi = unknown_decl = handle_comment


def commonmark(data: bytes) -> None:
    """Render a text. The HTML is safe."""
    html = markup.render(data.decode("utf-8", "replace"))
    Safe().feed(html)


def mail(data: bytes) -> None:
    """Make a message of an e-mail, given as HTML. What it says is CommonMark that renders safely."""
    from tmtp.delivery.commonmark import files_of, text_of

    html = data.decode("utf-8", "replace")
    letter = EmailMultiAlternatives("subject", "plain", to=["ann@example.org"])
    letter.attach_alternative(html, "text/html")
    raw = email.message_from_bytes(data[:2000], policy=email.policy.default)  # as Django 6 allows
    letter.attachments.append(raw)
    text = text_of(letter)
    assert isinstance(text, str)
    assert len(text) <= 20 * len(html) + 200, "it grows"
    for name, content in files_of(letter):
        assert name and isinstance(content, bytes)
    Safe().feed(markup.render(text))


TARGETS: dict[str, Callable[[bytes], None]] = {
    "stream": stream,
    "proxy": proxy_header,
    "tokens": tokens,
    "commonmark": commonmark,
    "mail": mail,
}
CORPUS = Path(__file__).parent / "corpus"


def seeds(target: str) -> Iterator[bytes]:
    """Yield the seeds of a target."""
    for path in sorted((CORPUS / target).iterdir()):
        yield path.read_bytes()
