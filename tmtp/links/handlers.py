"""The handlers of the operations, one for each op, in the order of tmtp.md section 4.

A handler is called with the session and the complete request. It answers with `session.write`, or raises `Quit` to end
the link. The session waits for a handler that is a coroutine.
"""

from __future__ import annotations

import asyncio
import hashlib
from functools import partial

from ..conf import conf
from ..engine.limits import network_of
from ..protocol import errors, messages
from ..protocol.errors import Quit
from ..protocol.requests import Op, Request
from ..protocol.values import PING_MAX_UNITS, decode_base32, utf16_units
from ..services.errors import Refused
from ..services.groups import groups, ohi
from ..services.messages import posting
from ..services.messages.posts import Notification, Post
from ..services.people import devices, identities, users
from ..services.people.actors import Sender
from ..services.queue import receipts
from ..services.queue.batch import Service
from ..store.store import log_failure
from ..store.transactions import Unavailable, Uncertain
from .session import Handler, Session

UID_LENGTH = 32  # characters
OVER_LIMITS = {"too_many_pings_to", "gets_too_many_pings", "too_many_group_changes"}  # codes of refusals by the store
FAILED_LOGIN_DELAY = 3.0  # seconds


def tmtprev(session: Session, request: Request) -> None:
    """Answer with the protocol's revision (op 0)."""
    session.write(session.engine.greeting)


async def register(session: Session, request: Request) -> None:
    """Register a user, or add a node to one, and log in (op 1)."""
    try:
        await _register(session, request)
    except Quit:
        session.engine.refused_registrations.warning(session.address)
        raise


async def _register(session: Session, request: Request) -> None:
    engine = session.engine
    if not engine.limits.spend("registrations_per_address", network_of(session.address)):
        raise Quit(errors.REGISTER_FAILURE)
    shown = await engine.identity.shown(request.oidc, to_register=True)
    if not engine.identity.may_register(shown):
        raise Quit(errors.REGISTER_FAILURE)
    lease = engine.lease.id
    enter = partial(users.register, request.newnode, request.newalias, shown, lease=lease)
    try:
        new = await engine.links.claim(session, enter, lambda new: new.sender, lease, savepoint=shown is not None)
    except identities.AuthenticationRequired as error:
        raise Quit(errors.AUTHENTICATION_REQUIRED) from error
    except (Refused, Unavailable) as error:
        raise Quit(errors.REGISTER_FAILURE) from error
    engine.counters.registrations += 1
    session.write(messages.registered(new.sender.uid, new.nodeid, new.alias_error))
    await engine.links.welcome(session)


async def login(session: Session, request: Request) -> None:
    """Log in (op 2)."""
    engine = session.engine
    try:
        decode_base32(request.node)
    except ValueError as error:
        raise Quit(errors.CORRUPT_BASE32) from error
    shown = await engine.identity.shown(request.oidc, to_register=False)
    try:
        await _claim(session, request, shown)
    except users.LoginFailed as error:
        engine.failed_logins.warning(session.address)
        await _wait_after_failures(session, request.uid)
        raise Quit(errors.LOGIN_FAILED) from error
    except users.NodeConnected as error:
        raise Quit(errors.NODE_CONNECTED) from error
    except identities.AuthenticationRequired as error:
        raise Quit(errors.AUTHENTICATION_REQUIRED) from error
    except Unavailable:
        session.close()
        return
    engine.counters.logins += 1
    await engine.links.welcome(session)


async def _claim(session: Session, request: Request, shown: identities.IdentityShown | None) -> None:
    """Connect the node to this server. Replace its old link, or the hash that a Go server has stored."""
    engine, lease = session.engine, session.engine.lease.id

    async def claim(old_hash: bytes | None = None) -> None:
        enter = partial(users.log_in, request.uid, request.node, lease, shown, engine.identity.needed, old_hash)
        await engine.links.claim(session, enter, lambda sender: sender, lease, savepoint=shown is not None)

    try:
        await claim()
    except users.LoginFailed:
        old_hash = await engine.old_secrets.hash_of(request.uid, request.node, session.address)
        if old_hash is None:
            raise
        await claim(old_hash)
    except users.NodeConnected:
        if not await engine.replacement.free(request.node):
            raise
        await claim()


async def _wait_after_failures(session: Session, uid: str) -> None:
    """Count a failed login, and delay its answer if the address or the uid has too many.

    A right secret is always let in at once: nobody guesses 200 bits, and nobody can lock the owner out.
    """
    limits = session.engine.limits
    few = limits.spend("failed_logins_per_address", network_of(session.address))
    if len(uid) == UID_LENGTH and not limits.spend("failed_logins_per_user", uid):
        few = False
    if not few:
        await asyncio.sleep(FAILED_LOGIN_DELAY)


async def useredit(session: Session, request: Request) -> None:
    """Add an alias or a node (op 3)."""
    if request.newalias:
        await _do(session, request, partial(users.add_alias, _sender(session), request.newalias))
    else:
        await _do(session, request, partial(devices.add_node, _sender(session), request.newnode))


async def ohiedit(session: Session, request: Request) -> None:
    """Change the list of users to whom the user's presence is announced (op 4)."""
    sender = _sender(session)
    uids = [to.id for to in request.recipients]
    most = conf.limit("contacts_per_user")
    if most is not None and request.type != "drop" and session.engine.online.contacts_with(sender.uid, uids) > most:
        session.refuse_over_limit(request, Refused("too_many_contacts", most=most))
        return
    edit = partial(ohi.edit, sender, uids, tell=request.type if request.type != "init" else "")
    if await _do(session, request, edit):
        session.engine.online.announce(sender.uid, uids, online=request.type != "drop")


