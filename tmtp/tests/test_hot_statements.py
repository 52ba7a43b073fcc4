"""No hot statement reads a whole table: the plans of both databases, with thousands of rows.

PostgreSQL is asked for its plan for these parameters, and for the generic plan of a prepared statement. SQLite is
asked without statistics, as on most sites, and with them.
"""

import json
import re

import pytest
from django.db import connection, transaction
from django.utils import timezone

from tmtp.services.storage.sql import limits, nodes, queue, recipients, records

USERS = 40_000  # each has a node, is in one of 400 groups, and has two waiting messages
MESSAGES = 80_000
BACKLOG = 20_000  # further messages that wait for node 1
TABLES = ("user", "node", "group", "member", "block", "message", "queueentry", "receipt", "serverlease", "limitcount")
SMALL = {"tmtp_serverlease", "tmtp_group"}  # a few pages, so that a full scan is the best plan
NOW = timezone.now()

sqlite = pytest.mark.skipif(connection.vendor != "sqlite", reason="the plans of SQLite")
postgresql = pytest.mark.skipif(connection.vendor != "postgresql", reason="the plans of PostgreSQL")

NUMBERS = {
    "sqlite": "WITH RECURSIVE series (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM series WHERE n < {count})",
    "postgresql": "WITH series (n) AS (SELECT generate_series(1, {count}))",
}
TEXT = {"sqlite": "printf('%06d', {0})", "postgresql": "lpad(({0})::text, 6, '0')"}
OCTETS = {"sqlite": "CAST({0} AS BLOB)", "postgresql": "decode({0}, 'escape')"}

# The parameters to plan for, by the statement's name in `sql`: rows for statements that take many, or the bound
# values.
SOME = list(range(101, 151))
ENTRIES = [(node, 1, node) for node in SOME]
PARAMETERS = {
    "_ADD_MESSAGES": [[(MESSAGES + n, "delivery", 1, b"head", b"body", "", 4, "", False) for n in SOME]],
    "_ADD_ENTRIES": [[(node, 1, MESSAGES + node) for node in SOME]],
    "_ADD_MISSING_ENTRIES": [[(node, 1, MESSAGES + node) for node in SOME]],
    "_DELETE_ENTRIES": [ENTRIES, [(1, 1, number) for number in range(1, 257)]],
    "_DELETE_MESSAGES": [(SOME,), (list(range(1, 257)),)],
    "_PAGE": [(150, 64), (1, 64)],
    "_WAITING": [(SOME, 50_000), ([1, *SOME], 50_000)],
    "_MESSAGES": [(SOME,), ([MESSAGES],)],
    "_COPY_QUEUE": [(USERS + 1, 150)],
    "_CLEAR_QUEUE": [(150,)],
    "_NODES_OF_UIDS": [([f"uid{n:06}" for n in SOME],)],
    "_NODES_OF_GIDS": [(["gid000001", "gid000002"],)],
    "_BLOCKS_AMONG": [(SOME, [*SOME, 5000])],
    "_GROUP_SIZES": [(501, ["gid000001", "gid000002"])],
    "_NODES_OF_GROUP": [(2, 120, 120, 120, 120, 500)],
    "_NEWER_NODES": [(USERS - 10, 1, 20_000)],
    "_NEWER_NODES_OF_USERS": [(USERS - 10, SOME)],
    "_ENTRIES_AFTER": [(1, 1, 5000, 5000), (150, 1, 150, 5000)],
    "_NEWEST_ENTRY": [(1, 1)],
    "_NEWEST_MESSAGE": [()],
    "_RECEIPTS": [(SOME,)],
    "_ADD_RECEIPTS": [[(USERS + n, b"digest", n) for n in SOME]],
    "_NODE_BY_SECRET": [(b"000150",)],
    "_ADD_NAME": [("a new name", "a new name", "anewname", 150, None, NOW)],
    "_NODES_OF_USERS": [(SOME,)],
    "_DEVICES_OF_USERS": [(SOME,)],
    "_USERS_WITHOUT_NODE": [(SOME,)],
    "_ADD_NODES": [[(n, 3, b"%d" % n, "", NOW) for n in SOME]],
    "_END_REPORTS": [[(n, n, NOW, 2) for n in SOME]],
    "_ADD_REPORTS": [[(USERS + n, n) for n in SOME]],
    "_NOTE_SENT": [[(node, node, NOW) for node in SOME]],
    "_NOTE_ACKNOWLEDGED": [[(node, node, NOW) for node in SOME]],
    "_CLAIM_NODE": [(1, NOW, 150, None), (1, NOW, 150, 2)],
    "_RELEASE_NODE": [(NOW, 150, 1)],
    "_MARKED_NODES": [(1,)],
    "_NODES_AT": [(SOME, 1)],
    "_SERVERS_OF_NODES": [(SOME,)],
    "_RENEW_LEASES": [(1, [1]), (1, [1, 2, 3])],
    "_LEASE_BATCH": [(1,)],
    "_SPEND": [[(n, 1.5, 0.1) for n in SOME]],
    "_SET_OPEN": [[(n, 1, 1.5) for n in SOME]],
    "_OPEN_AT": [(SOME, [1, 2])],
    "_PURGE_COUNTS": [(1000,)],
    "_PURGE_RECEIPTS": [(50, 2000)],
}
STATEMENTS = {
    name: value
    for subject in (limits, nodes, queue, recipients, records)
    for name, value in vars(subject).items()
    if isinstance(value, dict) and set(value) == {"sqlite", "postgresql"}
}


