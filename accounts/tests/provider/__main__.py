"""Run the provider: `python -m accounts.tests.provider`. It prints its URL, and ends when its input is closed."""

import socketserver
import sys
import threading
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import django
from django.core.management import call_command
from django.core.wsgi import get_wsgi_application

from . import PASSWORD


class Server(socketserver.ThreadingMixIn, WSGIServer):
    daemon_threads = True


class Quiet(WSGIRequestHandler):
    def log_message(self, *args):
        """Do not log requests."""


django.setup()
call_command("migrate", run_syncdb=True, verbosity=0)
from django.contrib.auth.models import User  # noqa: E402

for name in ("ann", "bob"):
    User.objects.create_user(name, f"{name}@university.example", PASSWORD)
server = make_server("127.0.0.1", 0, get_wsgi_application(), server_class=Server, handler_class=Quiet)
print(f"http://127.0.0.1:{server.server_port}", flush=True)
threading.Thread(target=server.serve_forever, daemon=True).start()
sys.stdin.read()
