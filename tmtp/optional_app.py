"""What the optional apps need: other apps beside them, and the packages of an extra of `mnm-django`."""

from __future__ import annotations

from importlib.util import find_spec

from django.apps import AppConfig, apps
from django.core.exceptions import ImproperlyConfigured


class OptionalApp(AppConfig):
    """The configuration of an optional app. Without what it needs, Django does not start, and one line says why.

    `needed_packages` are the names of packages by the modules to import, and `extra` is the extra that installs them.
    """

    needed_apps: tuple[str, ...] = ("tmtp",)
    needed_packages: dict[str, str] = {}
    extra = ""

    def import_models(self) -> None:
        """Import the models. Raise ImproperlyConfigured first: they could not be imported, or their pages."""
        for app in self.needed_apps:
            if not apps.is_installed(app):
                raise ImproperlyConfigured(f'“{self.name}” needs the app “{app}”: INSTALLED_APPS += ["{app}"]')
        missing = [package for module, package in self.needed_packages.items() if find_spec(module) is None]
        if missing:
            raise ImproperlyConfigured(
                f'“{self.name}” needs {" and ".join(missing)}, not installed: pip install "mnm-django[{self.extra}]"'
            )
        super().import_models()
