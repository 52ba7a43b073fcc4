"""The reasons for which the server ends a link, in the wording of tmtp.md section 1."""

from __future__ import annotations

INVALID_HEADER_LENGTH = "invalid header length"
INVALID_HEADER = "invalid header"
CORRUPT_BASE32 = "corrupt base32 value"
OP_REPETITION = "disallowed op repetition"
OP_UNAUTHENTICATED = "disallowed op on unauthenticated link"
OP_CONNECTED = "disallowed op on connected link"
TMTPREV_OMITTED = "tmtprev was omitted"
AUTHENTICATION_REQUIRED = "authentication required"
REGISTER_FAILURE = "register failure"
LOGIN_FAILED = "login failed"
NODE_CONNECTED = "node already connected"
LOGOUT_OK = "logout ok"
DATA_TOO_LONG = "data too long for request type"
DATA_TOO_SHORT = "data too short for request type"
DATA_NOT_UTF8 = "data not valid UTF8"
RECIPIENTS_EMPTY = "recipient list empty"


class Quit(Exception):
    """End the link, and send the client a `quit` with this reason."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
