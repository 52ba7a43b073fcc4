import re
import subprocess
import sys
import tomllib
from datetime import timedelta
from importlib import metadata
from pathlib import Path

import pytest
from channels.routing import ProtocolTypeRouter
from django.apps import AppConfig
from django.core.asgi import get_asgi_application
from django.core.checks import ERROR, run_checks
from django.core.exceptions import ImproperlyConfigured
from django.db import connection
from django.utils import timezone

from tmtp import checks, conf, optional_app
from tmtp.checks import databases, files, monitoring, options, site, workers
from tmtp.models import ServerLease
from tmtp.server.certificate import make_self_signed

ROOT = Path(__file__).resolve().parents[2]
PUBSUB = "channels_redis.pubsub.RedisPubSubChannelLayer"
PROVIDER = {
    "label": "Example",
    "login": ["https://id.example/login", "a=b"],
    "token": ["https://id.example/token", "a=b"],
    "std": [],
    "keys": "https://id.example/jwks",
    "iss": "https://id.example",
    "aud": "us",
}


def ids(messages):
    return [message.id for message in messages]


def without(*names):
    return {name: value for name, value in PROVIDER.items() if name not in names}


@pytest.mark.django_db  # Django 6 checks the databases too, by default
def test_the_site_itself_has_no_errors():
    assert [message for message in run_checks(tags=["tmtp"]) if message.level >= ERROR] == []


def test_every_setting_is_checked():
    assert set(options.RULES) | options.CHECKED_ELSEWHERE == set(conf.DEFAULTS)


def test_the_defaults_pass(settings):
    settings.TMTP = {**conf.DEFAULTS, "LIMITS": dict(conf.DEFAULT_LIMITS)}
    assert options.check_options() == []
    del settings.TMTP
    assert options.check_options() == []


def test_what_is_no_dict_has_the_defaults_so_that_checks_can_say_so(settings):
    settings.TMTP = None
    assert conf.conf.WINDOW == 4
    assert [found.id for found in options.check_options()] == ["tmtp.E001"]


