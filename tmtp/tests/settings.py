"""The smallest site that the app runs on, with no other app of this project: the settings of `pytest tmtp/tests`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from .deprecations import refuse_deprecated

refuse_deprecated()

BASE_DIR = Path(__file__).resolve().parents[2]
VAR = Path(os.environ["MNM_VAR"])
VAR.mkdir(parents=True, exist_ok=True)

SECRET_KEY = "of the tests"
ALLOWED_HOSTS = ["127.0.0.1", "localhost"]
INSTALLED_APPS = ["django.contrib.auth", "django.contrib.contenttypes", "tmtp"]
ASGI_APPLICATION = "tmtp.tests.asgi.application"
ROOT_URLCONF = "tmtp.tests.asgi"  # it has no pages
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

TMTP: dict[str, Any] = {
    "CERT": str(VAR / "tls/cert.pem"),
    "KEY": str(VAR / "tls/key.pem"),
    "SPOOL_DIR": str(VAR / "spool"),
}
if os.environ.get("TMTP_LIMITS") == "off":
    TMTP["LIMITS"] = None


def _database(url: str) -> dict[str, Any]:
    """Return the entry of DATABASES: SQLite in VAR, or the PostgreSQL that conftest.py has started."""
    if not url:
        return {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": str(VAR / "mnm.sqlite3"),
            "OPTIONS": {
                "transaction_mode": "IMMEDIATE",
                "timeout": 20,
                "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA temp_store=MEMORY",
            },
            # a file, since an in-memory database locks differently
            "TEST": {"NAME": str(VAR / "test_mnm.sqlite3")},
        }
    parts = urlsplit(url)
    (host,) = parse_qs(parts.query)["host"]
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": parts.path[1:],
        "USER": parts.username,
        "HOST": host,
        "CONN_HEALTH_CHECKS": True,
    }


DATABASES = {"default": _database(os.environ.get("DATABASE_URL", ""))}

REDIS_URL = os.environ.get("REDIS_URL", "")
CHANNEL_LAYERS: dict[str, dict[str, Any]] = {"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}}
if REDIS_URL:
    CHANNEL_LAYERS["default"] = {
        "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer",
        "CONFIG": {"hosts": [REDIS_URL]},
    }

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "{asctime} {levelname} {name}: {message}", "style": "{"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["stderr"], "level": "INFO"},
    "loggers": {"django": {"handlers": [], "level": "INFO"}},
}
