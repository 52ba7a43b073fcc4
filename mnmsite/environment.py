"""Reads the site's settings from environment variables, and names the variable when its value makes no sense.

A variable that is empty counts as not set. A message never repeats a value that may hold a password.
"""

from __future__ import annotations

import importlib.util
import json
import os
import secrets
from collections.abc import Callable
from email.utils import parseaddr
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from django.core.exceptions import ImproperlyConfigured
from environ import Env

T = TypeVar("T")

WILDCARDS = ("0.0.0.0", "[::]")  # noqa: S104 (a name for them, nothing is bound here)
SQLITE_OPTIONS = {
    # a transaction takes the write lock when it begins, so that it waits for its turn instead of failing half-way
    "transaction_mode": "IMMEDIATE",
    "timeout": 20,
    # readers never wait for the writer; a commit is on disk when it returns
    "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA temp_store=MEMORY",
}


def read(name: str, parse: Callable[[str], T], default: T) -> T:
    """Return what `parse` makes of the variable; its ValueError becomes one line that names the variable."""
    text = os.environ.get(name, "").strip()
    if not text:
        return default
    try:
        return parse(text)
    except ValueError as error:
        raise ImproperlyConfigured(f"{name}: {error}") from None


def flag(text: str) -> bool:
    """Parse yes or no."""
    word = text.lower()
    if word in ("1", "true", "yes", "on"):
        return True
    if word in ("0", "false", "no", "off"):
        return False
    raise ValueError(f"“{text}” is neither true nor false")


def words(text: str) -> list[str]:
    """Parse a list with commas."""
    return [word.strip() for word in text.split(",") if word.strip()]


def window(text: str) -> int:
    """Parse how many messages may wait for a device's acknowledgment at a time."""
    if not text.isdecimal() or not 1 <= int(text) <= 1000:
        raise ValueError(f"“{text}” is not a whole number from 1 to 1000")
    return int(text)


def address(text: str, port_for_example: int = 7443) -> str:
    """Check HOST:PORT, an IPv6 host in brackets."""
    host, _, port = text.rpartition(":")
    bare = host.removeprefix("[").removesuffix("]")
    if not bare or (":" in bare) != host.startswith("[") or not port.isdecimal() or int(port) > 65535:
        example = f"127.0.0.1:{port_for_example} or [::1]:{port_for_example}"
        raise ValueError(f"“{text}” is not HOST:PORT, such as {example}")
    return text


def http() -> str:
    """Return where the website listens."""
    return read("MNM_HTTP", lambda text: address(text, 8000), "127.0.0.1:8000")


def url(text: str) -> str:
    """Check the beginning of the website's addresses; a slash at its end does not count."""
    try:
        parts = urlsplit(text)
        whole = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        whole = False
    if not whole or parts.query or parts.fragment or "@" in parts.netloc:
        raise ValueError(f"“{text}” is not the beginning of a website's addresses, such as https://example.org")
    return text.rstrip("/")


def url_of(address: str) -> str:
    """Return the website's address on this machine, from where it listens."""
    host = address.rpartition(":")[0]
    if host in WILDCARDS:
        raise ImproperlyConfigured(
            f"MNM_URL: set it to the website's address, such as https://example.org, as MNM_HTTP is {address}"
        )
    return f"http://{address}"


def limits(text: str) -> dict[str, int] | None:
    """Parse "off" (None: no limits) or "on" (the limits of tmtp)."""
    try:
        return {} if flag(text) else None
    except ValueError:
        raise ValueError(f"“{text}” is neither off nor on") from None


def openid(text: str) -> dict[str, Any]:
    """Parse {"auth": 0|1|2, "authby": [{...}]}."""
    try:
        value = json.loads(text)
    except ValueError as error:
        raise ValueError(f"not JSON ({error})") from None
    if not isinstance(value, dict) or not value.keys() <= {"auth", "authby"}:
        raise ValueError('must be an object {"auth": ..., "authby": [...]}')
    auth, authby = value.get("auth", 0), value.get("authby", [])
    if type(auth) is not int or auth not in (0, 1, 2):
        raise ValueError('"auth" must be 0 (none), 1 (to register) or 2 (to register and to log in)')
    if not isinstance(authby, list) or not all(isinstance(provider, dict) for provider in authby):
        raise ValueError('"authby" must be a list of objects, one for each provider')
    return {"auth": auth, "authby": authby}


def email(text: str) -> dict[str, Any]:
    """Parse smtp+tls://user:password@host:587 or console:// into Django's settings for mail."""
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
    return {"EMAIL_PORT": ports.get(scheme, 25), "EMAIL_TIMEOUT": 10, **known}


def sender(text: str) -> str:
    """Check whom mails are from: an address, or “Name <address>”."""
    _, address = parseaddr(text)
    if "@" not in address or any(sign in text for sign in "\r\n"):
        raise ValueError(f"“{text}” is not an e-mail address")
    return text


def redis(text: str) -> str:
    """Check the address of a Redis server."""
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
    """Return an entry for SQLite; the file's folder must be there."""
    if not path.is_absolute():
        raise ValueError("an absolute path is needed, with four slashes: sqlite:////path")
    if not path.parent.is_dir():
        raise ValueError(f"there is no folder {path.parent}")
    return {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": str(path),
        "OPTIONS": SQLITE_OPTIONS,
        # tests use a file too: a database in memory locks differently
        "TEST": {"NAME": str(path.with_name(f"test_{path.name}"))},
    }


def postgresql(config: dict[str, Any]) -> dict[str, Any]:
    """Complete an entry for PostgreSQL."""
    if not config["NAME"]:
        raise ValueError("the name of the database is missing: postgres://user:password@host:port/name")
    return {**config, "CONN_MAX_AGE": 0}  # a connection outlives no request: threads of an ASGI server come and go


def folder(path: Path) -> Path:
    """Make the folder of all that the site keeps, for its owner only."""
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ImproperlyConfigured(f"MNM_VAR: cannot make the folder {path} ({error.strerror})") from None
    return path


def templates(text: str) -> list[Path]:
    """Parse the path of a folder of templates that go before the site's own."""
    path = Path(text).absolute()
    if not path.is_dir():
        raise ValueError(f"there is no folder {path}")
    return [path]


def secret(path: Path, make: Callable[[], str] = lambda: secrets.token_urlsafe(50)) -> str:
    """Return the secret kept in this file, made when it is not there; processes that start together get the same."""
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
    """Return the private key kept in this file, made when it is not there; `check` raises ValueError for another."""
    key = secret(path, make)
    try:
        check(key)
    except ValueError as error:
        raise ImproperlyConfigured(f"MNM_VAR: {path} is {error}. Remove it, and a new one is made.") from None
    return key


def needs(variable: str, module: str, package: str) -> None:
    """Say what to install for what a variable asks for, when it is not there."""
    if importlib.util.find_spec(module) is None:
        raise ImproperlyConfigured(f"{variable}: needs a package that is not there: pip install {package}")