@pytest.mark.parametrize(
    ("tmtp", "id_", "hint"),
    [
        (["BIND"], "tmtp.E001", "TMTP ="),
        ({"WINDOWS": 4}, "tmtp.E002", "“WINDOW”"),
        ({"bind": "127.0.0.1:1"}, "tmtp.E002", "“BIND”"),
        ({"QQQ": 4}, "tmtp.E002", "use one of: ABUSE_REPORTS_TO, BASE_TEMPLATE"),
        ({"WINDOW": 0}, "tmtp.E003", "1 to 1000"),
        ({"WINDOW": True}, "tmtp.E003", "1 to 1000"),
        ({"WINDOW": "4"}, "tmtp.E003", "1 to 1000"),
        ({"BIND": "7443"}, "tmtp.E003", "HOST:PORT"),
        ({"BIND": "127.0.0.1:77777"}, "tmtp.E003", "HOST:PORT"),
        ({"BIND": ""}, "tmtp.E003", "HOST:PORT"),
        ({"BIND": "mnm..org:7443"}, "tmtp.E003", "HOST:PORT"),
        ({"BIND": "mnm" * 30 + ".org:7443"}, "tmtp.E003", "HOST:PORT"),
        ({"BIND": "mnm\0:7443"}, "tmtp.E003", "HOST:PORT"),
        ({"BIND": None}, "tmtp.E003", "HOST:PORT"),
        ({"PUBLIC_ADDRESS": "mnm.example.org"}, "tmtp.E003", "HOST:PORT"),
        ({"PUBLIC_ADDRESS": "mnm.example.org:0"}, "tmtp.E003", "HOST:PORT"),
        ({"PROXIES": "10.0.0.0/8"}, "tmtp.E003", "a list of networks"),
        ({"PROXIES": ["10.0.0.1/8"]}, "tmtp.E003", "a list of networks"),
        ({"PROXIES": [7]}, "tmtp.E003", "a list of networks"),
        ({"PROXIES": None}, "tmtp.E003", "a list of networks"),
        ({"METRICS": "9743"}, "tmtp.E003", "127.0.0.1:9743"),
        ({"METRICS": None}, "tmtp.E003", "or empty"),
        ({"METRICS": "127.0.0.1:http"}, "tmtp.E003", "127.0.0.1:9743"),
        ({"METRICS_TOKEN": "short"}, "tmtp.E003", "16 or more"),
        ({"METRICS_TOKEN": "naïve, and longer than 16"}, "tmtp.E003", "ASCII"),
        ({"RESEND_AFTER": 0}, "tmtp.E003", "seconds above 0"),
        ({"POLL": -1}, "tmtp.E003", "seconds above 0"),
        ({"LOGIN_TIMEOUT": "5"}, "tmtp.E003", "seconds above 0"),
        ({"IDLE_TIMEOUT": float("inf")}, "tmtp.E003", "seconds above 0"),
        ({"OPEN_REGISTRATION": "no"}, "tmtp.E003", "True or False"),
        ({"SITE_NAME": ""}, "tmtp.E003", "name"),
        ({"SITE_NAME": None}, "tmtp.E003", "name"),
        ({"SITE_NAME": "Caf\udce9"}, "tmtp.E003", "UTF-8"),
        ({"SITE_ALIAS": "short"}, "tmtp.E003", "8 or more"),
        ({"SITE_ALIAS": "our caf\udce9"}, "tmtp.E003", "8 or more"),
        ({"MAX_BODY": 0}, "tmtp.E003", "octets"),
        ({"CERT": 7}, "tmtp.E003", "path"),
        ({"KEY": "key\0pem"}, "tmtp.E003", "path"),
        ({"SPOOL_DIR": 7}, "tmtp.E003", "path"),
        ({"SPOOL_DIR": "\ud800"}, "tmtp.E003", "path"),
        ({"LIMITS": {"links_per_adress": 5}}, "tmtp.E004", "“links_per_address”"),
        ({"LIMITS": {"links_per_address": 0}}, "tmtp.E005", "None lifts"),
        ({"LIMITS": {"links_per_address": "5"}}, "tmtp.E005", "None lifts"),
        ({"LIMITS": {"pings_per_pair": 10**400}}, "tmtp.E005", "from 1 to 10**18"),
        ({"LIMITS": 5}, "tmtp.E005", "None"),
        ({"STORE_PATIENCE": 10**400}, "tmtp.E003", "at most 1,000,000,000"),
        ({"MIN_FREE": 10**19}, "tmtp.E003", "from 0 to 10**18"),
        ({"PROXIES": [10]}, "tmtp.E003", "networks"),
        ({"OPENID": {"auth": 3, "authby": []}}, "tmtp.E006", "OPENID"),
        ({"OPENID": {"auth": 1, "authby": []}}, "tmtp.E006", "OPENID"),
        ({"OPENID": {"auth": 1, "authby": [without("iss")]}}, "tmtp.E006", "OPENID"),
        ({"OPENID": {"auth": 1, "authby": [without("aud")]}}, "tmtp.E006", "OPENID"),
        ({"OPENID": []}, "tmtp.E006", "OPENID"),
        ({"NTP": ["ntp.example.org"]}, "tmtp.E012", "HOSTS"),
        ({"NTP": {"HOST": ["ntp.example.org"]}}, "tmtp.E012", "“HOSTS”"),
        ({"NTP": {"HOSTS": "ntp.example.org"}}, "tmtp.E012", "HOST:PORT"),
        ({"NTP": {"HOSTS": ["ntp.example.org:ntp"]}}, "tmtp.E012", "HOST:PORT"),
        ({"NTP": {"HOSTS": ["ntp.example.org:0"]}}, "tmtp.E012", "HOST:PORT"),
        ({"NTP": {"HOSTS": [""]}}, "tmtp.E012", "HOST:PORT"),
        ({"NTP": {"HOSTS": ["::1"]}}, "tmtp.E012", "HOST:PORT"),
        ({"NTP": {"RETRIES": -1}}, "tmtp.E012", "0 to 100"),
    ],
)
def test_a_mistake_in_the_settings(settings, tmtp, id_, hint):
    settings.TMTP = tmtp
    (message,) = options.check_options()
    assert message.id == id_
    assert hint in message.hint


