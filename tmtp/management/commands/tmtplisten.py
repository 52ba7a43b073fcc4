"""`manage.py tmtplisten`: be a device in a terminal."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import ssl
import unicodedata
from argparse import ArgumentParser
from collections.abc import Callable
from pathlib import Path
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import CommandError
from django.db import transaction
from django.utils.translation import gettext as _

from ...client import Client, ClientError, Device, Message, Ping, RequestRefused
from ...client.device_file import DeviceFile
from ...client.server_address import ServerAddress, fingerprint
from ...conf import conf, format_address
from ...models import Node, User
from ...services.errors import Refused
from ...services.messages.sending import send_message
from ...services.people import devices, names, users
from ..base import TmtpCommand, text
from ..terminal import Terminal

log = logging.getLogger("tmtp.client")
LABEL = "tmtplisten"
ATTEMPTS = 3
LOOPBACK = {4: "127.0.0.1", 6: "::1"}


class Lost(logging.Handler):
    """Prints that the service does not answer, once, after a few attempts to connect: it may just be starting."""

    def __init__(self, write: Callable[[str], None]) -> None:
        super().__init__()
        self._write, self._attempts = write, 0

    def emit(self, record: logging.LogRecord) -> None:
        """Count an attempt."""
        self._attempts += 1
        if self._attempts == ATTEMPTS:
            said = _("The service does not answer. Is `manage.py runtmtp` running? Trying again: %s")
            self._write(said % record.getMessage())


class Command(TmtpCommand):
    """Register a device, connect it, and print what arrives until Ctrl-C."""

    help = "Registers a device with this alias, and prints what arrives for it, until Ctrl-C."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("alias", metavar="ALIAS", type=text, help="the name that others write to")
        parser.add_argument(
            "--device", metavar="FILE", type=Path, help="where the device is kept (beside TMTP['KEY'])"
        )
        parser.add_argument("--server", metavar="HOST:PORT", help="where the service listens (TMTP['BIND'])")
        parser.add_argument("--save", metavar="FOLDER", type=Path, help="where to save attachments")
        parser.add_argument("--reply", metavar="TEXT", type=text, help="answer each message and ping with this text")
        parser.add_argument("--ping", metavar=("TO", "TEXT"), type=text, nargs=2, help="ping an alias first")
        parser.add_argument("--hello", action="store_true", help="let the site send this device a message first")
        parser.add_argument("--once", action="store_true", help="end after the first message or ping")

    def handle(self, *args: Any, **options: Any) -> None:
        """Listen. Raise CommandError if the alias is refused, or the service does not accept the device."""
        alias, folder = options["alias"], options["save"]
        try:
            if folder:
                folder.mkdir(parents=True, exist_ok=True)
            server = server_address(options["server"])
            file = DeviceFile(options["device"] or default_file(alias))
            self._prepare(file, alias)
            client = Client(str(server), file.path or file.device, alias=alias)
            log.addHandler(Lost(self._print))
            log.propagate = False
            asyncio.run(self._listen(client, options))
        except Refused as error:
            raise CommandError(error.text_for_people()) from error
        except OSError as error:
            raise CommandError(f"{error.filename}: {error.strerror}" if error.filename else str(error)) from error
        except (ClientError, ImproperlyConfigured) as error:
            raise CommandError(str(error)) from error
        except KeyboardInterrupt:
            self.stdout.write("")

    def _prepare(self, file: DeviceFile, alias: str) -> None:
        """Register the device unless the service knows it, and let it trust the service's certificate."""
        file.device.pin = pin_of_service()
        if is_known(file.device):
            file.save()
        else:
            register(file, alias)
            said = _("registered “%(alias)s”; the device is kept in %(file)s")
            self.stdout.write(said % {"alias": alias, "file": file.path})

    async def _listen(self, client: Client, options: dict[str, Any]) -> None:
        heard = asyncio.Event()
        terminal = Terminal(self._print, options["save"])
        terminal.show(client)

        async def take(event: Message | Ping) -> None:
            await terminal.ready.wait()
            (terminal.message if isinstance(event, Message) else terminal.ping)(event)  # type: ignore[arg-type]
            if options["reply"] and not event.is_own:
                await self._reply(event, options["reply"])
            heard.set()

        client.on(Message)(take)
        client.on(Ping)(take)
        async with client:
            who = {"alias": client.alias, "site": client.site}
            self._print(_("“%(alias)s” is connected to %(site)s. Ctrl-C stops.") % who)
            terminal.ready.set()
            await self._begin(client, options)
            await (heard.wait() if options["once"] else asyncio.Event().wait())

    async def _begin(self, client: Client, options: dict[str, Any]) -> None:
        if options["ping"]:
            await client.ping(*options["ping"])
        if options["hello"]:
            hello = _("Hello **%s**, this message is from your website.") % client.alias
            await asyncio.to_thread(send_message, client.alias, _("Welcome"), hello)

    async def _reply(self, event: Message | Ping, answer: str) -> None:
        try:
            await event.reply(answer)
        except RequestRefused as error:
            self.stderr.write(_("no reply sent: %s") % error)

    def _print(self, line: str) -> None:
        self.stdout.write(line)
        self.stdout.flush()


def server_address(given: str | None) -> ServerAddress:
    """Return where the service listens, as seen from this machine. Raise ClientError or ImproperlyConfigured."""
    host, port = conf.address(given)
    try:
        there = ipaddress.ip_address(host)
    except ValueError:
        pass
    else:
        host = LOOPBACK[there.version] if there.is_unspecified else host
    return ServerAddress.parse(f"={format_address(host, port)}")


def pin_of_service() -> str:
    """Return the SHA-256 of the certificate in TMTP["CERT"]. Raise CommandError if there is none."""
    try:
        pem = Path(conf.CERT or "").read_text("ascii")
        return fingerprint(ssl.PEM_cert_to_DER_cert(pem[: pem.index(ssl.PEM_FOOTER) + len(ssl.PEM_FOOTER)]))
    except (OSError, ValueError) as error:
        raise CommandError(
            _("There is no certificate in TMTP['CERT']: `manage.py tmtpcert` makes a self-signed one.")
        ) from error


def default_file(alias: str) -> Path:
    """Return the file of an alias, in a folder beside the service's key, which is as secret. Raise CommandError."""
    if not conf.KEY:
        raise CommandError(_("TMTP['KEY'] is not set: give --device FILE."))
    name = "".join(character if character.isalnum() else "-" for character in unicodedata.normalize("NFC", alias))
    return Path(conf.KEY).parent / "devices" / f"{name[:80]}.json"


def is_known(device: Device) -> bool:
    """Return whether this is a device of a user."""
    try:
        secret = devices.hash_nodeid(device.nodeid)
    except ValueError:
        return False
    return Node.objects.filter(user__uid=device.uid, secret=secret, dropped=None).exists()


@transaction.atomic
def register(file: DeviceFile, alias: str) -> None:
    """Create a user with this alias and a device, and save it. Raise Refused or NotADeviceFile.

    If that fails, no user is left behind.
    """
    done = users.register(LABEL)
    names.reserve(alias, "newalias", user=User.objects.get(pk=done.sender.user))
    file.device = Device(done.sender.uid, done.nodeid, alias, file.device.pin)
    file.save()
