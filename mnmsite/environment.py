"""Read the site's settings from environment variables.

An error names the variable, and never repeats a value that may hold a password. An empty variable counts as not set.
"""

from __future__ import annotations

import importlib.util
import json
import os
import secrets
from collections.abc import Callable, Mapping
from email.utils import parseaddr
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from django.core.exceptions import ImproperlyConfigured
from environ import Env

from tmtp.conf import parse_address
from tmtp.openid.providers import split_settings
from tmtp.server.proxy import Proxies

T = TypeVar("T")

ALL_INTERFACES = ("0.0.0.0", "::")  # noqa: S104 (nothing is bound here)
SQLITE_OPTIONS = {
    # take the write lock when a transaction begins, so that it waits for its turn instead of failing half-way
    "transaction_mode": "IMMEDIATE",
    "timeout": 20,
    # readers do not wait for the writer; when COMMIT returns, the data is on disk
    "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA temp_store=MEMORY",
}


def read(name: str, parse: Callable[[str], T], default: T) -> T:
    """Return `parse(value)` of a variable, or the default if it is not set.

    Raise ImproperlyConfigured, with one line that names the variable, if `parse` raises ValueError.
    """
    text = os.environ.get(name, "").strip()
    if not text:
        return default
    try:
        return parse(text)
    except ValueError as error:
        raise ImproperlyConfigured(f"{name}: {error}") from None


def flag(text: str) -> bool:
    """Parse 1, true, yes or on as True; 0, false, no or off as False."""
    word = text.lower()
    if word in ("1", "true", "yes", "on"):
        return True
    if word in ("0", "false", "no", "off"):
        return False
    raise ValueError(f"“{text}” is neither true nor false")


def words(text: str) -> list[str]:
    """Parse a comma-separated list."""
    return [word.strip() for word in text.split(",") if word.strip()]


def networks(text: str) -> list[str]:
    """Check a comma-separated list of networks, such as 10.0.0.0/8 or 192.0.2.1, and return it."""
    Proxies(words(text))
    return words(text)


def window(text: str) -> int:
    """Parse how many unacknowledged messages a device may have at a time: 1 to 1000."""
    if not text.isdecimal() or not 1 <= int(text) <= 1000:
        raise ValueError(f"“{text}” is not a whole number from 1 to 1000")
    return int(text)


def hsts(text: str) -> int:
    """Parse for how many seconds browsers use https only: 0 to 63,072,000, which is two years."""
    if not text.isdecimal() or int(text) > 63_072_000:
        raise ValueError(f"“{text}” is not a whole number of seconds from 0 to 63072000")
    return int(text)


def address(text: str, port_in_example: int = 7443) -> str:
    """Check HOST:PORT, with an IPv6 host in brackets, and return it."""
    parse_address(text, port_in_example)
    return text


def log_format(text: str) -> str:
    """Parse the format of the log: line or json."""
    if text not in ("line", "json"):
        raise ValueError(f"“{text}” is neither line nor json")
    return text


def second_factor(text: str) -> str:
    """Parse who must have a second factor: staff, everyone or nobody."""
    if text not in ("staff", "everyone", "nobody"):
        raise ValueError(f"“{text}” is neither staff, everyone nor nobody")
    return text


def http() -> str:
    """Return the HOST:PORT the website listens on (MNM_HTTP)."""
    return read("MNM_HTTP", lambda text: address(text, 8000), "127.0.0.1:8000")


def url(text: str) -> str:
    """Check the URL of the website and return it without a trailing slash."""
    try:
        parts = urlsplit(text)
        whole = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        whole = False
    if not whole or parts.query or parts.fragment or "@" in parts.netloc:
        raise ValueError(f"“{text}” is not the beginning of a website's addresses, such as https://example.org")
    return text.rstrip("/")


def url_of(address: str) -> str:
    """Return the URL of a website that listens on HOST:PORT.

    Raise ImproperlyConfigured if it listens on all interfaces, since then its host name is unknown.
    """
    if parse_address(address)[0] in ALL_INTERFACES:
        raise ImproperlyConfigured(
            f"MNM_URL: set it to the website's address, such as https://example.org, as MNM_HTTP is {address}"
        )
    return f"http://{address}"


def limits(text: str) -> dict[str, int] | None:
    """Parse "off" as None, which lifts all limits, and "on" as {}, the default limits."""
    try:
        return {} if flag(text) else None
    except ValueError:
        raise ValueError(f"“{text}” is neither off nor on") from None


def openid(text: str) -> dict[str, Any]:
    """Parse {"auth": 0|1|2, "authby": [{...}]}. A system check examines the providers, once all of them are known."""
    try:
        value = json.loads(text)
    except ValueError as error:
        raise ValueError(f"not JSON ({error})") from None
    try:
        auth, authby = split_settings(value)
    except ImproperlyConfigured as error:
        raise ValueError(str(error)) from None
    return {"auth": auth, "authby": authby}