@pytest.mark.parametrize(
    "tmtp",
    [
        {"LIMITS": None},
        {"LIMITS": {"links_per_address": None}},
        {"CERT": Path("/x"), "KEY": "/y"},
        {"POLL": 1},
        {"SITE_ALIAS": ""},
        {"SITE_ALIAS": "the chess club"},
        {"BIND": "[::]:0"},
        {"PUBLIC_ADDRESS": "mnm.example.org:443"},
        {"OPENID": {"auth": 2, "authby": [{}, PROVIDER]}},
        {"METRICS": "[::1]:9743", "METRICS_TOKEN": "0123456789abcdef"},
        {"NTP": {}},
        {"NTP": {"HOSTS": ["ntp.example.org", "ntp.example.org:1123", "[::1]", "[::1]:123"], "RETRIES": 0}},
    ],
)
def test_what_is_right(settings, tmtp):
    settings.TMTP = tmtp
    assert options.check_options() == []


def test_ntp_needs_its_package(settings, monkeypatch):
    settings.TMTP = {"NTP": {"HOSTS": ["ntp.example.org"]}}
    monkeypatch.setattr(options.importlib.util, "find_spec", lambda name: None)
    (message,) = options.check_options()
    assert (message.id, message.hint) == ("tmtp.E012", 'pip install "mnm-django[ntp]"')


def test_metrics_need_their_package(settings, monkeypatch):
    settings.TMTP = {"METRICS": "127.0.0.1:9743"}
    assert monitoring.check_metrics() == []
    monkeypatch.setattr(monitoring.importlib.util, "find_spec", lambda name: None)
    (message,) = monitoring.check_metrics()
    assert (message.id, message.hint) == ("tmtp.E014", 'pip install "mnm-django[metrics]"')


@pytest.mark.parametrize(
    ("address", "token", "ids"),
    [
        ("0.0.0.0:9743", "", ["tmtp.W014"]),
        ("metrics.example.org:9743", "", ["tmtp.W014"]),
        ("[::]:9743", "0123456789abcdef", []),
        ("localhost:9743", "", []),
        ("[::1]:9743", "", []),
        ("not an address", "", []),
    ],
)
def test_metrics_for_others_need_a_token(settings, address, token, ids):
    settings.TMTP = {"METRICS": address, "METRICS_TOKEN": token}
    assert [message.id for message in monitoring.check_metrics()] == ids


def test_a_provider_without_iss_is_told_so(settings):
    settings.TMTP = {"OPENID": {"auth": 1, "authby": [without("iss")]}}
    (message,) = options.check_options()
    assert "iss" in message.msg


# -- files


def test_certificate(settings, tmp_path):
    settings.TMTP = {}
    (unset,) = files.check_certificate()
    assert unset.id == "tmtp.W001"
    assert "tmtpcert" in unset.hint
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    settings.TMTP = {"CERT": str(cert), "KEY": str(key)}
    (missing,) = files.check_certificate()
    assert missing.id == "tmtp.W002"
    assert str(cert) in missing.msg
    assert "tmtpcert" in missing.hint
    make_self_signed(cert, key, ["localhost"])
    assert files.check_certificate() == []
    make_self_signed(tmp_path / "other.pem", key, ["localhost"])
    assert ids(files.check_certificate()) == ["tmtp.W003"]
    cert.write_text("no certificate")
    assert ids(files.check_certificate()) == ["tmtp.W003"]


def test_certificate_that_is_a_folder(settings, tmp_path):
    settings.TMTP = {"CERT": str(tmp_path), "KEY": str(tmp_path)}
    assert ids(files.check_certificate()) == ["tmtp.W002"]


def test_spool(settings, tmp_path, monkeypatch):
    settings.TMTP = {"SPOOL_DIR": tmp_path / "not" / "yet"}
    assert files.check_spool() == []
    assert not (tmp_path / "not").exists()
    (tmp_path / "file").touch()
    settings.TMTP = {"SPOOL_DIR": tmp_path / "file"}
    assert ids(files.check_spool()) == ["tmtp.W004"]
    settings.TMTP = {"SPOOL_DIR": tmp_path}
    monkeypatch.setattr("os.access", lambda *_: False)
    assert ids(files.check_spool()) == ["tmtp.W004"]


