"""The settings that `startproject` makes, and those that messages need. For development only: DEBUG is on."""

import os
from pathlib import Path

BASE_DIR = Path(__file__).resolve().parent.parent
VAR = Path(os.environ.get("SHOP_VAR", BASE_DIR / "var"))
VAR.mkdir(parents=True, exist_ok=True)

SECRET_KEY = "not a secret: this is an example"  # noqa: S105
DEBUG = True
ROOT_URLCONF = "shop.urls"
INSTALLED_APPS = [
    "orders",  # before the admin: it has a template of the admin's, with the line that no worker is there
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django_q",
    "tmtp",
    "tmtp.delivery",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": VAR / "shop.sqlite3",
        "OPTIONS": {
            "transaction_mode": "IMMEDIATE",
            "timeout": 20,
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL",
        },
    }
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
LOGIN_URL = "admin:login"
STATIC_URL = "static/"
USE_TZ = True
TIME_ZONE = "Europe/London"  # Django's default is Chicago

# -- messages

ASGI_APPLICATION = "shop.asgi.application"
TMTP = {
    "SITE_NAME": "The chess shop",
    "BIND": os.environ.get("SHOP_TMTP", "127.0.0.1:7444"),
    "CERT": VAR / "cert.pem",
    "KEY": VAR / "key.pem",
    "SPOOL_DIR": VAR / "spool",
}
TMTP_DELIVERY = {"HANDLER": "orders.messages.received"}
Q_CLUSTER = {"name": "shop", "orm": "default", "workers": 1, "poll": 0.5, "timeout": 60, "retry": 120}
