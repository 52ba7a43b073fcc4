"""The settings: one dict `TMTP_DELIVERY` in the site's settings, with defaults, read when it is used.

    from tmtp.delivery.conf import conf
    conf.CLAIM_FOR

Each key is explained in docs/reference/settings.md.
"""

from __future__ import annotations

from typing import Any

from tmtp.conf import Conf

DEFAULTS: dict[str, Any] = {
    # the website around it
    "SITE_URL": "",
    "EMAIL_ADDRESSES": "tmtp.delivery.email_addresses.Allauth",
    "LANGUAGE_OF": None,
    "FALLBACK_EMAIL_BACKEND": "django.core.mail.backends.smtp.EmailBackend",
    "EMAIL_ROUTE": "both",
    "SIGN_IN_VIEWS": [
        "password_reset_confirm",
        "accounts:confirm",
        "account_confirm_email",
        "account_reset_password_from_key",
    ],
    # what members write to the site
    "HANDLER": None,
    "HANDLER_TRIES": 10,
    "HANDLER_BACKOFF": 30,
    "REPORT_HANDLER": None,
    "WEBHOOK_URL": "",
    "WEBHOOK_SECRET": "",
    # broadcasts
    "BROADCAST_FIELDS": {},
    "BROADCAST_SEGMENTS": {},
    # workers
    "CLAIM_FOR": 60,
    "EXPIRE_AFTER": None,
    "EXPIRE_MEMBERS": False,
    "NOTICE_AFTER": None,
    "MAILBOX_KEPT": None,
    "LARGE_KEPT": None,
    "REPORTS_KEPT": 90 * 86400,
    "ABUSE_REPORTS_KEPT": None,
    "AUDIT_KEPT": 730 * 86400,
    "RESULTS_KEPT": 30 * 86400,
}

conf = Conf("TMTP_DELIVERY", DEFAULTS)