# -- databases


def test_sqlite_options():
    good = {"init_command": "PRAGMA synchronous=FULL; pragma journal_mode = WAL;", "transaction_mode": "immediate"}
    assert list(databases._check_sqlite(good)) == []
    assert ids(databases._check_sqlite({})) == ["tmtp.W005", "tmtp.W006"]
    assert ids(databases._check_sqlite({**good, "transaction_mode": "DEFERRED"})) == ["tmtp.W006"]
    (message,) = databases._check_sqlite({**good, "init_command": "PRAGMA foreign_keys=ON"})
    assert '"transaction_mode": "IMMEDIATE"' in message.hint
    assert "journal_mode=WAL" in message.hint


def test_old_sqlite(monkeypatch):
    monkeypatch.setattr("sqlite3.sqlite_version_info", (3, 34, 1))
    good = {"init_command": "PRAGMA journal_mode=WAL", "transaction_mode": "IMMEDIATE"}
    assert ids(databases._check_sqlite(good)) == ["tmtp.E010"]


def test_another_kind_of_database(monkeypatch):
    monkeypatch.setattr(type(connection._connections["default"]), "vendor", "mysql")
    assert ids(databases.check_database()) == ["tmtp.E008"]


class Elsewhere:
    def db_for_write(self, model, **hints):
        return "elsewhere" if model._meta.app_label == "tmtp" else None


def test_a_router_that_moves_the_tables(settings):
    settings.DATABASE_ROUTERS = [Elsewhere()]
    assert ids(databases.check_database()) == ["tmtp.E007"]


class AccountsElsewhere:
    def db_for_write(self, model, **hints):
        return "members" if model._meta.app_label == "auth" else None


def test_a_router_that_moves_the_accounts(settings):
    settings.DATABASE_ROUTERS = [AccountsElsewhere()]
    assert ids(databases.check_database()) == ["tmtp.E011"]


def test_an_ordinary_check_leaves_the_database_alone():
    # without the mark django_db, a query would fail this test
    databases.check_database()
    assert databases.check_servers() == []


@pytest.mark.django_db
def test_servers(settings, monkeypatch):
    def lease(host, seconds=0, address="a:1"):
        seen = timezone.now() - timedelta(seconds=seconds)
        ServerLease.objects.create(host=host, address=address, pid=1, seen=seen)

    lease("here")
    lease("here", seconds=3600)
    lease("here", address="")  # a website's lease
    assert databases.check_servers(databases=["default"]) == []
    lease("here")
    assert databases.check_servers(databases=["default"]) == []
    monkeypatch.setattr(databases, "is_pooled", lambda: True)
    assert ids(databases.check_servers(databases=["default"])) == ["tmtp.W008"]
    settings.CHANNEL_LAYERS = {"default": {"BACKEND": "tmtp.tests.test_checks.Shared"}}
    assert databases.check_servers(databases=["default"]) == []
    lease("there")
    expected = ["tmtp.W007"] if connection.vendor == "sqlite" else []
    assert ids(databases.check_servers(databases=["default"])) == expected


class Shared:
    """A channel layer that is not in memory."""


@pytest.mark.django_db
def test_servers_before_the_first_migrate():
    with connection.cursor() as cursor:  # rolled back with the test
        cursor.execute("ALTER TABLE tmtp_serverlease RENAME TO tmtp_serverlease_away")
    assert databases.check_servers(databases=["default"]) == []


# -- the site


async def plain(scope, receive, send):
    pass


class Middleware:
    def __init__(self, app):
        self.app = app

    async def __call__(self, scope, receive, send):
        await self.app(scope, receive, send)


application = ProtocolTypeRouter({"http": plain})


