"""Users of a site that is not written in Django: they have no account here, and are known by an id of that site."""

from __future__ import annotations

from typing import Annotated, Any

from django.http import HttpRequest
from ninja import Query, Router

from tmtp.conf import conf as tmtp_conf
from tmtp.models import Node, User
from tmtp.services.groups.deletion import delete_user
from tmtp.services.people import names, users
from tmtp.services.people.actors import Sender
from tmtp.services.people.devices import make_node
from tmtp.services.people.linking import new_user

from .. import people, schemas
from ..authentication import needs
from ..changes import change, record
from ..errors import Refused
from ..models import Token, TokenUser
from ..tokens import token_of

router = Router(tags=["users"])
USERS = needs(Token.Scope.USERS)
One = Annotated[str | None, Query(None, min_length=1, max_length=255)]


@router.post("", response=schemas.User, summary="Create a user", operation_id="create_user", **USERS)
def create_user(request: HttpRequest, new: schemas.NewUser) -> dict[str, Any]:
    """Create a messaging user for a user of your site, or return the one there is. Add the name, if one is given."""
    token = token_of(request)
    if not new.external_id.isprintable():
        raise Refused("request_malformed", reason="external_id has characters that cannot be printed")
    with change(request):
        _one_after_the_other(token)
        own = TokenUser.objects.filter(token=token, external_id=new.external_id).select_related("user").first()
        own = own or TokenUser.objects.create(token=token, external_id=new.external_id, user=new_user())
        if new.name:
            names.check(new.name, "newalias")
            users.add_alias(Sender(own.user.uid, own.user.pk), new.name)
        record("create user", own.user, external_id=new.external_id)
    return _described(own.user, own.external_id)


@router.get("", response=schemas.User, summary="Look up a user", operation_id="get_user", **USERS)
def get_user(request: HttpRequest, external_id: One, name: One, uid: One, username: One, email: One) -> dict[str, Any]:
    """Return a user by one of these. A member of this website who has no user yet gets one."""
    token = token_of(request)
    given = {"external_ids": external_id, "names": name, "uids": uid, "usernames": username, "emails": email}
    named = {way: [value] for way, value in given.items() if value is not None}
    if len(named) != 1:
        raise Refused("request_malformed", reason="say exactly one of external_id, name, uid, username and email")
    try:
        (user,) = people.people(token, schemas.People(**named))
    except Refused as refused:
        raise Refused("not_found") if refused.code == "recipient_missing" else refused from None
    own = TokenUser.objects.filter(token=token, user=user).first()
    return _described(user, own.external_id if own else None)


@router.post(
    "/devices", response={201: schemas.DeviceKey}, summary="Create a device", operation_id="create_device", **USERS
)
def create_device(request: HttpRequest, new: schemas.NewDevice) -> dict[str, Any]:
    """Create a device for a user that you have created, and return what its program needs to log in."""
    with change(request):
        user = _own(request, new.external_id)
        _, nodeid = make_node(user, new.label)
        record("create device", user, external_id=new.external_id)
    return {"uid": user.uid, "nodeid": nodeid, "address": tmtp_conf.PUBLIC_ADDRESS}


@router.post("/delete", response={204: None}, summary="Delete a user", operation_id="delete_user", **USERS)
def remove_user(request: HttpRequest, which: schemas.ExternalId) -> None:
    """Delete a user that you have created, with devices, names and waiting messages."""
    with change(request):
        user = _own(request, which.external_id)
        TokenUser.objects.filter(user=user).delete()
        delete_user(user)


def _own(request: HttpRequest, external_id: str) -> User:
    """Return a user that was created with this token, and lock it. Raise Refused if there is none."""
    _one_after_the_other(token_of(request))
    try:
        return people.people(token_of(request), schemas.People(external_ids=[external_id]))[0]
    except Refused:
        raise Refused("not_found") from None


def _one_after_the_other(token: Token) -> None:
    """Wait for other requests that create, change or delete users of the token, until their transaction ends."""
    Token.objects.select_for_update().get(pk=token.pk)


def _described(user: User, external_id: str | None) -> dict[str, Any]:
    known_as = list(user.aliases.filter(dropped=None).order_by("pk").values_list("name", flat=True))
    return {
        "uid": user.uid,
        "name": known_as[0] if known_as else user.uid,
        "names": known_as,
        "external_id": external_id,
        "devices": user.nodes.filter(kind=Node.Kind.DEVICE, dropped=None).count(),
    }
