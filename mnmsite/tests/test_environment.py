import stat

import pytest
from django.core.exceptions import ImproperlyConfigured

from mnmsite import environment as env

pytestmark = pytest.mark.once

NAME = "MNM_TEST_VARIABLE"


@pytest.fixture
def read(monkeypatch):
    def reader(text, parse, default=None):
        monkeypatch.setenv(NAME, text)
        return env.read(NAME, parse, default)

    return reader


def test_not_set_or_empty_is_the_default(monkeypatch, read):
    monkeypatch.delenv(NAME, raising=False)
    assert env.read(NAME, env.window, 4) == 4
    assert read(" ", env.window, 4) == 4


@pytest.mark.parametrize(
    ("parse", "text", "value"),
    [
        (env.flag, "True", True),
        (env.flag, "0", False),
        (env.hsts, "0", 0),
        (env.hsts, "31536000", 31_536_000),
        (env.words, "a.example, b.example,", ["a.example", "b.example"]),
        (env.window, "16", 16),
        (env.address, "0.0.0.0:7443", "0.0.0.0:7443"),
        (env.address, "[::]:0", "[::]:0"),
        (env.limits, "off", None),
        (env.limits, "on", {}),
        (env.openid, '{"auth": 1, "authby": [{}]}', {"auth": 1, "authby": [{}]}),
        (env.openid, "{}", {"auth": 0, "authby": []}),
        (env.sender, "Mailer <mail@example.org>", "Mailer <mail@example.org>"),
        (env.url, "https://example.org/club/", "https://example.org/club"),
        (env.redis, "redis://127.0.0.1:6379/0", "redis://127.0.0.1:6379/0"),
        (env.url, "http://[::1]:8000", "http://[::1]:8000"),
    ],
)
def test_good_values(read, parse, text, value):
    assert read(text, parse) == value


@pytest.mark.parametrize(
    ("parse", "text"),
    [
        (env.flag, "maybe"),
        (env.hsts, "a year"),
        (env.hsts, "-1"),
        (env.hsts, "99999999"),
        (env.sender, "nobody"),
        (env.url, "example.org"),
        (env.email, "mail.example.org"),
        (env.email, "smtp://"),
        (env.email, "file:///tmp"),
        (env.templates, "/nowhere/of/the/kind"),
        (env.window, "0"),
        (env.window, "4.5"),
        (env.address, "7443"),
        (env.address, ":7443"),
        (env.address, "::1:7443"),
        (env.address, "localhost:99999"),
        (env.limits, "few"),
        (env.openid, "{"),
        (env.openid, "[]"),
        (env.openid, '{"auth": true}'),
        (env.openid, '{"auth": 3}'),
        (env.openid, '{"authby": {}}'),
        (env.openid, '{"authby": ["x"]}'),
        (env.openid, '{"auht": 1}'),
        (env.redis, "localhost:6379"),
        (env.url, "ftp://chess.example"),
        (env.url, "https://"),
        (env.url, "https://chess.example?x"),
        (env.url, "https://ann@chess.example"),
        (env.url, "https://chess.example:port"),
        (env.database, "mysql://host/name"),
        (env.database, "mnm.sqlite3"),
        (env.database, "sqlite://"),
        (env.database, "sqlite:///relative.sqlite3"),
        (env.database, "sqlite:////no/such/folder/mnm.sqlite3"),
        (env.database, "postgres://user@host"),
        (env.database, "postgres://user:hidden@host:port/name"),
    ],
)
def test_bad_values_give_one_line_that_names_the_variable(read, parse, text):
    with pytest.raises(ImproperlyConfigured) as caught:
        read(text, parse)
    line = str(caught.value)
    assert line.startswith(f"{NAME}: ")
    assert "\n" not in line
    assert "hidden" not in line


def test_sqlite_commits_to_disk_and_waits_for_its_turn(tmp_path):
    entry = env.database(f"sqlite:///{tmp_path}/a b.sqlite3")
    assert entry["NAME"] == f"{tmp_path}/a b.sqlite3"
    assert entry["OPTIONS"]["transaction_mode"] == "IMMEDIATE"
    assert "synchronous=FULL" in entry["OPTIONS"]["init_command"]


def test_postgresql():
    entry = env.database("postgres://mnm:p%40ss@db.example:5433/members?sslmode=require")
    assert entry["ENGINE"] == "django.db.backends.postgresql"
    assert (entry["USER"], entry["PASSWORD"], entry["HOST"], entry["PORT"]) == ("mnm", "p@ss", "db.example", 5433)
    assert (entry["NAME"], entry["OPTIONS"]) == ("members", {"sslmode": "require"})


def test_a_secret_is_made_once_and_is_its_owners_only(tmp_path):
    path = tmp_path / "secret_key"
    first = env.secret(path)
    assert len(first) >= 50
    assert env.secret(path) == first
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ImproperlyConfigured, match=r"^MNM_VAR: "):
        env.folder(tmp_path / "file" / "var")


def test_a_mail_server(read):
    mail = read("smtp+tls://ann:pass%40word@mail.example.org", env.email)
    assert mail["EMAIL_BACKEND"] == "django.core.mail.backends.smtp.EmailBackend"
    assert mail["EMAIL_HOST"] == "mail.example.org"
    assert (mail["EMAIL_HOST_USER"], mail["EMAIL_HOST_PASSWORD"]) == ("ann", "pass@word")
    assert (mail["EMAIL_PORT"], mail["EMAIL_USE_TLS"]) == (587, True)
    assert read("console://", env.email)["EMAIL_BACKEND"] == "mnmsite.console.EmailBackend"


def test_a_mail_server_for_django_with_mailers(read):
    mail = read("smtp+tls://ann:pass%40word@mail.example.org", env.email)
    server = {"host": "mail.example.org", "port": 587, "username": "ann", "password": "pass@word"}
    options = {**server, "use_tls": True, "timeout": 10}
    assert env.mailers("some.Backend", mail) == {"default": {"BACKEND": "some.Backend", "OPTIONS": options}}
    console = env.mailers("some.Backend", read("console://", env.email))
    assert console == {"default": {"BACKEND": "some.Backend", "OPTIONS": {}}}


def test_the_websites_address_is_where_it_listens_unless_that_is_everywhere():
    assert env.url_of("127.0.0.1:8000") == "http://127.0.0.1:8000"
    with pytest.raises(ImproperlyConfigured, match=r"^MNM_URL: "):
        env.url_of("0.0.0.0:8000")


def test_a_private_key_that_is_none_is_told_and_kept(tmp_path):
    path = tmp_path / "key.pem"

    def check(text):
        if text != "a key":
            raise ValueError("no key")

    assert env.private_key(path, lambda: "a key", check) == "a key"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.write_text("my notes")
    with pytest.raises(ImproperlyConfigured, match=rf"^MNM_VAR: {path} is no key\. Remove it"):
        env.private_key(path, lambda: "a key", check)
    assert path.read_text() == "my notes"


def test_a_package_that_is_missing_is_named():
    env.needs("MNM_PROVIDER", "django", "Django")
    with pytest.raises(ImproperlyConfigured, match=r"^MNM_PROVIDER: .*pip install some-package$"):
        env.needs("MNM_PROVIDER", "no_such_module", "some-package")
