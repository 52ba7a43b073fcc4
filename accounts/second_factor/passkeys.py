"""Passkeys and security keys: WebAuthn, with the library fido2.

Each ceremony has a challenge of its own, which is kept in the session for its purpose, and works once.
"""

from __future__ import annotations

import ipaddress
import json
import logging
import time
from typing import Any

from django.db import IntegrityError, transaction
from django.http import HttpRequest
from django.http.request import split_domain_port
from django.utils import timezone
from fido2.server import Fido2Server
from fido2.utils import websafe_encode
from fido2.webauthn import (
    AttestedCredentialData,
    AuthenticationResponse,
    PublicKeyCredentialRpEntity,
    PublicKeyCredentialUserEntity,
    ResidentKeyRequirement,
    UserVerificationRequirement,
)

from tmtp.conf import conf
from tmtp.services.people.linking import user_of

from ..errors import Refused
from ..models import Passkey

logger = logging.getLogger(__name__)

STATES = "passkey_states"  # the key in the session, by purpose
LIFE = 300  # seconds
ADD, ALONE, SECOND, CONFIRM = "add", "alone", "second", "confirm"  # purposes
MOST = 20  # passkeys of a member


def are_possible(request: HttpRequest) -> bool:
    """Return whether browsers offer passkeys for the site's host: it must be a name."""
    host = split_domain_port(request.get_host())[0].strip("[]")
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return True
    return False


def server(request: HttpRequest) -> Fido2Server:
    """Return the relying party: this host, and pages of exactly this origin."""
    host = request.get_host()
    origin = f"{request.scheme}://{host}"
    party = PublicKeyCredentialRpEntity(name=conf.SITE_NAME, id=split_domain_port(host)[0])
    return Fido2Server(party, verify_origin=lambda given: given == origin)


def begin_add(request: HttpRequest) -> dict[str, Any]:
    """Return the options for `navigator.credentials.create()`."""
    user: Any = request.user
    name = user.get_username()
    entity = PublicKeyCredentialUserEntity(id=user_of(user).uid.encode(), name=name, display_name=name)
    options, state = server(request).register_begin(
        entity,
        [data_of(passkey) for passkey in user.passkeys.all()],
        resident_key_requirement=ResidentKeyRequirement.PREFERRED,
        user_verification=UserVerificationRequirement.PREFERRED,
    )
    return _begin(request, ADD, options, state)


def add(request: HttpRequest, name: str, text: str) -> Passkey:
    """Store the member's new passkey. `text` is what the browser answered, as JSON. Raise Refused."""
    if request.user.passkeys.count() >= MOST:
        raise Refused("passkeys_too_many", most=MOST)
    made = _complete(request, ADD, text, lambda state, answer: server(request).register_complete(state, answer))
    data = made.credential_data
    try:
        with transaction.atomic():
            return Passkey.objects.create(
                user=request.user,
                name=name,
                credential_id=websafe_encode(data.credential_id),
                credential=bytes(data),
                counter=made.counter,
            )
    except IntegrityError:
        raise Refused("passkey_there_already") from None


def begin(request: HttpRequest, purpose: str, user: Any = None) -> dict[str, Any]:
    """Return the options for `navigator.credentials.get()`, for the passkeys of this member, or for anyone's.

    Without a member, the passkey is all that is shown: it must ask for a PIN, a finger or the like. As a second factor
    it need not.
    """
    known = [data_of(passkey) for passkey in user.passkeys.all()] if user is not None else None
    required, discouraged = UserVerificationRequirement.REQUIRED, UserVerificationRequirement.DISCOURAGED
    verification = required if user is None else discouraged
    options, state = server(request).authenticate_begin(known, user_verification=verification)
    return _begin(request, purpose, options, state)


def accept(request: HttpRequest, purpose: str, text: str, user: Any = None) -> Passkey:
    """Return the passkey that the browser's answer proves, one of this member if one is given. Raise Refused."""

    def check(state: Any, answer: Any) -> tuple[Passkey, int]:
        of_whom = Passkey.objects.all() if user is None else Passkey.objects.filter(user=user)
        passkey = of_whom.select_related("user").get(credential_id=answer["id"])
        server(request).authenticate_complete(state, [data_of(passkey)], answer)
        return passkey, AuthenticationResponse.from_dict(answer).response.authenticator_data.counter

    passkey, counter = _complete(request, purpose, text, check)
    _count(passkey, counter)
    return passkey


def data_of(passkey: Passkey) -> AttestedCredentialData:
    """Return the id and the public key, as the library takes them."""
    return AttestedCredentialData(bytes(passkey.credential))


def _begin(request: HttpRequest, purpose: str, options: Any, state: Any) -> dict[str, Any]:
    request.session.setdefault(STATES, {})[purpose] = {**state, "begun": time.time()}
    request.session.modified = True
    return dict(options)["publicKey"]


def _complete(request: HttpRequest, purpose: str, text: str, check: Any) -> Any:
    """Return what `check` returns of the state of this purpose, which is forgotten, and of the browser's answer.

    Raise Refused if the answer is not what was asked for. A stranger may have written it: whatever it holds, the
    library and the look-up fail with some exception, and nothing else happens.
    """
    state = request.session.get(STATES, {}).pop(purpose, None)
    request.session.modified = True
    if state is None or time.time() - state["begun"] > LIFE:
        raise Refused("passkey_too_late")
    try:
        return check(state, json.loads(text))
    except Exception as error:
        logger.info("a passkey was refused: %s", type(error).__name__)
        raise Refused("passkey_wrong") from None


def _count(passkey: Passkey, counter: int) -> None:
    """Store the counter of signatures. Raise Refused if it has not grown: there is a copy of the key."""
    unused = Passkey.objects.filter(pk=passkey.pk)
    if counter or passkey.counter:
        unused = unused.filter(counter__lt=counter)
    if not unused.update(counter=counter, used=timezone.now()):
        logger.warning("a passkey was refused: its counter of signatures has not grown, so there may be a copy of it")
        raise Refused("passkey_wrong")
