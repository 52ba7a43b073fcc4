"""Check the identity that a device shows at registration or login: an id_token of an OpenID provider (ops 1 and 2)."""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from ..conf import conf
from ..openid.providers import OpenID
from ..protocol import errors
from ..protocol.errors import Quit
from ..protocol.requests import OidcToken
from ..services.people.identities import IdentityShown

if TYPE_CHECKING:
    from ..openid.tokens import Verifier

log = logging.getLogger("tmtp")


class IdentityCheck:
    """The check of identities by TMTP["OPENID"]."""

    def __init__(self, openid: OpenID) -> None:
        self._openid = openid
        self._verifier: Verifier | None = None  # created for the first token

    @property
    def needed(self) -> bool:
        """Return whether a login needs an identity that was shown recently (`auth` 2)."""
        return self._openid.auth == 2 and not self._openid.optional

    async def shown(self, oidc: OidcToken | None, *, to_register: bool) -> IdentityShown | None:
        """Return the identity of a token, or None without one. Raise Quit if it is invalid, or missing but needed."""
        if not self._openid.auth:
            return None
        if oidc is None:
            if to_register and not self._openid.optional:
                raise Quit(errors.AUTHENTICATION_REQUIRED)
            return None
        from ..openid.tokens import OpenIDError, Verifier  # 10 MB of cryptography, only for sites that need it

        self._verifier = self._verifier or Verifier(self._openid)
        try:
            claims = await asyncio.to_thread(self._verifier.verify, oidc.id_token)
        except OpenIDError as error:
            log.info("an id_token was refused: %s", str(error))
            raise Quit(errors.AUTHENTICATION_REQUIRED) from error
        return IdentityShown(claims.iss, claims.sub, claims.token_hash, datetime.fromtimestamp(claims.exp, UTC))

    def may_register(self, shown: IdentityShown | None) -> bool:
        """Return whether the user may register: registration is open, or the user has shown an identity."""
        return bool(conf.OPEN_REGISTRATION or shown)
