"""The settings: one dict `TMTP_DELIVERY` in the site's settings, with defaults, read when it is used.

    from tmtp.delivery.conf import conf
    conf.CLAIM_FOR

Each key is explained in docs/reference/settings.md.
"""

from __future__ import annotations

from typing import Any

from django.conf import settings

DEFAULTS: dict[str, Any] = {
    # the website around it
    "SITE_URL": "",
    "ADDRESSES": "tmtp.delivery.addresses.Allauth",
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
    # workers
    "CLAIM_FOR": 60,
    "EXPIRE_AFTER": None,
    "EXPIRE_MEMBERS": False,
    "NOTICE_AFTER": None,
    "REPORTS_KEPT": 90 * 86400,
    "RESULTS_KEPT": 30 * 86400,
}


class Conf:
    """Attribute access to `settings.TMTP_DELIVERY` over the defaults."""

    def __getattr__(self, name: str) -> Any:
        if name not in DEFAULTS:
            raise AttributeError(f"TMTP_DELIVERY has no setting {name}")
        given = getattr(settings, "TMTP_DELIVERY", {})
        return (
            given.get(name, DEFAULTS[name]) if isinstance(given, dict) else DEFAULTS[name]
        )  # else tmtp_delivery.E001


conf = Conf()
