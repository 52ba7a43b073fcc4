"""What clients ask for: the JSON header of a request, checked (tmtp.md sections 1 and 4).

`parse_header` takes octets and gives a `Request` whose fields are all in range for its op, or raises `Quit`.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum
from typing import Any

import msgspec

from . import errors
from .errors import Quit


class Op(IntEnum):
    """The operations, as numbered on the wire."""

    TMTPREV = 0
    REGISTER = 1
    LOGIN = 2
    USEREDIT = 3
    OHIEDIT = 4
    GROUPINVITE = 5
    GROUPEDIT = 6
    POST = 7
    POSTNOTIFY = 8
    PING = 9
    ACK = 10
    PULSE = 11
    QUIT = 12


TO_USER, TO_GROUP, TO_GROUP_WITHOUT_ME = 1, 2, 3


class Recipient(msgspec.Struct, forbid_unknown_fields=True):
    """An element of `for` or `notefor`: a uid (type 1) or a gid (2; 3 leaves the sender out)."""

    id: str = ""
    type: int = 0


class OidcToken(msgspec.Struct, forbid_unknown_fields=True):
    """What an OpenID provider's token endpoint answered; only the id_token is used."""

    id_token: str = ""
    access_token: str = ""
    token_type: str = ""
    expires_in: int = 0
    refresh_token: str = ""
    scope: str = ""


class Request(msgspec.Struct, forbid_unknown_fields=True):
    """A request's header. An absent field has its empty value, which no required field may have."""

    op: int
    id: str = ""
    datalen: int = 0
    datahead: int = 0
    datasum: int = 0
    notelen: int = 0
    notehead: int = 0
    notesum: int = 0
    for_: list[Recipient] | None = msgspec.field(default=None, name="for")
    notefor: list[Recipient] | None = None
    fornotself: bool = False
    uid: str = ""
    node: str = ""
    newnode: str = ""
    newalias: str = ""
    gid: str = ""
    from_: str = msgspec.field(default="", name="from")
    to: str = ""
    type: str = ""
    act: str = ""
    oidc: OidcToken | None = None
    raw: bytes = b""  # the header's octets as they came, set last

    @property
    def recipients(self) -> list[Recipient]:
        """`for`, an empty list when it is absent."""
        return self.for_ or []


_MAY_HAVE_DATA = frozenset({Op.GROUPINVITE, Op.POST, Op.POSTNOTIFY, Op.PING})
_LIMIT = 2**63
_ID_MAX_OCTETS = 60_000  # as JSON: an ack echoes the id, and its own header must fit too
_decoder = msgspec.json.Decoder(Request)


def parse_header(header: bytes) -> Request:
    """The request in `header`, the octets of one JSON object.

    Raises Quit("invalid header") when it is not one, a field has the wrong type or is out of range, a required
    one is missing or the op is unknown.
    """
    try:
        try:
            request = _decoder.decode(header)  # the common case: the keys as they are written in tmtp.md
        except msgspec.ValidationError:
            request = msgspec.convert(_fold(msgspec.json.decode(header), _FIELDS), Request)
    except (ValueError, RecursionError) as error:  # msgspec's decoding errors are ValueErrors too
        raise Quit(errors.INVALID_HEADER) from error
    request.raw = header
    if b"\\u0000" in header:
        _replace_nul(request)
    if not _in_range(request):
        raise Quit(errors.INVALID_HEADER)
    return request


def _replace_nul(request: Request) -> None:
    """No name holds a NUL, nor can every database look for one: another unprintable character stands for it.

    The request's id is only echoed, so it keeps its own.
    """
    for field in ("uid", "node", "newnode", "newalias", "gid", "from_", "to"):
        setattr(request, field, getattr(request, field).replace("\0", "\1"))
    for to in [*request.recipients, *(request.notefor or [])]:
        to.id = to.id.replace("\0", "\1")


def _fields_of(struct: type[msgspec.Struct]) -> frozenset[str]:
    return frozenset(field.encode_name for field in msgspec.structs.fields(struct)) - {"raw"}


_FIELDS = _fields_of(Request)
_INNER = {"for": _fields_of(Recipient), "notefor": _fields_of(Recipient), "oidc": _fields_of(OidcToken)}


def _fold(value: Any, known: frozenset[str]) -> Any:
    """An object with its keys in lower case, without unknown ones and nulls; the objects in it likewise."""
    if not isinstance(value, dict):
        return value
    folded = {}
    for key, item in value.items():
        name = key.casefold()
        if name not in known or item is None:
            continue
        inner = _INNER.get(name)
        if inner:
            item = [_fold(element, inner) for element in item] if isinstance(item, list) else _fold(item, inner)
        folded[name] = item
    return folded


def _in_range(request: Request) -> bool:
    """Whether the op is known and has what it needs, and nothing is out of range."""
    op = request.op
    return 0 <= op <= Op.QUIT and _lengths_fit(request) and _COMPLETE[op](request) and _id_fits(request)


def _lengths_fit(request: Request) -> bool:
    """Whether all lengths are in range, and only ops that carry data have some."""
    if not request.datalen | request.datahead | request.datasum | request.notelen | request.notehead | request.notesum:
        return True
    return (
        0 <= request.datahead <= request.datalen < _LIMIT
        and 0 <= request.notehead <= request.notelen < _LIMIT
        and 0 <= request.datasum < _LIMIT
        and 0 <= request.notesum < _LIMIT
        and (request.datalen == 0 or request.op in _MAY_HAVE_DATA)
        and (request.notelen == 0 or request.op == Op.POSTNOTIFY)
    )


def _id_fits(request: Request) -> bool:
    return len(request.raw) <= _ID_MAX_OCTETS or len(msgspec.json.encode(request.id)) <= _ID_MAX_OCTETS


def _post_is_complete(request: Request) -> bool:
    return bool(request.id and request.datalen and request.for_ is not None) and _recipients_fit(request)


def _recipients_fit(request: Request) -> bool:
    for to in request.for_ or ():
        if not to.id or not 1 <= to.type <= 3:
            return False
    return not request.notefor or all([to.id and 1 <= to.type <= 3 for to in request.notefor])


def _ohiedit_is_complete(request: Request) -> bool:
    named = bool(request.id and request.for_) and all([to.id for to in request.recipients])
    return named and request.type in ("init", "add", "drop")


def _groupedit_is_complete(request: Request) -> bool:
    needed = {"join": request.act, "alias": request.newalias, "drop": request.to}
    return bool(request.id and request.gid and needed.get(request.act))


# Whether a request has what its op requires, none of it empty (the fields marked ! in section 4).
_COMPLETE: tuple[Callable[[Request], bool], ...] = (
    lambda request: bool(request.id),
    lambda request: bool(request.newnode and request.newalias),
    lambda request: bool(request.uid and request.node),
    lambda request: bool(request.id) and bool(request.newnode) != bool(request.newalias),
    _ohiedit_is_complete,
    lambda request: bool(request.id and request.gid and request.from_ and request.to),
    _groupedit_is_complete,
    _post_is_complete,
    lambda request: bool(request.notelen) and _post_is_complete(request),
    lambda request: bool(request.id and request.from_ and request.to),
    lambda request: bool(request.id and request.type),
    lambda request: True,
    lambda request: True,
)
