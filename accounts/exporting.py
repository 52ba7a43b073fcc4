"""What this app adds to the export of a member's data: addresses, second factors and sessions, without secrets."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tmtp.members_data.archive import Part, json_part
from tmtp.models import User

from .languages import language_of
from .models import AuthenticatorApp


def parts(account: Any, user: User) -> Iterator[Part]:
    if account is None:
        return
    app = AuthenticatorApp.objects.filter(user=account).first()
    sessions = account.browsers.order_by("begun").values("agent", "address", "begun", "used")
    yield json_part(
        "sign-in.json",
        {
            "language": language_of(account),
            "password": account.has_usable_password(),
            "addresses": list(account.addresses.order_by("pk").values("address", "verified", "created")),
            "authenticator_app": {"created": app.created, "used": app.used} if app else None,
            "passkeys": list(account.passkeys.order_by("pk").values("name", "created", "used")),
            "recovery_codes_left": account.recovery_codes.count(),
            "sessions": list(sessions),
        },
    )
