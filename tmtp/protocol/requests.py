"""Parse the JSON header of a client's request (tmtp.md sections 1 and 4).

`parse_header` takes octets and returns a `Request` with all fields valid for its op, or raises `Quit`.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum
from typing import Any

import msgspec

from . import errors
from .errors import Quit


class Op(IntEnum):
    """The operations and their numbers on the wire."""

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
    """An element of `for` or `notefor`: a uid (type 1) or a gid (type 2; type 3 leaves out the sender)."""

    id: str = ""
    type: int = 0


class OidcToken(msgspec.Struct, forbid_unknown_fields=True):
    """The response of an OpenID provider's token endpoint. Only the id_token is used."""

    id_token: str = ""
    access_token: str = ""
    token_type: str = ""
    expires_in: int = 0
    refresh_token: str = ""
    scope: str = ""


class Request(msgspec.Struct, forbid_unknown_fields=True):
    """The header of a request. An absent field has an empty value, which is not valid for a required field."""

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
    raw: bytes = b""  # the octets of the header, unchanged
    data: bytes | None = None  # all of the data, if it has arrived together with the header

    @property
    def recipients(self) -> list[Recipient]:
        """The list `for`, empty if it is absent."""
        return self.for_ or []


_MAY_HAVE_DATA = frozenset({Op.GROUPINVITE, Op.POST, Op.POSTNOTIFY, Op.PING})
_LIMIT = 2**63
_ID_MAX_OCTETS = 60_000  # as JSON, so that the header of the ack, which repeats the id, is not too long
_decoder = msgspec.json.Decoder(Request)


def parse_header(header: bytes) -> Request:
    """Return the request in `header`, the octets of one JSON object.

    Raise Quit("invalid header") if it is no JSON object, the op is unknown, a required field is missing, or a field
    has the wrong type or is out of range.
    """
    try:
        try:
            request = _decoder.decode(header)  # the common case: keys spelled as in tmtp.md
        except msgspec.ValidationError:
            request = msgspec.convert(_fold(msgspec.json.decode(header), _FIELDS), Request)
    except (ValueError, RecursionError) as error:  # msgspec's decoding errors are ValueErrors too
        raise Quit(errors.INVALID_HEADER) from error
    request.raw, request.data = header, None
    if b"\\u0000" in header:
        _replace_nul(request)
    if not _in_range(request):
        raise Quit(errors.INVALID_HEADER)
    return request


def _replace_nul(request: Request) -> None:
    """Replace NUL with another unprintable character in all names: no name has one, and PostgreSQL rejects it.

    The request's id stays as it is, since it is only repeated in the ack.
    """
    for field in ("uid", "node", "newnode", "newalias", "gid", "from_", "to"):
        setattr(request, field, getattr(request, field).replace("\0", "\1"))
    for to in [*request.recipients, *(request.notefor or [])]:
        to.id = to.id.replace("\0", "\1")


def _fields_of(struct: type[msgspec.Struct]) -> frozenset[str]:
    return frozenset(field.encode_name for field in msgspec.structs.fields(struct)) - {"raw", "data"}


_FIELDS = _fields_of(Request)
_INNER = {"for": _fields_of(Recipient), "notefor": _fields_of(Recipient), "oidc": _fields_of(OidcToken)}


def _fold(value: Any, known: frozenset[str]) -> Any:
    """Lower the keys of an object and of the objects in it, and drop unknown keys and nulls."""
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
    """Return whether the op is known, its required fields are present, and all fields are in range."""
    op = request.op
    return 0 <= op <= Op.QUIT and _lengths_fit(request) and _COMPLETE[op](request) and _id_fits(request)


def _lengths_fit(request: Request) -> bool:
    """Return whether all lengths are in range, and zero for ops without data."""
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


# For each op, whether a request has all fields that section 4 marks with "!", none of them empty.
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
