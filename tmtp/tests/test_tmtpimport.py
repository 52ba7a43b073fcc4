"""`manage.py tmtpimport`: users, groups and waiting messages of a Go server move over, and nobody notices."""

from __future__ import annotations

import asyncio
import json
import os
import time

import pytest
from django.core.management import CommandError, call_command

from tmtp.engine.limits import Limits
from tmtp.engine.old_secrets import OldSecrets
from tmtp.models import Alias, Group, Identity, Member, Message, Node, QueueEntry, User
from tmtp.protocol.values import make_nodeid, make_uid
from tmtp.services.people import old_secrets, users
from tmtp.services.people.old_secrets import expects_old_secret

from .go_servers import GoServer, sample_devices, summed, waiting_files, write_sample
from .people import someone, waiting
from .servers import installation

NOW = time.time_ns()


@pytest.fixture
def go(tmp_path):
    return GoServer(tmp_path / "go")


@pytest.fixture
def run(capsys):
    """Import, and return the lines about what could not be imported."""

    def run(folder, problems=False):
        if problems:
            with pytest.raises(CommandError, match="problem"):
                call_command("tmtpimport", str(folder))
        else:
            call_command("tmtpimport", str(folder))
        return capsys.readouterr().err.splitlines()

    return run


def everything():
    """Return all rows that an import may write."""
    models = (User, Node, Alias, Group, Member, Identity, Message, QueueEntry)
    return [sorted(map(str, model.objects.values_list())) for model in models]


def log_in(uid, nodeid, lease, old=True):
    return users.log_in(uid, nodeid, lease, old_hash=old_secrets.old_hash(nodeid) if old else None)


def text_of(path):
    """Return the header and the data of a frame."""
    octets = path.read_bytes()
    end = 4 + int(octets[:4], 16)
    return json.loads(octets[4:end]), octets[end:]


async def test_each_device_of_the_sample_logs_in_with_its_old_secret_and_gets_what_waited(tmp_path):
    folder = write_sample(tmp_path)
    import_it = f"import io; from django.core.management import call_command; out = io.StringIO();\
call_command('tmtpimport', {str(folder)!r}, stdout=out); result = out.getvalue()"
    with installation() as site, site.serve() as server, site.other_process() as other:
        assert "3 users, 4 devices, 4 aliases, 3 group members, 16 waiting" in other.run(import_it)
        for uid, nodeid, number in sample_devices():
            client = await server.login(uid, nodeid)
            for path in waiting_files(folder, uid, number):
                header, data = await client.receive()
                was, body = text_of(path)
                if "nodeid" not in was:
                    assert (header, data) == (was, body)
                assert {**header, "headsum": 0} == {**was, "headsum": 0}
                client.acknowledge(header["id"])
            await client.expect(op="login")
            client.close()
        assert "0 users, 0 devices, 0 aliases, 0 group members, 0 waiting" in other.run(import_it)
        uid, nodeid, _ = sample_devices()[0]
        client = await server.login(uid, nodeid)
        assert (await client.receive())[0]["op"] == "login"  # nothing comes again


@pytest.mark.django_db
def test_another_run_changes_nothing(tmp_path, run):
    folder = write_sample(tmp_path)
    assert run(folder) == []
    first = everything()
    assert run(folder) == []
    assert everything() == first


@pytest.mark.django_db
def test_an_old_secret_is_replaced_at_the_first_login(go, run, lease):
    nodeid = make_nodeid()
    uid = go.user("ann of rome", nodeid=nodeid)
    path = go.message(uid, NOW, b"hello")
    run(go.folder)
    with pytest.raises(users.LoginFailed):
        log_in(uid, nodeid, lease, old=False)
    assert expects_old_secret(uid)
    with pytest.raises(users.LoginFailed):
        log_in(make_uid(), nodeid, lease)
    sender = log_in(uid, nodeid, lease)
    assert not expects_old_secret(uid)
    users.disconnect(sender.node, lease)
    assert log_in(uid, nodeid, lease, old=False).node == sender.node
    assert waiting(sender)[0] == {**text_of(path)[0], "data": b"hello"}


