"""Checks of the files that the service needs: the certificate, its key, and the folder for large bodies.

Warnings only: the website's processes often may not read the key, and need not.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from django.core import checks

from ..conf import conf
from ..server.context import tls_context
from .options import PATH
from .rules import Messages

messages = Messages("tmtp")
MAKE_ONE = "`manage.py tmtpcert` makes a self-signed certificate there."


@checks.register("tmtp")
def check_certificate(**_: Any) -> list[checks.CheckMessage]:
    """Check that the certificate and its key can be used: W001 to W003."""
    cert, key = conf.CERT, conf.KEY
    if not (PATH.fits(cert) and PATH.fits(key)):
        return []  # E003
    if not cert or not key:
        return [
            messages.warning(1, "TMTP[“CERT”] and TMTP[“KEY”] do not name a certificate and its key.", _how_to_set())
        ]
    for file in (cert, key):
        reason = _unreadable(Path(file))
        if reason:
            return [messages.warning(2, f"The certificate cannot be used: {file}: {reason}.", _how_to_read(reason))]
    try:
        tls_context(Path(cert), Path(key))
    except (OSError, ValueError) as error:
        hint = "Both must be PEM, the key without a passphrase, and belong together."
        return [messages.warning(3, f"{cert} and {key} are not a certificate and its key: {error}.", hint)]
    return []


def _unreadable(file: Path) -> str:
    """Return why the file cannot be read, or "" if it can."""
    try:
        with file.open("rb"):
            return ""
    except OSError as error:
        return error.strerror or str(error)


def _how_to_set() -> str:
    return (
        'runtmtp needs them: TMTP = {"CERT": BASE_DIR / "cert.pem", "KEY": BASE_DIR / "key.pem"}; then '
        + MAKE_ONE.replace("there", "in these files")
    )


def _how_to_read(reason: str) -> str:
    if reason == os.strerror(2):
        return MAKE_ONE
    return "Let the user that runs runtmtp read it; when this process is another user’s, silence tmtp.W002 here."


@checks.register("tmtp")
def check_spool(**_: Any) -> list[checks.CheckMessage]:
    """Check that the spool folder can be written: W004."""
    if not PATH.fits(conf.SPOOL_DIR):
        return []  # E003
    folder = conf.spool_dir
    there = folder
    while not os.path.exists(there) and there != there.parent:
        there = there.parent
    if os.path.isdir(there) and os.access(there, os.W_OK | os.X_OK):
        return []
    hint = "Bodies over 64 KiB are kept there. Make it a folder that this user may write to, or set TMTP[“SPOOL_DIR”]."
    return [messages.warning(4, f"The spool folder {folder} cannot be written.", hint)]
