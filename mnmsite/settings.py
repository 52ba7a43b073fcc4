"""Settings of the site. What differs between installations comes from the environment: docs/reference/settings.md.

An invalid value raises ImproperlyConfigured with one line that names the variable.
"""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import django

from . import environment as env

BASE_DIR = Path(__file__).resolve().parent.parent
VAR = env.folder(env.read("MNM_VAR", lambda text: Path(text).absolute(), BASE_DIR / "var"))

API = env.read("MNM_API", env.flag, True)  # whether other programs can use the HTTP API
PROVIDER = env.read("MNM_PROVIDER", env.flag, False)  # whether the site is its devices' OpenID provider: see the end

# -- the service

TLS = VAR / "tls"
TMTP: dict[str, Any] = {
    "BASE_TEMPLATE": "base.html",
    "SITE_NAME": env.read("TMTP_SITE_NAME", str, "mnm"),
    "BIND": env.read("TMTP_BIND", env.address, "127.0.0.1:7443"),
    "PUBLIC_ADDRESS": env.read("TMTP_PUBLIC_ADDRESS", env.address, ""),
    "PROXIES": env.read("TMTP_PROXIES", env.networks, []),
    "CERT": str(TLS / "cert.pem"),
    "KEY": str(TLS / "key.pem"),
    "SPOOL_DIR": str(VAR / "spool"),
    "CONFIRMATION": "accounts.second_factor.confirmation.question",
    "METRICS": env.read("TMTP_METRICS", lambda text: env.address(text, 9743), ""),
    "METRICS_TOKEN": env.read("TMTP_METRICS_TOKEN", str, ""),
    "NTP": {"HOSTS": env.read("TMTP_NTP", env.words, [])},
    "WINDOW": env.read("TMTP_WINDOW", env.window, 4),
    "OPENID": env.read("TMTP_OPENID", env.openid, {"auth": int(PROVIDER), "authby": []}),
    "LIMITS": env.read("TMTP_LIMITS", env.limits, {}),
}

# -- the site

DEBUG = env.read("MNM_DEBUG", env.flag, False)
SECRET_KEY = env.read("MNM_SECRET_KEY", str, "") or env.secret(VAR / "secret_key")
ALLOWED_HOSTS = env.read("MNM_ALLOWED_HOSTS", env.words, ["localhost", "127.0.0.1", "[::1]"])
URL = env.read("MNM_URL", env.url, "")
FORCE_SCRIPT_NAME = urlsplit(URL).path or None  # the site may be served below a path of its host
ROOT_URLCONF = "mnmsite.urls"
ASGI_APPLICATION = "mnmsite.asgi.application"

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "csp",
    "django_htmx",
    "axes",
    "channels",
    "django_q",
    "tmtp",
    "tmtp.delivery",
    "tmtp.mailbox",
    "tmtp.notices",
    "tmtp.pages",
    "accounts",
    "mnmsite",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "accounts.middleware.MemberMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "axes.middleware.AxesMiddleware",  # last: it replaces the response to a sign-in that is locked out
]

TEMPLATES_OF_THE_PLACE = env.read("MNM_TEMPLATES", env.templates, [])
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [*TEMPLATES_OF_THE_PLACE, BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "accounts.context_processors.site",
            ],
        },
    },
]

FORM_RENDERER = "tmtp.web.rendering.FormRenderer"

# Pages load from this site only, and have nothing inline. A view that needs more uses csp.decorators.
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": ["'self'"],
        "base-uri": ["'none'"],
        "form-action": ["'self'"],
        "frame-ancestors": ["'none'"],
        "object-src": ["'none'"],
    }
}

# Behind a proxy with TLS. daphne --proxy-headers tells Django which requests came over https.
HTTPS = env.read("MNM_HTTPS", env.flag, False)
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = SECURE_SSL_REDIRECT = HTTPS
SECURE_HSTS_SECONDS = env.read("MNM_HSTS", env.hsts, 3600) if HTTPS else 0
SECURE_REDIRECT_EXEMPT = [r"^(healthz|readyz|metrics)$"]  # probes come from nearby, without https
SECURE_HSTS_INCLUDE_SUBDOMAINS = env.read("MNM_HSTS_SUBDOMAINS", env.flag, False)
# Other names of the domain are not ours to decide on, and a place on the browsers' preload list cannot be given up.
SILENCED_SYSTEM_CHECKS = ["security.W005", "security.W021"]

GEOIP_PATH = env.read("MNM_GEOIP", str, "")  # a folder with a database of places, for the list of sessions
if GEOIP_PATH:
    env.needs("MNM_GEOIP", "geoip2", "geoip2")
ACCOUNTS_SECOND_FACTOR = env.read("MNM_SECOND_FACTOR", env.second_factor, "staff" if HTTPS else "nobody")

# Wrong passwords lock out the IP address they came from, not the member elsewhere.
AUTHENTICATION_BACKENDS = ["axes.backends.AxesStandaloneBackend", "accounts.usernames.MemberBackend"]
AXES_FAILURE_LIMIT = "accounts.signin.lockout.failure_limit"
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]
AXES_CLIENT_IP_CALLABLE = "accounts.sessions.browsers.address_of"
AXES_USERNAME_CALLABLE = "accounts.usernames.lockout_name"
AXES_COOLOFF_TIME = timedelta(minutes=15)
AXES_RESET_ON_SUCCESS = True
AXES_LOCKOUT_TEMPLATE = "accounts/locked_out.html"
AXES_DISABLE_ACCESS_LOG = True  # do not record who signed in when and from where
AXES_VERBOSE = False