@pytest.mark.django_db
def test_what_a_device_has_acknowledged_does_not_come_back(go, run, lease):
    nodeid = make_nodeid()
    uid = go.user(nodeid=nodeid)
    go.message(uid, NOW)
    run(go.folder)
    sender = log_in(uid, nodeid, lease)
    QueueEntry.objects.all().delete()
    Message.objects.all().delete()
    run(go.folder)
    assert (Node.objects.count(), waiting(sender)) == (1, [])


@pytest.mark.django_db
def test_no_device_logs_in_before_its_queue_is_complete(go, run, lease, monkeypatch):
    nodeid = make_nodeid()
    uid = go.user(nodeid=nodeid)
    go.message(uid, NOW)
    killed = RuntimeError("killed")

    def die(*_):
        raise killed

    monkeypatch.setattr("tmtp.goserver.importing.take_messages", die)
    with pytest.raises(RuntimeError):
        run(go.folder)
    assert not expects_old_secret(uid)
    with pytest.raises(users.LoginFailed):
        log_in(uid, nodeid, lease)
    monkeypatch.undo()
    run(go.folder)
    assert len(waiting(log_in(uid, nodeid, lease))) == 2  # the message, and the login


@pytest.mark.django_db
def test_messages_come_in_order_and_large_ones_from_the_spool(go, run):
    uid = go.user()
    large = bytes(range(256)) * 300
    go.message(uid, NOW + 2, large)
    go.message(uid, NOW + 1, b"before")
    go.message(uid, NOW + 3, first=True, op="user", newnode="phone", nodeid="SECRET")
    go.message(uid, NOW).write_bytes(b"")
    run(go.folder)
    found = waiting(Node.objects.get().pk)
    assert [int(each["id"], 16) - NOW for each in found] == [3, 1, 2]
    assert found[0]["nodeid"] == "SECRET"
    assert all(b"SECRET" not in bytes(message.head) for message in Message.objects.all())
    spooled = Message.objects.get(pk=NOW + 2)
    assert (spooled.size, bool(spooled.spool), spooled.body) == (len(large), True, None)


@pytest.mark.django_db
def test_names_stay_and_names_given_up_stay_reserved(go, run):
    go.user("Ann of Rome", "Ann  of Rome", "short", given_up=["former name"])
    (go.folder / "userdb/alias" / "nobody+now").symlink_to("*defunct")
    assert run(go.folder) == []
    names = dict(Alias.objects.values_list("name", "dropped"))
    assert {name for name, dropped in names.items() if dropped} == {"former name", "nobody now"}
    assert {name for name, dropped in names.items() if not dropped} == {"Ann of Rome", "Ann  of Rome", "short"}


@pytest.mark.django_db
def test_a_group_has_an_owner_and_keeps_what_changes_here(go, run):
    ann, bob, cid = sorted(go.user() for _ in range(3))
    go.group("chess club", {ann: ("ann", 1), bob: ("bob", 2), cid: ("cid", 3)})
    assert run(go.folder) == []
    members = dict(Member.objects.values_list("user__uid", "status"))
    assert members == {ann: 1, bob: 2, cid: 3}
    assert Member.objects.get(role=Member.Role.OWNER).user.uid == bob
    Member.objects.filter(user__uid=ann).update(status=2)
    run(go.folder)
    assert Member.objects.get(user__uid=ann).status == 2
    assert Alias.objects.get(name="chess club").group.gid == "chess club"


@pytest.mark.django_db
def test_identities_move(go, run):
    claims = {"Audience": "a", "IssuedAt": "2026-01-01T00:00:00Z", "Issuer": "https://id.example", "Subject": "7"}
    uid = go.user("with <claims> & more", Authentication=claims)
    assert run(go.folder) == []
    identity = Identity.objects.get()
    assert (identity.user.uid, identity.iss, identity.sub) == (uid, "https://id.example", "7")


