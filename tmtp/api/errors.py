"""The codes that this app adds to those of `tmtp`, and the HTTP status of each code."""

from __future__ import annotations

from django.utils.translation import gettext_noop as _

from tmtp.services.errors import Refused, Text, add_texts

TEXTS = {
    "token_missing": Text(_("send a token in the header Authorization: Bearer TOKEN")),
    "token_refused": Text(_("this token is unknown, expired or revoked")),
    "scope_missing": Text(_("this token does not have the scope %(scope)s")),
    "not_found": Text(_("there is nothing at this address, or it does not belong to this token")),
    "method_not_allowed": Text(_("this address does not take %(method)s")),
    "request_malformed": Text(_("the request cannot be read: %(reason)s")),
    "request_invalid": Text(_("the request has %(count)s errors: see details")),
    "request_too_large": Text(_("the request is too large: send files as multipart, %(most)s octets at most")),
    "recipient_missing": Text(_("nobody is %(recipient)s")),
    "recipients_too_many": Text(_("a message has at most %(most)s recipients: write to a group instead")),
    "key_reused": Text(_("this key was used for another message: each message needs a key of its own")),
    "emails_off": Text(_("this site does not allow e-mail addresses as recipients")),
    "server_failed": Text(_("the server failed to do this; its log says why")),
}
add_texts(TEXTS)

STATUS = {
    "token_missing": 401,
    "token_refused": 401,
    "scope_missing": 403,
    "not_found": 404,
    "message_not_found": 404,
    "group_not_found": 404,
    "method_not_allowed": 405,
    "already_member": 409,
    "name_taken": 409,
    "owner_stays": 409,
    "wrong_member_status": 409,
    "message_too_large": 413,
    "request_too_large": 413,
    "request_malformed": 400,
    "server_failed": 500,
    "disk_full": 503,
    "spool_failed": 503,
    "storage_unavailable": 503,
    "store_unavailable": 503,
}
THROTTLED = ("too_many_requests", "too_many_group_changes")


def status_of(refused: Refused) -> int:
    """Return the HTTP status for a refusal. It is 422 for whatever is wrong with what was asked for."""
    return 429 if refused.code in THROTTLED else STATUS.get(refused.code, 422)


__all__ = ["TEXTS", "Refused", "status_of"]
