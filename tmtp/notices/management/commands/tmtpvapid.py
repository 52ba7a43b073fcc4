"""`manage.py tmtpvapid`: create the key for Web Push if there is none, and print its public part."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError
from django.utils.translation import gettext as _

from tmtp.management.base import TmtpCommand

from ... import vapid
from ...conf import conf


class Command(TmtpCommand):
    """Create the file that TMTP_NOTICES["VAPID_KEY"] names. An existing file is never changed."""

    help = "Makes the key by which push services know the site, if there is none, and prints its public part."
    requires_system_checks: list[str] = []  # a check would warn of the missing key

    def handle(self, *args: Any, **options: Any) -> None:
        """Create the key if needed, and print the public part. Raise CommandError if it cannot be written or read."""
        if not conf.VAPID_KEY:
            raise CommandError(_('No file given: set TMTP_NOTICES["VAPID_KEY"] to the path of the key.'))
        try:
            with suppress(FileExistsError):
                vapid.make(Path(conf.VAPID_KEY))
            vapid.key()
        except ImportError:
            raise CommandError(_('Web Push needs pywebpush: pip install "mnm-django[notices]"')) from None
        except OSError as error:
            raise CommandError(
                _("cannot write %(file)s (%(problem)s)") % {"file": conf.VAPID_KEY, "problem": error.strerror}
            ) from None
        except vapid.NoKey as error:
            raise CommandError(str(error)) from None
        if options["verbosity"]:
            self.stdout.write(vapid.public_key())
