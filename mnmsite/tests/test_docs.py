"""The documentation is complete and correct: settings, variables, commands, links and code."""

from __future__ import annotations

import ast
import asyncio
import json
import os
import re
import subprocess
import sys
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth import get_user_model

from mnmsite import environment
from tmtp import messaging
from tmtp.api.conf import DEFAULTS as API_DEFAULTS
from tmtp.conf import DEFAULT_LIMITS, DEFAULTS
from tmtp.delivery.conf import DEFAULTS as DELIVERY_DEFAULTS
from tmtp.delivery.tests.mailers import use_backend
from tmtp.messaging import mailbox_of, user_of
from tmtp.models import User
from tmtp.notices.conf import DEFAULTS as NOTICES_DEFAULTS
from tmtp.openid.providers import parse_settings
from tmtp.protocol import errors
from tmtp.testing import running_server
from tmtp.tests.conftest import site_of_its_own
from tmtp.tests.people import someone, waiting
from tmtp.tests.test_imports import floor, imports, sources

pytestmark = pytest.mark.once

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
README = ROOT / "README.md"
PAGES = sorted([*ROOT.glob("*.md"), *DOCS.rglob("*.md")])
SETTINGS = (DOCS / "reference" / "settings.md").read_text()
NAME = re.compile(r"\b(?!TMTP_(?:DELIVERY|NOTICES|API)\b)(?:MNM|TMTP)_[A-Z_]+\b|\b(?:DATABASE|REDIS)_URL\b")


def page_id(page):
    return str(page.relative_to(ROOT))


