"""What holds for every operation of the OpenAPI document, also for those that are added later."""

from __future__ import annotations

import json
import re
from datetime import timedelta

import pytest
from django.utils import timezone

from tmtp.api import tokens
from tmtp.api.models import Token, TokenMessage, TokenUser
from tmtp.api.views import document, operations_of
from tmtp.models import AuditEntry, Group, Message, User

from .conftest import ALL, Program, new_program

pytestmark = [pytest.mark.once, pytest.mark.django_db]
WHOLE = document()
OPERATIONS = {operation["operationId"]: (method, path, operation) for path, method, operation in operations_of(WHOLE)}
EACH = pytest.mark.parametrize("name", OPERATIONS)
GARBAGE = [
    b"",
    b"{",
    b"[]",
    b"null",
    b'"text"',
    b"[" * 100_000,
    b"\xff\xfe",
    b'{"\\ud800": 1}',
    b"1e999",
    json.dumps({"unknown": 1}).encode(),
    json.dumps(dict.fromkeys(["to", "people", "subject", "text", "gid", "external_id", "label", "role"])).encode(),
    json.dumps(dict.fromkeys(["to", "people", "subject", "text", "gid", "external_id", "label", "role"], 7)).encode(),
    json.dumps(dict.fromkeys(["to", "people", "subject", "text", "gid", "external_id", "label"], "\0")).encode(),
    json.dumps(dict.fromkeys(["text", "gid", "external_id", "label", "name"], "🦜" * 9999)).encode(),
]


def address(path: str, value: object = 1) -> str:
    return re.sub(r"\{\w+\}", str(value), path).removeprefix("/api/v1")


def rows() -> list[int]:
    return [model.objects.count() for model in (Message, Group, User, TokenMessage, TokenUser, AuditEntry)]


@EACH
def test_a_token_is_needed(name: str, program: Program) -> None:
    method, path, _ = OPERATIONS[name]
    before = rows()
    _, past = tokens.create("old", ALL, expires=timezone.now() - timedelta(seconds=1))
    revoked, refused = tokens.create("revoked", ALL)
    tokens.revoke(revoked)
    program.client.cookies["sessionid"] = program.client.cookies["token"] = program.secret
    for header in ("", "Bearer ", f"Basic {program.secret}"):
        status, answer = program.call(method, address(path), {}, headers={"authorization": header})
        assert (status, answer["code"]) == (401, "token_missing"), header
    for secret in (
        "x",
        past,
        refused,
        program.secret + "x",
        program.secret.swapcase(),
        "é🦜",
        program.token.digest.hex(),
    ):
        status, answer = program.call(method, address(path), {}, headers={"authorization": f"Bearer {secret}"})
        assert (status, answer["code"]) == (401, "token_refused"), secret
    assert rows() == before
    assert Token.objects.filter(last_used=None).count() == 3


@EACH
def test_its_scope_is_needed(name: str, db: None) -> None:
    method, path, operation = OPERATIONS[name]
    scope = operation["x-scope"]
    without = new_program("without", [other for other in ALL if other != scope])
    before = rows()
    status, answer = without.call(method, address(path), {})
    assert (status, answer["code"]) == (403, "scope_missing")
    assert scope in answer["text"]
    assert rows() == before
    alone = new_program("alone", [scope])
    assert alone.call(method, address(path), {})[0] not in (401, 403)


@EACH
def test_any_body_gets_an_answer(name: str, program: Program) -> None:
    method, path, operation = OPERATIONS[name]
    for body in GARBAGE if "requestBody" in operation else GARBAGE[:2]:
        status, answer = program.call(method, address(path), body)
        assert 200 <= status < 500, (body[:60], answer)
        if "requestBody" in operation:
            assert 400 <= status < 500, (body[:60], answer)
    status, _ = program.call(method, address(path), b"--x\r\n\r\n", content_type="multipart/form-data")
    assert status < 500
    status, _ = program.call(method, address(path), b"a=b&c=%ff", content_type="application/x-www-form-urlencoded")
    assert status < 500


