#!/usr/bin/env python
"""Runs the site's commands: migrate, runtmtp, createsuperuser and so on."""

import gc
import os
import sys


def main() -> None:
    """Run a command. Settings that make no sense end it with one line, and Ctrl-C without any."""
    gc.disable()  # until the command begins: nothing is garbage before, and looking for it takes a fifth of a start
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mnmsite.settings")
    try:
        from django.core.exceptions import ImproperlyConfigured

        from mnmsite.management import Utility

        try:
            Utility(sys.argv).execute()
        except ImproperlyConfigured as error:
            sys.exit(f"manage.py: {error}")
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
