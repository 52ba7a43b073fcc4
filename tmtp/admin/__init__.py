"""The admin: users, nodes, groups, servers, waiting messages, and delivery reports of the site's messages.

All changes go through the services, never directly to the models, so that members are notified as the protocol
requires. Bodies of messages and secrets are never shown.
"""

from . import groups, members, nodes, sent, servers, users  # noqa: F401
