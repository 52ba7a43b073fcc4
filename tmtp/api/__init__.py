"""An HTTP API for programs: send messages, follow and recall them, manage groups and users.

See docs/how-to/http-api.md.

`routes` has the operations, `application` puts them together, `tokens` says who may call them.
"""
