"""The admin: users, nodes, groups, servers, what waits, and what became of what the site sent.

It looks into the database and acts through the services. Rows are never added, changed or deleted past
them, so the members concerned are told as by the protocol. Neither bodies of messages nor anything secret is shown.
"""

from . import groups, members, nodes, sent, servers, users  # noqa: F401
