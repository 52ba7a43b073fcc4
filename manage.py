#!/usr/bin/env python
"""Runs the site's commands: migrate, runtmtp, createsuperuser and so on."""

import os
import sys


def main() -> None:
    """Run a command. Settings that make no sense end it with one line, and Ctrl-C without any."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mnmsite.settings")
    try:
        from django.core.exceptions import ImproperlyConfigured
        from django.core.management import execute_from_command_line

        try:
            execute_from_command_line(sys.argv)
        except ImproperlyConfigured as error:
            sys.exit(f"manage.py: {error}")
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