def test_routes():
    assert site.has_route(ProtocolTypeRouter({"http": plain, "tcp": plain})) is True
    assert site.has_route(Middleware(ProtocolTypeRouter({"tcp": plain}))) is True
    assert site.has_route(Middleware(ProtocolTypeRouter({"http": plain}))) is False
    assert site.has_route(get_asgi_application()) is False
    assert site.has_route(plain) is None
    knot = Middleware(None)
    knot.app = knot
    assert site.has_route(knot) is None


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("tmtp.tests.asgi.application", []),
        (None, ["tmtp.W009"]),
        ("nowhere.application", ["tmtp.W010"]),
        ("nonsense", ["tmtp.W010"]),
        ("tmtp.tests.test_checks.missing", ["tmtp.W010"]),
        ("tmtp.tests.test_checks.application", ["tmtp.W011"]),
        ("tmtp.tests.test_checks.plain", []),
    ],
)
def test_application(settings, name, found):
    settings.ASGI_APPLICATION = name
    assert ids(site.check_route()) == found


@pytest.fixture
def with_django_q(settings, monkeypatch):
    """Let django-q2 be installed, and the package redis not."""
    if "django_q" not in settings.INSTALLED_APPS:
        settings.INSTALLED_APPS = [*settings.INSTALLED_APPS, "django_q"]
    monkeypatch.setattr(workers, "find_spec", lambda name: None)


@pytest.mark.parametrize(
    ("cluster", "found"),
    [
        ({"orm": "default", "timeout": 300, "retry": 600}, []),
        ({"broker_class": "shop.Broker", "timeout": 300, "retry": 600}, []),
        ({"orm": "default", "timeout": 600, "retry": 600}, ["tmtp.W012"]),
        ({"orm": "default", "timeout": 90}, ["tmtp.W012"]),
        ({"orm": "default", "retry": 600}, ["tmtp.W012"]),
        ({"orm": "default"}, ["tmtp.W012"]),
        ({"timeout": 300, "retry": 600}, ["tmtp.E019"]),
        ({}, ["tmtp.E019"]),
        ({"redis": {"host": "localhost"}, "timeout": 300, "retry": 600}, ["tmtp.E019"]),
        ({"sqs": {"aws_region": "x"}}, ["tmtp.E019"]),
        ({"orm": "elsewhere"}, ["tmtp.E019"]),
        ({"orm": True}, ["tmtp.E019"]),
        ({"orm": ["default"]}, ["tmtp.E019"]),
        ({"orm": "default", "timeout": "300", "retry": 600}, ["tmtp.E018"]),
        ({"orm": "default", "timeout": -1, "retry": True}, ["tmtp.E018"] * 2),
        ({"orm": "default", "timeout": 300, "retry": 600, "workers": "4"}, ["tmtp.E018"]),
        (None, ["tmtp.E018"]),
        ("orm", ["tmtp.E018"]),
    ],
)
def test_workers_and_that_each_hint_works_when_it_is_copied(settings, with_django_q, cluster, found):
    settings.Q_CLUSTER = cluster
    messages = workers.check_workers()
    assert ids(messages) == found
    for message in messages:
        if line := re.search(r"Q_CLUSTER \|?= .*", message.hint):
            names = {"Q_CLUSTER": dict(cluster) if isinstance(cluster, dict) else cluster}
            exec(line[0], names)
            settings.Q_CLUSTER = names["Q_CLUSTER"]
            assert workers.check_workers() == []


def test_sites_without_q_cluster(settings, with_django_q):
    del settings.Q_CLUSTER
    assert ids(workers.check_workers()) == ["tmtp.E019"]


@pytest.mark.parametrize(
    "layers",
    [
        {"default": {"BACKEND": "nothing.here"}},
        {"default": {}},
        {"default": 7},
        {"other": {"BACKEND": "channels.layers.InMemoryChannelLayer"}},
        {"default": {"BACKEND": "builtins.dict"}},
        {"default": {"BACKEND": PUBSUB, "CONFIG": {"hosts": ["localhost"]}}},
        {"default": {"BACKEND": PUBSUB, "CONFIG": {"hosts": "redis://localhost"}}},
        {"default": {"BACKEND": PUBSUB, "CONFIG": {"hosts": [7]}}},
        {"default": {"BACKEND": PUBSUB, "CONFIG": 7}},
        7,
    ],
)
def test_a_channel_layer_that_is_none(settings, layers):
    settings.CHANNEL_LAYERS = layers
    assert [message.id for message in site.check_layer()] == ["tmtp.E015"]