async def groupinvite(session: Session, request: Request) -> None:
    """Invite a user into a group (op 5)."""
    text = _text(session)
    if not _may_ping(session, request):
        return
    invite = partial(groups.invite, _sender(session), request.gid, request.from_, request.to, text)
    await _do(session, request, invite, with_msgid=True)


async def groupedit(session: Session, request: Request) -> None:
    """Join or leave a group, drop a member, or change the user's alias in it (op 6)."""
    edits: dict[str, Service[int]] = {
        "join": partial(groups.join, _sender(session), request.gid, request.newalias),
        "alias": partial(groups.rename, _sender(session), request.gid, request.newalias),
        "drop": partial(groups.drop, _sender(session), request.gid, request.to),
    }
    await _do(session, request, edits[request.act])


def post(session: Session, request: Request) -> None:
    """Post (ops 7 and 8). Do not wait for the disk: the ack is sent when the store has committed."""
    sender, incoming = _sender(session), session.incoming
    assert incoming is not None
    digest = incoming.digest
    *note, body = incoming.take()
    item = Post(sender, request.recipients, body, request.datahead, request.datasum, digest)
    if note:
        item.notification = Notification(
            request.notefor or [], note[0], request.notehead, request.notesum, request.fornotself
        )
    session.submit(item, request.datalen, partial(_answer, session, request.id))


async def ping(session: Session, request: Request) -> None:
    """Send a ping (op 9)."""
    text = _text(session)
    if not _may_ping(session, request):
        return
    await _do(
        session, request, partial(posting.ping, _sender(session), request.from_, request.to, text), with_msgid=True
    )


def ack(session: Session, request: Request) -> None:
    """Delete a delivered message from the node's queue (op 10)."""
    if session.lane:
        session.engine.dispatcher.acknowledge(session.lane, request.id)


def pulse(session: Session, request: Request) -> None:
    """Do nothing (op 11): the request itself shows that the link is alive."""


def quit_(session: Session, request: Request) -> None:
    """End the link (op 12)."""
    raise Quit(errors.LOGOUT_OK)


HANDLERS: dict[int, Handler] = {
    Op.TMTPREV: tmtprev,
    Op.REGISTER: register,
    Op.LOGIN: login,
    Op.USEREDIT: useredit,
    Op.OHIEDIT: ohiedit,
    Op.GROUPINVITE: groupinvite,
    Op.GROUPEDIT: groupedit,
    Op.POST: post,
    Op.POSTNOTIFY: post,
    Op.PING: ping,
    Op.ACK: ack,
    Op.PULSE: pulse,
    Op.QUIT: quit_,
}


def _may_ask(session: Session, request: Request) -> bool:
    """Count a request of the user. Refuse it if there are too many."""
    if session.engine.limits.spend("requests_per_user", _sender(session).uid):
        return True
    session.refuse_over_limit(request, Refused("too_many_requests"))
    return False


def _may_ping(session: Session, request: Request) -> bool:
    """Count a ping or an invitation of the user. Refuse it if there are too many."""
    try:
        session.engine.limits.spend_ping(_sender(session).uid)
    except Refused as refused:
        session.refuse_over_limit(request, refused)
        return False
    return True


async def _do(session: Session, request: Request, make: Service[int], *, with_msgid: bool = False) -> bool:
    """Run a service for a request and acknowledge it. Return whether it was done.

    A request that is sent again is acknowledged again, but not done twice.
    """
    sender = _sender(session)
    if not _may_ask(session, request):
        return False
    digest = session.incoming.digest if session.incoming else hashlib.sha256(request.raw).digest()
    try:
        number = await session.run(partial(receipts.once, sender.node, digest, make))
    except Uncertain:
        session.close()
        return False
    except (Refused, Unavailable) as error:
        if error.code in OVER_LIMITS:
            session.refuse_over_limit(request, error)
        else:
            session.refuse(request.id, error)
        return False
    session.write(messages.ack(request.id, number if with_msgid else None))
    return True


def _answer(session: Session, request_id: str, result: int | Exception) -> None:
    """Acknowledge a post, or answer with the error."""
    match result:
        case int():
            session.write(messages.ack(request_id, result))
        case Uncertain():
            session.close()  # either answer might be wrong; the client sends the request again over its next link
        case Refused() | Unavailable():
            session.refuse(request_id, result)
        case _:
            log_failure(result)
            session.refuse(request_id, Unavailable("store_failed"))


def _sender(session: Session) -> Sender:
    assert session.sender is not None  # before the login, the connection accepts only ops 0, 1 and 2
    return session.sender


def _text(session: Session) -> bytes:
    """Return the data of a ping or an invitation: UTF-8 of at most 140 UTF-16 units. Raise Quit."""
    if session.incoming is None:
        return b""
    (octets,) = session.incoming.take()
    assert isinstance(octets, bytes)
    try:
        text = octets.decode()
    except UnicodeDecodeError as error:
        raise Quit(errors.DATA_NOT_UTF8) from error
    if utf16_units(text) > PING_MAX_UNITS:
        raise Quit(errors.DATA_TOO_LONG)
    return octets
