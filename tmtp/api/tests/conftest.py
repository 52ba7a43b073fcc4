"""Fixtures: a program that calls the API."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import pytest
from django.test import Client

from tmtp.api import tokens
from tmtp.api.models import Token

ALL = Token.Scope.values


@dataclass
class Program:
    """Calls the API with a token. It checks that each error has the one shape."""

    token: Token
    secret: str
    client: Client = field(default_factory=lambda: Client(raise_request_exception=True))

    def call(self, method: str, path: str, body: Any = None, **options: Any) -> tuple[int, Any]:
        headers = {"authorization": f"Bearer {self.secret}", **options.pop("headers", {})}
        if body is not None:
            options |= {"data": body if isinstance(body, bytes) else json.dumps(body)}
            options.setdefault("content_type", "application/json")
        return self.read(self.client.generic(method, f"/api/v1{path}", headers=headers, **options))

    def post(self, path: str, body: Any) -> tuple[int, Any]:
        return self.call("POST", path, body)

    def get(self, path: str) -> tuple[int, Any]:
        return self.call("GET", path)

    @staticmethod
    def read(answer: Any) -> tuple[int, Any]:
        found = json.loads(answer.content) if answer.content else None
        if answer.status_code >= 400:
            assert found.keys() == {"code", "text", "details"}
            assert found["text"]
        assert answer["Cache-Control"] == "max-age=0, no-cache, no-store, must-revalidate, private"
        assert not answer.cookies
        return answer.status_code, found


def new_program(name: str = "CRM", scopes: Any = ALL, **options: Any) -> Program:
    return Program(*tokens.create(name, scopes, **options))


@pytest.fixture
def program(db: Any) -> Program:
    """Return a program with all scopes."""
    return new_program()


@pytest.fixture
def other(db: Any) -> Program:
    """Return the program of somebody else, with all scopes."""
    return new_program("Shop")