@EACH
def test_any_address_gets_an_answer(name: str, program: Program) -> None:
    method, path, _ = OPERATIONS[name]
    for value in ("9" * 40, "%00", "%F0%9F%A6%9C", "-1"):
        if "{" in path:
            status, _ = program.call(method, address(path, value), {})
            assert status in (404, 422)
        status, _ = program.call(method, f"{address(path)}?limit={value}&after={value}&uid={value}", {})
        assert status < 500


@EACH
def test_a_huge_body_is_not_read(name: str, program: Program, settings) -> None:  # type: ignore[no-untyped-def]
    method, path, _ = OPERATIONS[name]
    settings.TMTP_API = {"MAX_REQUEST": 1000}
    status, answer = program.call(method, address(path), b"x" * 1001)
    assert (status, answer["code"]) == (413, "request_too_large")
    settings.TMTP_API = {}
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 1000
    if "requestBody" in OPERATIONS[name][2] and "multipart" not in path:
        status, answer = program.call(method, address(path), {"text": "x" * 1001})
        assert (status, answer["code"]) == (413, "request_too_large")


@EACH
def test_a_body_of_unknown_size_is_not_read(name: str, program: Program) -> None:
    method, path, _ = OPERATIONS[name]
    chunked = {"HTTP_TRANSFER_ENCODING": "chunked", "CONTENT_LENGTH": ""}
    status, answer = program.call(method, address(path), b"{}", **chunked)
    assert (status, answer["code"]) == (400, "request_malformed")
    assert "Content-Length" in answer["text"]


@EACH
def test_too_many_requests_are_refused(name: str, db: None) -> None:
    method, path, _ = OPERATIONS[name]
    slow = new_program("slow", requests_per_minute=2)
    statuses = [slow.call(method, address(path), {})[0] for _ in range(4)]
    assert [status == 429 for status in statuses] == [False, False, True, True]


@EACH
def test_other_methods_are_refused(name: str, program: Program) -> None:
    _, path, _ = OPERATIONS[name]
    there = {method for method, other, _ in OPERATIONS.values() if other == path}
    for method in {"GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "HEAD", "TRACE"} - there:
        answer = program.client.generic(method, path.replace("{", "").replace("}", ""))
        assert answer.status_code in (404, 405)
        assert "Access-Control-Allow-Origin" not in answer


@pytest.mark.parametrize("path", ["/", "/nothing", "/messages/", "/groups/1/nothing", "/groups/x"])
def test_what_is_not_there(path: str, program: Program) -> None:
    status, answer = program.get(path)
    assert (status, answer["code"]) in ((404, "not_found"), (422, "request_invalid"), (404, "message_not_found"))


def test_the_document_is_whole(program: Program) -> None:
    """All that is referred to is there, each operation says its scope, and what it may answer."""
    assert WHOLE["openapi"].startswith("3.")
    references = set(re.findall(r"#/components/schemas/(\w+)", json.dumps(WHOLE)))
    assert references <= WHOLE["components"]["schemas"].keys()
    for name, (_, _, operation) in OPERATIONS.items():
        assert operation["x-scope"] in ALL, name
        assert operation["summary"] and operation["description"], name
        assert operation["security"] == [{"Bearer": []}]
        assert "default" in operation["responses"]
    answer = program.client.get("/api/v1/openapi.json")
    assert answer.json() == json.loads(json.dumps(WHOLE))


def test_the_page_shows_every_operation(program: Program) -> None:
    page = program.client.get("/api/").content.decode()
    for method, path, operation in OPERATIONS.values():
        assert f"{method} {path}" in page
        assert operation["description"].split(".")[0] in page.replace("&#x27;", "'")
    assert set(re.findall('href="#(type-[^"]+)"', page)) <= set(re.findall('id="(type-[^"]+)"', page))