@pytest.fixture(scope="module")
def filled(django_db_setup, django_db_blocker):
    """Insert thousands of rows into every table that grows, in a transaction, until the module's tests are over."""
    with django_db_blocker.unblock(), transaction.atomic():
        insert()
        connection.check_constraints()  # once, and not after each test
        yield
        transaction.set_rollback(True)


def insert():
    text, octets = TEXT[connection.vendor].format, OCTETS[connection.vendor].format
    member = "n, (n - 1) / 100 + 1, n, 'alias', 2"
    person = f"n, 'uid' || {text('n')}, n < 0, 1, n < 0, now"
    fill(USERS, "user (id, uid, is_site, presence, blocks_someone, created)", person)
    fill(USERS, "block (id, user_id, blocked_id, name, created)", f"n, n, {USERS} + 1 - n, '', now")
    fill(USERS, "node (id, user_id, secret, label, kind, created)", f"n, n, {octets(text('n'))}, 'label', 1, now")
    fill(400, "group (id, gid, created)", f"n, 'gid' || {text('n')}, now")
    fill(USERS, "member (id, group_id, user_id, alias, status)", member)
    fill(USERS, "receipt (key, digest, number)", f"n, {octets(text('n'))}, n")
    message = f"n, 'delivery', {octets(text('n'))}, '', 0, '', n < 0"
    fill(MESSAGES, "message (id, op, head, spool, size, secret, tracked)", message)
    fill(USERS, "report (message_id, node_id)", "n, n")
    fill(MESSAGES, "queueentry (node_id, rank, message_id)", f"(n - 1) % {USERS} + 1, 1, n")
    fill(BACKLOG, "queueentry (node_id, rank, message_id)", "1, 1, n + 1")
    fill(USERS, "limitcount (key, server, amount, rate, counted, until)", "n, 0, 1, 1, 1, 20000000000 + n")
    fill(40, "serverlease (id, host, address, pid, started, seen, batch)", "n, 'host', 'address', n, now, now, 0")


@pytest.fixture
def rows(filled, db):
    """Return nothing: thousands of rows. What a test does to them is rolled back."""


def fill(count, into, values, where=""):
    numbers = NUMBERS[connection.vendor].format(count=count)
    values = re.sub(r"\bnow\b", f"'{NOW.isoformat(' ')}'", values)
    if connection.vendor == "postgresql":
        values = values.replace(f"'{NOW.isoformat(' ')}'", f"'{NOW.isoformat(' ')}'::timestamptz")
    table, columns = into.split(" ", 1)
    statement = f"{numbers} SELECT {values} FROM series {where}"
    insert = f'INSERT INTO "tmtp_{table}" {columns} '
    with connection.cursor() as cursor:
        cursor.execute(f"{insert}{statement}".replace("%", "%%"), [])


def test_every_hot_statement_is_here():
    assert STATEMENTS.keys() == PARAMETERS.keys(), "say in PARAMETERS what to plan it for"


CASES = [(name, parameters) for name, several in PARAMETERS.items() for parameters in several]


# SQLite


def scans_in_sqlite(statement, parameters):
    """Return what a plan scans completely, except for lists of values and scans with a limit."""
    plan = connection.connection.execute(f"EXPLAIN QUERY PLAN {statement}", parameters).fetchall()
    lists = re.compile(r"SCAN (json_each|clock|acked|counted|note|\d+ CONSTANT ROWS?|CONSTANT ROW)\b")
    return [detail for *_, detail in plan if detail.startswith("SCAN") and not lists.match(detail)]


