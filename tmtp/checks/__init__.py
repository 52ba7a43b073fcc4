"""System checks, which report mistakes before anything fails. docs/reference/checks.md explains each id.

An Error (tmtp.E...) is a mistake in the settings with which nothing can work. A Warning (tmtp.W...) is something that
is missing or unwise for this process. It stops no command, since the service may run in another process, with other
permissions.
"""

from . import databases, files, monitoring, object_storage, options, site, workers  # noqa: F401
