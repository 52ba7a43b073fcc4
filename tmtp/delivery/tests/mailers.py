"""Settings for e-mail, in the form of the Django that runs."""

from __future__ import annotations

from typing import Any

import django


def mail_settings(backend: str, **options: Any) -> dict[str, Any]:
    """Return the settings that send mail with this backend: MAILERS since Django 6.1, EMAIL_BACKEND … before."""
    if django.VERSION >= (6, 1):
        return {"MAILERS": {"default": {"BACKEND": backend, "OPTIONS": options}}}
    return {"EMAIL_BACKEND": backend, **{f"EMAIL_{name.upper()}": value for name, value in options.items()}}


def administrators(*addresses: str) -> list[Any]:
    """Return a value for ADMINS: addresses since Django 6.0, pairs of a name and an address before."""
    return [*addresses] if django.VERSION >= (6, 0) else [(address, address) for address in addresses]


def use_backend(settings: Any, backend: str, **options: Any) -> None:
    """Let the mails of a test go out with this backend. `settings` is pytest-django's fixture."""
    for name, value in mail_settings(backend, **options).items():
        setattr(settings, name, value)
