"""Whatever staff send in the query of our own pages of the admin, there is no error 500."""

from __future__ import annotations

from itertools import cycle
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.auth import get_user_model
from django.db import transaction
from django.test import Client
from django.urls import NoReverseMatch, reverse

pytestmark = pytest.mark.django_db
OWN = ("tmtp", "accounts")
PAGES: dict[str, list[list[str]]] = {
    "changelist": [[]],
    "add": [[]],
    "change": [["1"], ["_00"], ["x" * 300]],
    "delete": [["1"], ["_00"]],
    "history": [["1"], ["_00"]],
}
NAMES = [
    "_to_field",
    "q",
    "o",
    "p",
    "e",
    "\0",
    "_popup",
    "_changelist_filters",
    "id__exact",
    "id__in",
    "_facets",
    "all",
]
VALUES = ["\0", "", "x", "pk", "9" * 40, "x\0y", "-1"]


def pages() -> list[str]:
    found = []
    for model, page in admin.site._registry.items():
        if type(page).__module__.partition(".")[0] in OWN:
            for name, arguments in PAGES.items():
                label = f"admin:{model._meta.app_label}_{model._meta.model_name}_{name}"
                try:
                    found += [reverse(label, args=some) for some in arguments]
                except NoReverseMatch:
                    continue
    return found


def test_no_query_is_an_error(client: Client) -> None:
    client.force_login(get_user_model().objects.create_superuser("boss"))
    client.raise_request_exception = False
    values, wrong = cycle(VALUES), []
    for place, url in enumerate(pages()):
        for name in NAMES[place % 3 :: 3]:
            query: dict[str, Any] = {name: next(values)}
            with transaction.atomic():
                if client.get(url, query).status_code >= 500:
                    wrong.append((url, query))
    assert wrong == []
