"""A listener for raw TCP, with or without TLS, that drives an ASGI application with scope type "tcp"."""
