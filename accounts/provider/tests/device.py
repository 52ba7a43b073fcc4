"""A device that acts exactly as mnm-hammer does with a provider that op 0 has announced."""

from __future__ import annotations

import base64
import hashlib
import secrets
from typing import Any
from urllib.parse import parse_qs, quote_plus, urlsplit

FORM = "application/x-www-form-urlencoded"


class Device:
    """One attempt to get a token. The person opens `login`, and `redeem` is posted to `token`."""

    def __init__(self, announced: dict[str, Any], letter: str = "A", address: str = "=127.0.0.1:7443") -> None:
        self.label: str = announced["label"]
        self.verifier = base64.urlsafe_b64encode(secrets.token_bytes(32)).rstrip(b"=").decode()
        self.state = f"{letter}{address}_0123456789abcdef_{self.label}"
        digest = base64.urlsafe_b64encode(hashlib.sha256(self.verifier.encode()).digest()).rstrip(b"=").decode()
        url, parameters = announced["login"]
        self.login = (
            f"{url}?{parameters}&code_challenge_method=S256&code_challenge={digest}"
            f"&state={letter}{quote_plus(self.state[1:])}"
        )
        self.token, self._token_parameters = announced["token"]

    def called_back(self, location: str) -> dict[str, str]:
        """Return the parameters of a redirect to its own address, http://localhost:8123/u. Check the state."""
        parts = urlsplit(location)
        assert (parts.scheme, parts.netloc, parts.path) == ("http", "localhost:8123", "/u"), location
        parameters = {name: value for name, (value,) in parse_qs(parts.query).items()}
        assert parameters["state"] == self.state
        return parameters

    def redeem(self, code: str) -> str:
        """Return the form to post to `token`. The code is not quoted, so it must be safe in a form."""
        return f"{self._token_parameters}&code={code}&code_verifier={self.verifier}"
