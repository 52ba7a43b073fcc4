"""Records and names of a Go server: what it writes is read, and what is damaged is noticed."""

from __future__ import annotations

import json
from urllib.parse import quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tmtp.goserver.messages import FILE_NAME, parse_file_name
from tmtp.goserver.records import Damaged, GroupRecord, UserRecord, decode_hash, read_record, unescape
from tmtp.protocol.values import encode_base32, make_nodeid
from tmtp.services.people import old_secrets

from .go_servers import SAMPLE, old_hash, sample_devices, summed

pytestmark = pytest.mark.once
NAMES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=80)
PRINTED = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=40)
HASHES = st.binary(min_size=32, max_size=32).map(lambda octets: encode_base32(octets + bytes(3))[:52])
MEMBERS = st.dictionaries(PRINTED, st.fixed_dictionaries({"Alias": PRINTED, "Status": st.integers(1, 3)}))
NODES = st.dictionaries(HASHES, st.fixed_dictionaries({"Defunct": st.booleans(), "Num": st.integers(1, 100)}))
PAIRS = st.fixed_dictionaries({"En": PRINTED, "Nat": PRINTED, "EnDefunct": st.booleans()})
CLAIMS = st.dictionaries(PRINTED, PRINTED, min_size=1)


def group(members):
    return summed({"Uid": dict(sorted(members.items())), "CheckSum": 0})


@given(NAMES)
def test_each_name_is_read_from_its_escaped_form(name):
    assert unescape(quote_plus(name)) == name


@given(st.text(st.characters(codec="ascii"), min_size=1, max_size=30))
def test_any_file_name_is_a_name_or_is_damaged(file_name):
    try:
        name = unescape(file_name)
    except Damaged:
        return
    assert unescape(quote_plus(name)) == name


@given(MEMBERS)
def test_each_group_is_read(members):
    record = read_record(group(members), GroupRecord)
    assert {uid: (each.Alias, each.Status) for uid, each in record.Uid.items()} == {
        uid: (each["Alias"], each["Status"]) for uid, each in members.items()
    }


@given(NODES, st.none() | st.lists(PAIRS, max_size=3), st.none() | CLAIMS)
def test_each_user_is_read(nodes, pairs, claims):
    raw = {"Nodes": dict(sorted(nodes.items())), "NonDefunctNodesCount": 1, "Aliases": pairs}
    raw |= {"Authentication": dict(sorted(claims.items()))} if claims else {}
    record = read_record(summed(raw | {"CheckSum": 0}), UserRecord)
    assert {text: node.Num for text, node in record.Nodes.items()} == {key: node["Num"] for key, node in nodes.items()}
    assert [name for name, _ in record.names] == [n for pair in pairs or [] for n in (pair["Nat"], pair["En"]) if n]


@given(MEMBERS)
def test_the_checksum_is_of_the_record_not_of_its_layout(members):
    record = json.loads(group(members))
    shuffled = {"CheckSum": record["CheckSum"], "Uid": dict(reversed(record["Uid"].items()))}
    assert read_record(json.dumps(shuffled, indent=2).encode(), GroupRecord).Uid.keys() == members.keys()


@given(MEMBERS, st.data())
def test_a_changed_octet_is_noticed(members, data):
    raw = group(members).rstrip()
    at = data.draw(st.integers(0, len(raw) - 1))
    octet = data.draw(st.integers(0, 255).filter(lambda octet: octet != raw[at]))
    damaged = raw[:at] + bytes([octet]) + raw[at + 1 :]
    try:
        record = read_record(damaged, GroupRecord)
    except Damaged:
        return
    assert record == read_record(raw, GroupRecord)  # the octet is one of an escape: \\u003C is \\u003c


@pytest.mark.parametrize("text", ["", "A" * 52, "%" * 51, "%" * 56, "ä" * 52, "%" * 51 + "e"])
def test_what_is_no_hash_is_refused(text):
    with pytest.raises(Damaged):
        decode_hash(text)


@pytest.mark.parametrize(
    "name", ["M", "M18eb71c42918fbc", "X18eb71c42918fbcc", "M18EB71C42918FBCC", "Mf8eb71c42918fbcc"]
)
def test_what_is_no_message_is_refused(name):
    with pytest.raises(Damaged):
        parse_file_name(name)
    assert FILE_NAME.fullmatch("M18eb71c42918fbcc")


def test_hashes_are_those_that_the_go_server_has_written():
    uid, nodeid, number = sample_devices()[0]
    record = read_record(SAMPLE["files"][f"userdb/user/{uid}"].encode(), UserRecord)
    hashes = {node.Num: decode_hash(text) for text, node in record.Nodes.items()}
    assert old_secrets.old_hash(nodeid) == hashes[number]
    assert decode_hash(old_hash(other := make_nodeid())) == old_secrets.old_hash(other)