@pytest.mark.django_db
def test_a_complete_record_in_temp_is_read_and_an_unfinished_one_is_not(go, run):
    uid = go.user("an old name")
    other = GoServer(go.folder.parent / "other")
    other.user("a newer name", uid=uid)
    (go.folder / "userdb/temp" / f"user_{uid}").write_bytes((other.folder / "userdb/user" / uid).read_bytes())
    (go.folder / "userdb/temp" / f"user_{make_uid()}.tmp").write_bytes(b"{")
    (go.folder / "userdb/alias/an+old+name").unlink()
    assert run(go.folder) == []
    assert list(Alias.objects.values_list("name", flat=True)) == ["a newer name"]


def damage_checksum(go, uid):
    path = go.folder / "userdb/user" / uid
    path.write_bytes(path.read_bytes().replace(b"of rome", b"of Rome"))
    return path


def damage_headsum(go, uid):
    path = go.message(uid, NOW)
    path.write_bytes(path.read_bytes().replace(b"delivery", b"Delivery"))
    return path


def cut(go, uid):
    path = go.message(uid, NOW, b"hello")
    path.write_bytes(path.read_bytes()[:-1])
    return path


def rename_message(go, uid):
    return go.message(uid, NOW).rename(go.message(uid, NOW).with_name(f"M{NOW + 1:016x}"))


def unknown_file(go, uid):
    path = go.message(uid, NOW).with_name("notes.txt")
    path.write_text("?")
    return path


def unknown_folder(go, uid):
    path = go.folder / "userdb/more"
    path.mkdir()
    return path


def strange_queue(go, uid):
    path = go.folder / "qstore/aaaa/aaaa.01"
    path.mkdir(parents=True)
    return path


def queue_of_nobody(go, uid):
    return go.message(make_uid(), NOW).parent


def alias_of_nobody(go, uid):
    path = go.folder / "userdb/alias/somebody"
    path.symlink_to(make_uid())
    return path


def alias_file(go, uid):
    path = go.folder / "userdb/alias/somebody"
    path.write_text(uid)
    return path


def badly_escaped(go, uid):
    path = go.folder / "userdb/group/100%25+%zz"
    path.write_bytes(summed({"Uid": {}, "CheckSum": 0}))
    return path


def not_utf8(go, uid):
    path = go.folder / "userdb/alias/bad%FFname"
    path.symlink_to(uid)
    return path


def strange_status(go, uid):
    go.group("chess club", {uid: ("ann of rome", 7)})
    return go.folder / "userdb/group/chess+club"


def group_with_a_stranger(go, uid):
    go.group("chess club", {make_uid(): ("stranger", 2)})
    return go.folder / "userdb/group/chess+club"


def not_json(go, uid):
    path = go.folder / "userdb/group/chess+club"
    path.write_bytes(b"\xff{")
    return path


def nested_too_deep(go, uid):
    path = go.folder / "userdb/group/chess+club"
    path.write_bytes(b'{"a":' * 5000)
    return path


def header_nested_too_deep(go, uid):
    path = go.message(uid, NOW)
    path.write_bytes(b"ffff" + b'{"a":' * 13107)
    return path


def folder_for_a_record(go, uid):
    path = go.folder / "userdb/group/chess+club"
    path.mkdir()
    return path


def pipe_for_a_message(go, uid):
    path = go.message(uid, NOW)
    path.unlink()
    os.mkfifo(path)
    return path


def wrong_claims(go, uid):
    return go.folder / "userdb/user" / go.user(Authentication={"Issuer": 7})


def headsum_of_many_digits(go, uid):
    path = go.message(uid, NOW)
    header = b'{"from":"","headsum":%b,"id":"%016x","op":"delivery"}' % (b"1" * 5000, NOW)
    path.write_bytes(b"%04x%b" % (len(header), header))
    return path


def number_of_many_digits(go, uid):
    path = go.folder / "userdb/group/chess+club"
    path.write_bytes(b'{"Uid":{},"x":%b,"CheckSum":1}' % (b"1" * 5000))
    return path


def link_out_of_the_directory(go, uid):
    path = go.folder / "userdb/user" / make_uid()
    path.symlink_to(go.folder / "userdb/user" / uid)
    return path


