#!/usr/bin/env python
"""Runs the site's commands: migrate, runtmtp, createsuperuser and so on."""

import os
import sys

from django.core.exceptions import ImproperlyConfigured
from django.core.management import execute_from_command_line


def main() -> None:
    """Run the command given; settings that make no sense end it with one line."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mnmsite.settings")
    try:
        execute_from_command_line(sys.argv)
    except ImproperlyConfigured as error:
        sys.exit(f"manage.py: {error}")


if __name__ == "__main__":
    main()