LOGIN_URL = "accounts:sign_in"
LOGIN_REDIRECT_URL = "accounts:start"

AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]

# -- mail: delivered to members' devices. Everyone else gets e-mail, as do links that confirm an address or set a
# password.

EMAIL = env.read("MNM_EMAIL", env.email, env.email("console://"))
BACKEND = "tmtp.delivery.email.EmailBackend"
if django.VERSION >= (6, 1):
    MAILERS = env.mailers(BACKEND, EMAIL)
else:
    globals().update({**EMAIL, "EMAIL_BACKEND": BACKEND})
DEFAULT_FROM_EMAIL = SERVER_EMAIL = env.read("MNM_EMAIL_FROM", env.sender, "mnm@localhost")

# -- workers

TMTP_DELIVERY: dict[str, Any] = {
    "SITE_URL": URL,
    "EMAIL_ADDRESSES": "accounts.email_addresses",
    "LANGUAGE_OF": "accounts.languages.language_of",
    "FALLBACK_EMAIL_BACKEND": EMAIL["EMAIL_BACKEND"],
}

TMTP_NOTICES: dict[str, Any] = {"VAPID_KEY": str(VAR / "vapid.pem")}  # made by manage.py tmtpvapid

# -- the HTTP API

if API:
    INSTALLED_APPS += ["tmtp.api"]
TMTP_API: dict[str, Any] = {"EMAIL_ADDRESSES": "accounts.email_addresses"}

# -- the database, and messages between processes

DATABASES = {"default": env.read("DATABASE_URL", env.database, env.sqlite(VAR / "mnm.sqlite3"))}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

REDIS_URL = env.read("REDIS_URL", env.redis, "")
CHANNEL_LAYERS: dict[str, dict[str, Any]] = {"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}}
if REDIS_URL:
    CHANNEL_LAYERS["default"] = {
        "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer",
        "CONFIG": {"hosts": [REDIS_URL]},
    }

Q_CLUSTER = {
    "name": "mnm",
    "orm": "default",
    "workers": 2,
    "poll": 0.5,
    "timeout": 300,
    "retry": 600,  # longer than timeout, so that a running task is not started again
    "max_attempts": 5,
    "save_limit": 1000,
    "catch_up": False,
}

# -- pages

STATIC_URL = "static/"
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "mnmsite.static_files.StaticFilesStorage"},
}
WHITENOISE_USE_FINDERS = True  # serve files from the apps' own folders, without collectstatic

LANGUAGE_CODE = "en"
LANGUAGES = [  # those with translations, so that our texts and Django's are in the same language
    ("ar", "العربية"),
    ("de", "Deutsch"),
    ("en", "English"),
    ("es", "Español"),
    ("fr", "Français"),
    ("ja", "日本語"),
    ("pt", "Português"),
]
LOCALE_PATHS = [BASE_DIR / "locale"]
LANGUAGE_COOKIE_AGE = 365 * 86400
LANGUAGE_COOKIE_HTTPONLY = True
LANGUAGE_COOKIE_SAMESITE = "Lax"
LANGUAGE_COOKIE_SECURE = HTTPS
USE_I18N = True
TIME_ZONE = "UTC"
USE_TZ = True

# -- the site as the OpenID provider of its members' devices

if PROVIDER:
    env.needs("MNM_PROVIDER", "oauth2_provider", "django-oauth-toolkit")
    from accounts.provider import conf as provider

    address = URL or env.url_of(env.http())
    key = env.private_key(VAR / "openid_key.pem", provider.make_key, provider.public_jwks)
    INSTALLED_APPS += provider.APPS
    OAUTH2_PROVIDER = provider.oauth2_settings(address, key)
    TMTP["OPENID"]["authby"] += [provider.entry(TMTP["SITE_NAME"], address, key)]
    SILENCED_SYSTEM_CHECKS += ["oauth2_provider.W008"]  # http redirects go to the device's own computer only

# -- the log: one line for each event, on stderr

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "line": {"format": "{asctime} {levelname} {name}: {message}", "style": "{"},
        "json": {"()": "tmtp.logs.JsonFormatter"},
    },
    "filters": {  # against secrets and addresses of members in records of Django's and others
        "errors": {"()": "tmtp.logs.Private"},
        "requests": {"()": "tmtp.logs.PrivateRequests"},
    },
    "handlers": {
        "stderr": {
            "class": "logging.StreamHandler",
            "formatter": env.read("MNM_LOG", env.log_format, "line"),
            "filters": ["errors", "requests"],
        }
    },
    "root": {"handlers": ["stderr"], "level": "INFO"},
    "loggers": {
        "django": {"handlers": [], "level": "INFO"},
        "axes": {"level": "WARNING"},
        "daphne": {"level": "WARNING"},
        "django-q": {"level": "WARNING"},
        "fido2": {"level": "WARNING"},  # it logs who signs in with which passkey
    },
}
