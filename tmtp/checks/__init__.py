"""System checks: what would fail later is said now, with what to do. Each id is in docs/reference/checks.md.

An Error (tmtp.E...) is a mistake in the settings that nothing can work with. A Warning (tmtp.W...) is something that
is missing or unwise here; it stops no command, since another process, with other rights, may be the one to serve.
"""

from . import databases, files, options, site  # noqa: F401
