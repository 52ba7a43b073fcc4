"""The admin: users, nodes, groups, servers, and what waits. It looks into the database and acts through the services.

Rows are never added, changed or deleted past the services, so the members concerned are told as by the protocol.
Neither bodies of messages nor anything secret is shown.
"""

from . import groups, members, nodes, servers, users  # noqa: F401