def email(text: str) -> dict[str, Any]:
    """Parse a URL such as smtp+tls://user:password@host:587 or console:// into Django's EMAIL_... settings."""
    scheme = text.partition("://")[0]
    schemes = {"smtp": "smtp", "smtp+tls": "smtp+tls", "smtp+ssl": "smtp+ssl", "console": "consolemail"}
    try:
        config = Env.email_url_config(text.replace(scheme, schemes[scheme], 1))
    except (KeyError, ValueError):  # its message may hold a piece of the password
        raise ValueError("must be smtp://, smtp+tls:// or smtp+ssl://user:password@host:port, or console://") from None
    ports = {"smtp": 25, "smtp+tls": 587, "smtp+ssl": 465}
    known = {name: value for name, value in config.items() if value is not None and name != "EMAIL_FILE_PATH"}
    if scheme != "console" and not known.get("EMAIL_HOST"):
        raise ValueError("the host of the mail server is missing")
    if scheme == "console":
        return {"EMAIL_BACKEND": "mnmsite.console.EmailBackend"}
    return {"EMAIL_PORT": ports[scheme], "EMAIL_TIMEOUT": 10, **known}


def mailers(backend: str, mail: Mapping[str, Any]) -> dict[str, Any]:
    """Return what `email` returns in the form of MAILERS (Django 6.1 and later), with this backend as the default."""
    names = {"EMAIL_HOST_USER": "username", "EMAIL_HOST_PASSWORD": "password"}
    options = {names.get(name, name.removeprefix("EMAIL_").lower()): value for name, value in mail.items()}
    del options["backend"]
    return {"default": {"BACKEND": backend, "OPTIONS": options}}


def sender(text: str) -> str:
    """Check the sender of the site's e-mail: an address, or “Name <address>”."""
    _, address = parseaddr(text)
    if "@" not in address or any(sign in text for sign in "\r\n"):
        raise ValueError(f"“{text}” is not an e-mail address")
    return text


def redis(text: str) -> str:
    """Check the URL of a Redis server."""
    if not text.startswith(("redis://", "rediss://", "unix://")):
        raise ValueError("must start with redis://, rediss:// or unix://")
    return text


def database(text: str) -> dict[str, Any]:
    """Parse sqlite:////path or postgres://user:password@host:port/name into an entry of DATABASES."""
    scheme = text.partition("://")[0]
    if scheme not in ("sqlite", "postgres", "postgresql"):
        raise ValueError("must be sqlite:////path or postgres://user:password@host:port/name")
    try:
        config = dict(Env.db_url_config(text))
    except ValueError:  # its message may hold a piece of the password
        raise ValueError("is not a URL (is a sign in the password not percent-encoded?)") from None
    return sqlite(Path(config["NAME"])) if scheme == "sqlite" else postgresql(config)


def sqlite(path: Path) -> dict[str, Any]:
    """Return an entry of DATABASES for this SQLite file. Its folder must exist."""
    if not path.is_absolute():
        raise ValueError("an absolute path is needed, with four slashes: sqlite:////path")
    if not path.parent.is_dir():
        raise ValueError(f"there is no folder {path.parent}")
    return {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": str(path),
        "OPTIONS": SQLITE_OPTIONS,
        # tests use a file too: an in-memory database locks differently
        "TEST": {"NAME": str(path.with_name(f"test_{path.name}"))},
    }


def postgresql(config: dict[str, Any]) -> dict[str, Any]:
    """Complete an entry of DATABASES for PostgreSQL."""
    if not config["NAME"]:
        raise ValueError("the name of the database is missing: postgres://user:password@host:port/name")
    return {**config, "CONN_MAX_AGE": 0}  # persistent connections leak when an ASGI server's threads end


def folder(path: Path) -> Path:
    """Create the folder for the site's data, readable by its owner only."""
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ImproperlyConfigured(f"MNM_VAR: cannot make the folder {path} ({error.strerror})") from None
    return path


def templates(text: str) -> list[Path]:
    """Parse the path of a folder whose templates override the site's own."""
    path = Path(text).absolute()
    if not path.is_dir():
        raise ValueError(f"there is no folder {path}")
    return [path]


def secret(path: Path, make: Callable[[], str] = lambda: secrets.token_urlsafe(50)) -> str:
    """Return the secret in this file, after creating the file if it is missing.

    Processes that start at the same time get the same secret.
    """
    if not path.exists():
        draft = path.with_name(f"{path.name}.{os.getpid()}")
        try:
            with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
                file.write(make())
            os.link(draft, path)
        except FileExistsError:
            pass  # another process was first
        except OSError as error:
            raise ImproperlyConfigured(f"MNM_VAR: cannot write {path} ({error.strerror})") from None
        finally:
            draft.unlink(missing_ok=True)
    try:
        return path.read_text().strip()
    except OSError as error:
        raise ImproperlyConfigured(f"MNM_VAR: cannot read {path} ({error.strerror})") from None


def private_key(path: Path, make: Callable[[], str], check: Callable[[str], Any]) -> str:
    """Return the private key in this file, after creating it if it is missing.

    Raise ImproperlyConfigured if `check` raises ValueError for the key.
    """
    key = secret(path, make)
    try:
        check(key)
    except ValueError as error:
        raise ImproperlyConfigured(f"MNM_VAR: {path} is {error}. Remove it, and a new one is made.") from None
    return key


def needs(variable: str, module: str, package: str) -> None:
    """Raise ImproperlyConfigured, naming the package to install, if a variable needs a module that is missing."""
    if importlib.util.find_spec(module) is None:
        raise ImproperlyConfigured(f"{variable}: needs a package that is not there: pip install {package}")