def bound_for_sqlite(statement, parameters):
    """Return a statement and its parameters as the package sql passes them to SQLite."""
    if "{rows}" in statement:
        row = f"({', '.join('?' * len(parameters[0]))})"
        statement = statement.format(rows=", ".join([row] * len(parameters)))
        parameters = [value for row in parameters for value in row]
    elif isinstance(parameters, list):
        parameters = [parameters]
    given = [json.dumps(value) if isinstance(value, list) else value for value in parameters]
    return statement, [value.isoformat(" ") if value is NOW else value for value in given]


@sqlite
@pytest.mark.parametrize("analyzed", [False, True], ids=["", "analyzed"])
def test_sqlite_searches(rows, analyzed):
    if analyzed:
        connection.connection.execute("ANALYZE")
    records.receipts(SOME)  # makes the index of receipts
    for statement in (records._CATCH_UP["sqlite"], records._FORGET["sqlite"]):
        assert not scans_in_sqlite(statement, ()), statement
    for name, parameters in CASES:
        bound = bound_for_sqlite(STATEMENTS[name]["sqlite"], parameters)
        found = scans_in_sqlite(*bound)
        assert not {*found} - ({f"SCAN {table}" for table in SMALL} if analyzed else set()), name


@sqlite
def test_a_scan_is_seen_in_sqlite(rows):
    assert scans_in_sqlite("SELECT * FROM tmtp_message WHERE size = 1", [])


# PostgreSQL


@pytest.fixture(scope="module")
def statistics(filled, django_db_blocker):
    """Gather the statistics, as autovacuum does."""
    with django_db_blocker.unblock(), connection.cursor() as cursor:
        for table in TABLES:
            cursor.execute(f'ANALYZE "tmtp_{table}"')


@pytest.fixture
def analyzed(statistics, rows):
    """Return nothing: the rows, of which PostgreSQL has statistics."""


def scans_in_postgresql(statement, parameters, mode):
    """Return the tables that a plan scans completely."""
    from psycopg import ClientCursor

    many = isinstance(parameters, list)
    values = [list(column) for column in zip(*parameters, strict=True)] if many else parameters
    numbers = iter(range(1, 100))
    numbered = re.sub("%[sb]", lambda _: f"${next(numbers)}", statement)
    cursor = ClientCursor(connection.connection)
    cursor.execute(f"SET LOCAL plan_cache_mode = {mode}")
    cursor.execute(f"PREPARE hot AS {numbered}")
    try:
        marks = ", ".join(["%s"] * len(values))
        call = f"EXECUTE hot ({marks})" if values else "EXECUTE hot"
        (plan,) = cursor.execute(f"EXPLAIN (FORMAT JSON) {call}", list(values) or None).fetchone()
    finally:
        cursor.execute("DEALLOCATE hot")
    return [node["Relation Name"] for node in nodes_of(plan[0]["Plan"]) if node["Node Type"] == "Seq Scan"]


def nodes_of(plan):
    yield plan
    for part in plan.get("Plans", ()):
        yield from nodes_of(part)


@postgresql
@pytest.mark.parametrize("mode", ["force_custom_plan", "force_generic_plan"])
def test_postgresql_searches(analyzed, mode):
    found = {
        f"{name} {number}": scans_in_postgresql(STATEMENTS[name]["postgresql"], parameters, mode)
        for number, (name, parameters) in enumerate(CASES)
    }
    assert not {name: tables for name, tables in found.items() if set(tables) - SMALL}


@postgresql
def test_a_scan_is_seen_in_postgresql(analyzed):
    assert scans_in_postgresql("SELECT * FROM tmtp_message WHERE size = 1", (), "force_custom_plan")


# looks


def test_a_look_finds_marked_nodes_by_an_index_that_idle_ones_are_not_in(rows):
    """With 40,000 nodes connected to one server, of which one is marked."""
    with connection.cursor() as cursor:
        cursor.execute("UPDATE tmtp_node SET server_id = 1")
        cursor.execute("UPDATE tmtp_node SET start_over = %s WHERE id = 150", [NOW])
        assert [row[0] for row in nodes.marked_nodes(1)] == [150]
        if connection.vendor == "sqlite":
            plan = connection.connection.execute(f"EXPLAIN QUERY PLAN {nodes._MARKED_NODES['sqlite']}", (1,))
        else:
            cursor.execute("ANALYZE tmtp_node")
            cursor.execute(f"EXPLAIN {nodes._MARKED_NODES['postgresql']}", [1])
            plan = cursor
        assert "tmtp_node_marked" in str(plan.fetchall())
