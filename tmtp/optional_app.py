"""What the optional apps need: the app `tmtp` beside them."""

from __future__ import annotations

from django.apps import AppConfig, apps
from django.core.exceptions import ImproperlyConfigured


def require_tmtp(config: AppConfig) -> None:
    """Raise ImproperlyConfigured if `tmtp` is not installed. The models of the optional app could not be imported."""
    if not apps.is_installed("tmtp"):
        raise ImproperlyConfigured(f'“{config.name}” needs the app “tmtp”: INSTALLED_APPS += ["tmtp"].')
