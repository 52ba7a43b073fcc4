"""The admin: users, nodes, groups, servers, waiting messages, and delivery reports of the site's messages.

All changes go through the services, never directly to the models, so that members are notified as the protocol
requires. Secrets are never shown, and texts of messages only if a member has reported them and sent them along.
"""

from . import abuse, audit_log, groups, members, members_data, nodes, sent, servers, users  # noqa: F401