@pytest.mark.parametrize(
    "layers",
    [
        {},
        {"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}},
        {"default": {"BACKEND": PUBSUB}},
        {"default": {"BACKEND": PUBSUB, "CONFIG": {"hosts": ["redis://localhost:1", ("localhost", 2)]}}},
    ],
)
def test_a_channel_layer(settings, layers):
    settings.CHANNEL_LAYERS = layers
    assert not site.check_layer()


OPTIONAL = sorted(path.parent.name for path in ROOT.glob("tmtp/*/apps.py"))


def configuration(name):
    """Return the configuration of an optional app, as Django makes it."""
    return AppConfig.create(f"tmtp.{name}")


@pytest.mark.parametrize("name", OPTIONAL)
def test_an_optional_app_without_what_it_needs(monkeypatch, name):
    config = configuration(name)
    monkeypatch.setattr(optional_app.apps, "is_installed", lambda other: True)
    for needed in config.needed_apps:
        with monkeypatch.context() as patch, pytest.raises(ImproperlyConfigured) as error:
            patch.setattr(optional_app.apps, "is_installed", lambda other, needed=needed: other != needed)
            config.import_models()
        assert str(error.value) == f'“tmtp.{name}” needs the app “{needed}”: INSTALLED_APPS += ["{needed}"]'
    for module in config.needed_packages:
        with monkeypatch.context() as patch, pytest.raises(ImproperlyConfigured) as error:
            patch.setattr(optional_app, "find_spec", lambda other, module=module: None if other == module else True)
            config.import_models()
        assert str(error.value).endswith(f'not installed: pip install "mnm-django[{name}]"')


def test_each_optional_app_has_an_extra_with_what_it_needs():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    for config in map(configuration, OPTIONAL):
        for package in map(distribution, config.needed_packages.values()):
            via = {name for one in extras[config.extra] for name in required_by(one)}
            assert package in via, (config.name, package)


def distribution(name):
    return re.split(r"[^a-z0-9-]", name.lower().replace("_", "-"))[0]


def required_by(requirement):
    """Return the package of a requirement, and those that it requires itself."""
    name = distribution(requirement)
    return {name, *(distribution(one.split(";")[0]) for one in metadata.requires(name) or ())}


def test_no_tasks(settings):
    settings.INSTALLED_APPS = [name for name in settings.INSTALLED_APPS if name != "django_q"]
    settings.Q_CLUSTER = {}
    assert workers.check_workers() == []


# -- all checks


MINIMAL = """
import sys
from django.conf import settings
settings.configure(
    SECRET_KEY="x", INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "tmtp"],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": "db.sqlite3"}},
)
from django.core.management import execute_from_command_line
execute_from_command_line(["manage.py", "check"])
"""


def test_a_site_with_nothing_but_the_app_is_told_what_to_do(tmp_path):
    command = [sys.executable, "-c", MINIMAL]
    result = subprocess.run(command, cwd=tmp_path, env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert set(re.findall(r"tmtp\.\w\d+", result.stderr)) == {"tmtp.W001", "tmtp.W005", "tmtp.W006", "tmtp.W009"}


def test_every_id_is_documented():
    folder = Path(checks.__file__).parent
    text = "".join(path.read_text() for path in folder.glob("*.py"))
    used = set(re.findall(r'"(tmtp\.[EW]\d{3})"', text))
    used |= {f"tmtp.E{int(number):03}" for number in re.findall(r"messages\.error\(\s*(\d+),", text)}
    used |= {f"tmtp.W{int(number):03}" for number in re.findall(r"messages\.warning\(\s*(\d+),", text)}
    page = (ROOT / "docs/reference/checks.md").read_text()
    assert len(used) == 34
    assert used == set(re.findall(r"^\| (tmtp\.[EW]\d{3})", page, re.MULTILINE))