def blocks(page, language="python"):
    """Return the code blocks of a page: (place, code)."""
    text = page.read_text()
    found = re.finditer(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return [(f"{page_id(page)}:{text[: match.start()].count(chr(10)) + 1}", match[1]) for match in found]


def run_block(where, code, **names):
    """Run a code block with these names, and return all names."""
    exec(compile(code, where, "exec"), names)
    return names


def rows(text, cells):
    """Return the rows of tables with so many cells whose first cell is one name in backticks."""
    found = {}
    for line in text.split("\n"):
        row = [cell.strip() for cell in line.strip("|").split(" | ")] if line.startswith("|") else []
        if len(row) == cells and re.fullmatch(r"`\w+`", row[0].strip()):
            found[row[0].strip("`")] = row
    return found


# completeness


@pytest.mark.parametrize(
    ("section", "cells", "column", "defaults"),
    [
        ("`TMTP`", 5, 2, DEFAULTS),
        ("`TMTP`", 4, 1, DEFAULT_LIMITS),
        ("`TMTP_DELIVERY`", 5, 2, DELIVERY_DEFAULTS),
        ("`TMTP_NOTICES`", 5, 2, NOTICES_DEFAULTS),
        ("`TMTP_API`", 5, 2, API_DEFAULTS),
    ],
)
def test_each_setting_is_documented_with_its_default(section, cells, column, defaults):
    documented = rows(SETTINGS.split(f"\n## {section}\n")[1].split("\n## ")[0], cells)
    assert documented.keys() == defaults.keys()
    for name, default in defaults.items():
        shown = repr(default).replace("'", '"')
        assert documented[name][column].startswith(f"`{shown}`"), name


def test_each_variable_is_documented():
    """The page lists the variables that mnmsite reads, and no others."""
    sources = [*ROOT.glob("mnmsite/*.py"), *ROOT.glob("mnmsite/management/**/*.py"), ROOT / "Procfile"]
    read = re.findall(r'(?:env\.read\("|\$\{)([A-Z_]+)', "\n".join(source.read_text() for source in sources))
    assert rows(SETTINGS, 3).keys() == set(read)


def test_each_variable_named_anywhere_exists():
    there = rows(SETTINGS, 3).keys()
    for page in PAGES:
        assert set(NAME.findall(page.read_text())) <= there, page


def test_each_command_is_documented():
    text = (DOCS / "reference" / "commands.md").read_text()
    for file in [*ROOT.glob("*/management/commands/[a-z]*.py"), *ROOT.glob("*/*/management/commands/[a-z]*.py")]:
        assert f"### `manage.py {file.stem}`" in text
        for option in re.findall(r'add_argument\(\s*"(--[a-z-]+)"', file.read_text()):
            assert option in text, (file.stem, option)


@pytest.mark.parametrize("page", [DOCS / "architecture.md", ROOT / "CONTRIBUTING.md"], ids=page_id)
def test_each_function_that_is_named_exists(page):
    named = set(re.findall(r"`(tmtp(?:\.\w+)+)`", page.read_text()))
    assert len(named) > 4
    for name in named:
        resolve_name(name)


def test_the_drawing_of_the_rooms_is_true():
    """Solid arrows lead from each room to all rooms that it imports, directly or through others."""
    (drawn,) = re.findall(r"^```mermaid\n(.*?)^```$", (DOCS / "architecture.md").read_text(), re.MULTILINE | re.DOTALL)
    arrows = re.findall(r"^ +(\w+(?: & \w+)*) --> (\w+)$", drawn, re.MULTILINE)
    pairs = {(above, below) for group, below in arrows for above in group.split(" & ")}
    rooms = {room for pair in pairs for room in pair}
    assert {"consumers", "links", "engine", "store", "services", "protocol"} <= rooms
    assert all(floor(above) < floor(below) for above, below in pairs)
    reached = {room: {room} for room in rooms}
    for _ in rooms:
        for above, below in pairs:
            reached[above] |= reached[below]
    for path in sources("tmtp"):
        room = path.relative_to(ROOT / "tmtp").parts[0].removesuffix(".py")
        if room in rooms:
            known = {name.split(".")[1] for name in imports(path) if name.startswith("tmtp.")} & rooms
            assert known <= reached[room], path


def resolve_name(name):
    """Import the longest module in a dotted name, and look up the rest in it. Raise AttributeError."""
    parts = name.split(".")
    for end in range(len(parts), 0, -1):
        with suppress(ModuleNotFoundError):
            found = import_module(".".join(parts[:end]))
            for part in parts[end:]:
                found = getattr(found, part)
            return found
    raise AttributeError(name)


def test_each_test_that_the_threat_model_names_exists():
    named = set(re.findall(r"`(test_\w+)::(test_\w+)`", (DOCS / "threat-model.md").read_text()))
    assert len(named) > 40
    files = [path for room in ("tmtp", "accounts", "mnmsite") for path in (ROOT / room).rglob("test_*.py")]
    for file, test in named:
        sources = [path.read_text() for path in files if path.stem == file]
        assert any(f"def {test}(" in source for source in sources), f"{file}::{test}"


def test_each_page_is_in_the_index():
    index = (DOCS / "index.md").read_text()
    for page in DOCS.rglob("*.md"):
        assert page.name == "index.md" or f"({page.relative_to(DOCS)})" in index


def test_lines_of_the_log_are_what_the_log_says():
    page = (DOCS / "how-to" / "troubleshoot.md").read_text()
    table = page[page.index("## What the log says") :]
    source = "\n".join(file.read_text() for file in (ROOT / "tmtp").glob("**/*.py"))
    lines = [
        line
        for row in table.split("\n")
        if row.startswith("| `")
        for line in re.findall("`(.+?)`", row.split(" | ")[0])
    ]
    assert len(lines) > 9
    for line in lines:
        assert all(part in source for part in line.split("…")), line


def test_each_reason_to_quit_that_is_explained_exists():
    page = (DOCS / "how-to" / "troubleshoot.md").read_text()
    table = page[page.index("## A device is disconnected") : page.index("### `node already connected`")]
    explained = {
        reason for row in table.split("\n") for reason in re.findall("`([a-zA-Z0-9 ]+)`", row.split(" | ")[0])
    }
    assert explained - {"quit"} <= {value for name, value in vars(errors).items() if name.isupper()}


# links


def anchors(page):
    """Return the anchors of a page's headings, as GitHub makes them."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_links_lead_somewhere(page):
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if link.startswith(("http://", "https://")):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


# code


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page)], ids=page_id)
def test_code_compiles(page):
    for where, code in blocks(page):
        ast.parse(code, where)


def test_imports_of_examples_are_there():
    """Examples that are not run at least import names that exist."""
    for page in PAGES:
        for where, code in blocks(page):
            imports = [line for line in code.split("\n") if line.startswith(("from tmtp", "import tmtp"))]
            run_block(where, "\n".join(imports))


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page)], ids=page_id)
def test_guides_use_only_what_is_stable(page):
    """Guides import only modules that the reference calls stable."""
    stable = set(re.findall(r"`(tmtp\.[\w.]+)`", (DOCS / "reference" / "services.md").read_text().split("\n## ")[0]))
    assert "tmtp.messaging" in stable
    if page.parent == DOCS / "reference":
        return
    for where, code in blocks(page):
        for node in ast.walk(ast.parse(code)):
            if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "tmtp":
                names = {f"{node.module}.{alias.name}" for alias in node.names}
                assert node.module in stable or names <= stable, where


def test_every_stable_call_is_in_the_reference():
    page = (DOCS / "reference" / "services.md").read_text()
    for name in messaging.__all__:
        assert re.search(rf"`{name}\b", page), name


def test_the_openid_example_is_accepted():
    ((_, example),) = blocks(DOCS / "how-to" / "openid.md", "json")
    openid = parse_settings(json.loads(example))
    assert openid == parse_settings(environment.openid(example))
    assert [provider.label for provider in openid.providers] == ["Example University"]


def test_the_example_of_sign_in_is_accepted():
    ((_, example),) = blocks(DOCS / "how-to" / "sign-in.md", "json")
    (provider,) = parse_settings(environment.openid(example)).providers
    assert (provider.site.slug, provider.site.client_id) == ("example-university", "mnm-website")
    assert f"/sign-in/{provider.site.slug}/callback/" in (DOCS / "how-to" / "sign-in.md").read_text()


@pytest.mark.django_db
def test_addresses_of_the_guide():
    (block,) = blocks(DOCS / "how-to" / "sign-in.md")
    assert run_block(*block)["members"] == {}


@pytest.mark.django_db
def test_send_message_of_the_readme():
    ann = get_user_model().objects.create(username="ann")
    (code,) = [block for block in blocks(README) if "send_message" in block[1]]
    run_block(*code)["welcome"](SimpleNamespace(user=ann))
    (header,) = waiting(mailbox_of(user_of(ann)).pk)
    assert header["op"] == "delivery"
    assert header["data"].endswith(b"Hello **Ann**, good to have you here.")


@pytest.mark.django_db
def test_a_site_can_act_on_a_code():
    ann, bob = someone("ann of rome"), someone("bob of ulm")
    (block,) = blocks(DOCS / "reference" / "errors.md")
    remind = run_block(*block)["remind"]
    assert remind("bob of ulm") == "by message"
    assert (
        remind("nobody here")
        == "nobody here is not an alias, a uid or a group. Pass a User object to write to a member of the website."
    )
    messaging.block(User.objects.get(pk=bob.user), User.objects.get(pk=ann.user))
    assert remind("bob of ulm") == "by letter"


@pytest.mark.django_db
def test_send_message_of_the_guide():
    """All code blocks run, in order."""
    ann, _ = someone("ann of rome"), someone("bob of ulm")
    member = get_user_model().objects.create(username="ann")
    link = dict(blocks(DOCS / "how-to" / "existing-site.md"))
    (code,) = [code for code in link.values() if "def link" in code]
    names = {}
    for block in blocks(DOCS / "how-to" / "send-messages.md"):
        names = run_block(*block, **names)
    subjects = [json.loads(header["data"][: header["datahead"]])["subject"] for header in waiting(ann)]
    assert subjects == ["Your order", "Your invoice", "A question", "Order 17", "Your order", "Your order"]
    assert json.loads(waiting(ann)[5]["data"][: waiting(ann)[5]["datahead"]])["threadid"] == waiting(ann)[4]["id"]
    assert (
        names["greet"]("nobody here")
        == "nobody here is not an alias, a uid or a group. Pass a User object to write to a member of the website."
    )
    assert names["greet"](member) == ""
    run_block("link", code)["link"](ann.uid, member)
    names["ship"](SimpleNamespace(buyer=member, save=lambda: None))
    assert len(waiting(ann)) == 8


@pytest.mark.django_db
def test_the_mailbox_in_pages_of_your_own():
    account = get_user_model().objects.create_user("ann")
    (block,) = [block for block in blocks(DOCS / "how-to" / "mailbox.md") if "def mailbox" in block[1]]
    shown = run_block(*block)["mailbox"](SimpleNamespace(user=account))
    assert shown == {"unread": 0, "ask_url": "/mailbox/write/?to=Chess+website&subject=A+question"}


@pytest.mark.django_db
def test_the_guide_to_members_pages():
    ann, bob = (get_user_model().objects.create_user(name) for name in ("ann", "bob"))
    (block,) = [block for block in blocks(DOCS / "how-to" / "members-pages.md") if "def part" in block[1]]
    run_block(*block)["part"](ann, bob)
    assert User.objects.get(account=ann).presence == User.Presence.CONTACTS
    assert [User.objects.get(account=one).blocks.count() for one in (ann, bob)] == [1, 1]


@pytest.mark.django_db
def test_the_guide_to_reports(capsys):
    someone("ann of rome")
    names = {}
    for block in blocks(DOCS / "how-to" / "delivery-reports.md"):
        names = run_block(*block, **names)
    assert "ann of rome queued" in capsys.readouterr().out
    assert (names["taken_back"], names["kept"]) == (1, 0)


@pytest.mark.django_db
def test_the_guide_to_email(settings, mailoutbox):
    configure, send, in_async_code = blocks(DOCS / "how-to" / "email.md")
    names = run_block(*configure)
    use_backend(settings, names["EMAIL_BACKEND"])
    settings.TMTP_DELIVERY = names["TMTP_DELIVERY"]
    settings.TMTP_DELIVERY["FALLBACK_EMAIL_BACKEND"] = "django.core.mail.backends.locmem.EmailBackend"
    run_block(*send)
    assert [mail.to for mail in mailoutbox] == [["ann@example.org"]]
    async_to_sync(run_block(*in_async_code)["view"])(None)
    assert [mail.to for mail in mailoutbox] == [["ann@example.org"]] * 2


@pytest.mark.django_db
def test_the_guide_to_broadcasts(capsys):
    from tmtp.delivery.broadcasts.sending import send

    ann = someone("ann of rome")
    start, report = blocks(DOCS / "how-to" / "broadcasts.md")
    names = run_block(*start)
    assert not send(names["news"].pk, lambda: True)
    assert [header["data"].endswith(b"from 8 to 12.") for header in waiting(ann)] == [True]
    run_block(*report, **names)
    assert "done 1 of 1" in capsys.readouterr().out


@pytest.mark.django_db
def test_examples_of_services_and_models():
    ann = someone("ann of rome")
    announce, invite = blocks(DOCS / "reference" / "services.md")
    run_block(*announce)["announce"]("We have moved.")
    run_block(*invite)["invite_to_club"]("club of all", ["ann of rome"])
    assert [header["op"] for header in waiting(ann)] == ["invite"]
    names = {}
    for block in blocks(DOCS / "reference" / "models.md"):
        names = run_block(*block, **names)
    user = User.objects.get(uid=ann.uid)
    assert names["waiting_for"](user) == 1
    assert list(names["users_online"]()) == []


@pytest.mark.django_db
def test_the_example_of_a_test_of_messages():
    first, _ = blocks(DOCS / "how-to" / "test-against-it.md")
    run_block(*first)["WelcomeTest"]("test_a_new_member_is_welcomed").test_a_new_member_is_welcomed()


def test_the_example_of_a_test_with_a_server(tmp_path, monkeypatch):
    monkeypatch.delenv("DATABASE_URL", raising=False)
    _, second = blocks(DOCS / "how-to" / "test-against-it.md")
    run_block(*second)["test_two_members_talk"](tmp_path)


async def test_the_echo_of_the_contract(capsys):
    """Both code blocks of docs/reference/asgi-tcp.md run, over a socket."""
    names = {}
    for block in blocks(DOCS / "reference" / "asgi-tcp.md"):
        names = run_block(*block, **names)
    until, said = asyncio.Event(), ""
    task = asyncio.ensure_future(names["serve"]("127.0.0.1", 0, until))
    async with asyncio.timeout(60):
        while not said:
            await asyncio.sleep(0.01)
            said = capsys.readouterr().out
        reader, writer = await asyncio.open_connection("127.0.0.1", int(said.split()[-1]))
        assert await reader.readline() == b"Say something.\n"
        spoken = b"something " * 50_000  # more than all buffers hold
        writer.write(spoken)
        assert await reader.readexactly(len(spoken)) == spoken
        writer.close()
        until.set()
        await task


def test_the_tutorial(tmp_path):
    """Its device receives what its shell sends, also what was sent while it was away, and prints what the page
    says."""
    shell, later = [code for _, code in blocks(DOCS / "tutorial.md")]
    page = (DOCS / "tutorial.md").read_text()
    with site_of_its_own(tmp_path / "var", migrated=True) as site, running_server(env=site) as server:
        tls = {"cert": server.log.with_name("cert.pem"), "key": tmp_path / "key.pem"}
        (tmp_path / "var" / "tls").mkdir(exist_ok=True)
        (tmp_path / "var" / "tls" / "cert.pem").write_bytes(tls["cert"].read_bytes())
        env = {**os.environ, **site, "TMTP_BIND": "{}:{}".format(*server.address)}

        def in_the_shell(code):
            command = [sys.executable, "manage.py", "shell", "--verbosity=0", "--command", code]
            subprocess.run(command, cwd=ROOT, env=env, check=True, timeout=60)

        def listen():
            command = [sys.executable, "manage.py", "tmtplisten", "ann of rome", "--once"]
            return subprocess.Popen(
                command, cwd=ROOT, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8"
            )

        with listen() as first:
            said = [first.stdout.readline(), first.stdout.readline()]
            in_the_shell(shell)
            said += first.communicate(timeout=60)[0].splitlines(keepends=True)
        file = tmp_path / "var" / "tls" / "devices" / "ann-of-rome.json"
        assert said[0] == f"registered “ann of rome”; the device is kept in {file}\n"
        assert said[1].strip() in page
        assert re.fullmatch(r"\d\d:\d\d:\d\d mnm website <\S{32}>: Welcome\n", said[2])
        assert said[3:] == ["Hello **Ann**.\n"]
        in_the_shell(shell.split("\n")[0] + "\n" + later)
        with listen() as second:
            out, _ = second.communicate(timeout=60)
        assert out.splitlines()[0] == said[1].strip()
        assert out.splitlines()[2] == "This waits for you."
    for name in ("ann-of-rome.json", "Hello **Ann**.", "registered “ann of rome”; the device is kept in"):
        assert name in page


def test_badges_are_of_what_is_tested():
    """The matrix of noxfile.py, which CI runs."""
    matrix = {}
    exec("\n".join(re.findall("^(?:PYTHONS|DJANGOS) = .*$", (ROOT / "noxfile.py").read_text(), re.MULTILINE)), matrix)
    pythons, djangos = matrix["PYTHONS"], ", ".join(matrix["DJANGOS"])
    shown = dict(re.findall(r"!\[([^]]+)\]\((docs/images/badges/\w+\.svg)\)", README.read_text()))
    assert {f"tested on Python {pythons[0]} to {pythons[-1]}", f"Django {djangos}"} < shown.keys()
    for text, file in shown.items():
        label = re.search('aria-label="([^"]+)"', (ROOT / file).read_text())[1]
        assert label.replace(": ", " ") == text.replace(": ", " ")


def test_the_readme_makes_a_site(tmp_path):
    """With its settings and routing in a new project, the system checks find nothing."""
    env = {key: value for key, value in os.environ.items() if not NAME.fullmatch(key)}
    env |= {"DJANGO_SETTINGS_MODULE": "mysite.settings", "PYTHONPATH": str(ROOT)}

    def run(*words):
        done = subprocess.run([sys.executable, *words], cwd=tmp_path, env=env, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout + done.stderr

    run("-m", "django", "startproject", "mysite", ".")
    settings, routing, send = blocks(README)
    assert "request.user" in send[1]
    for name, (_, code) in (("settings.py", settings), ("asgi.py", routing)):
        with (tmp_path / "mysite" / name).open("a") as file:
            file.write(code)
    run("manage.py", "tmtpcert")
    assert not re.findall(r"tmtp\.[EW]\d+", run("manage.py", "check"))