def endless_message(go, uid):
    path = go.message(uid, NOW)
    path.unlink()
    path.symlink_to("/dev/zero")
    return path


def folder_as_message(go, uid):
    path = go.message(uid, NOW)
    path.unlink()
    path.mkdir()
    return path


DAMAGES = [
    headsum_of_many_digits,
    number_of_many_digits,
    link_out_of_the_directory,
    endless_message,
    folder_as_message,
    damage_checksum,
    damage_headsum,
    cut,
    rename_message,
    unknown_file,
    unknown_folder,
    strange_queue,
    queue_of_nobody,
    alias_of_nobody,
    alias_file,
    badly_escaped,
    not_utf8,
    strange_status,
    group_with_a_stranger,
    not_json,
    wrong_claims,
    nested_too_deep,
    header_nested_too_deep,
    folder_for_a_record,
    pipe_for_a_message,
]


@pytest.mark.django_db
@pytest.mark.parametrize("damage", DAMAGES)
def test_what_is_damaged_or_unknown_is_named_and_the_rest_is_imported(go, run, damage):
    path = damage(go, go.user("ann of rome"))
    good = go.user("bob of ulm")
    go.message(good, NOW + 5, b"all the same")
    lines = run(go.folder, problems=True)
    assert any(line.startswith(f"{path}: ") for line in lines), lines
    node = Node.objects.get(user__uid=good)
    assert waiting(node.pk)[0]["data"] == b"all the same"
    assert node.secret == node.old_secret


@pytest.mark.django_db
def test_a_name_that_is_taken_here_stays_whose_it_is(go, run):
    here = someone("bob of ulm")
    uid = go.user("bob of ulm", "bob the builder")
    assert "bob of ulm" in run(go.folder, problems=True)[0]
    assert Alias.objects.get(name="bob of ulm").user_id == here.user
    assert Alias.objects.get(name="bob the builder").user.uid == uid


@pytest.mark.django_db
def test_a_message_whose_number_is_taken_here_is_named(go, run):
    Message.objects.create(id=NOW, op="ping", head=b"another")
    path = go.message(go.user(), NOW)
    assert run(go.folder, problems=True)[0].startswith(f"{path}: ")


@pytest.mark.django_db
def test_a_folder_that_is_something_else_is_refused(tmp_path):
    with pytest.raises(CommandError, match="no userdb"):
        call_command("tmtpimport", str(tmp_path))


class Store:
    """A store that says whether a user has a device of a Go server."""

    def __init__(self, expected):
        self.expected = expected

    async def run(self, *_, **__):
        return self.expected


@pytest.fixture
def slow_hashes(monkeypatch):
    """Return the nodeids whose slow hash is computed, and how many at once."""
    computed, running, most = [], [], []

    def compute(nodeid):
        running.append(nodeid)
        most.append(len(running))
        time.sleep(0.005)
        running.remove(nodeid)
        computed.append(nodeid)
        return b"hash"

    monkeypatch.setattr(old_secrets, "old_hash", compute)
    return computed, most


async def test_slow_hashes_are_computed_one_at_a_time_for_whom_they_may_help(slow_hashes, settings):
    computed, most = slow_hashes
    settings.TMTP = {**settings.TMTP, "LIMITS": {"failed_logins_per_address": 3}}
    limits = Limits()
    assert await OldSecrets(Store(False), limits).hash_of("uid", "nodeid", "1.2.3.4") is None
    assert computed == []
    waiting_for = OldSecrets(Store(True), limits)
    assert await asyncio.gather(*(waiting_for.hash_of("uid", f"{n}", "1.2.3.4") for n in range(4))) == [b"hash"] * 4
    assert (len(computed), max(most)) == (4, 1)
    while limits.spend("failed_logins_per_address", "1.2.3.4"):
        pass
    assert await waiting_for.hash_of("uid", "nodeid", "1.2.3.4") is None
    assert await waiting_for.hash_of("uid", "nodeid", "1.2.3.5") == b"hash"
