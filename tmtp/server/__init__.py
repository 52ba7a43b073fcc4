"""A TCP listener, with or without TLS, that runs an ASGI application with scope type "tcp"."""
