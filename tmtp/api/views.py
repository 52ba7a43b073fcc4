"""The OpenAPI document, and a page that shows it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import reverse
from django.utils.html import format_html
from django.views.decorators.http import require_safe

from tmtp.web.rendering import render_page

from .application import api

ERROR = "Error"


def document() -> dict[str, Any]:
    """Return the OpenAPI document. Each operation may also answer with an `Error`."""
    from .schemas import Error

    prefix = reverse("tmtp_api:reference") + "v1/"
    whole: dict[str, Any] = dict(api.get_openapi_schema(path_prefix=prefix))
    schema = Error.model_json_schema(ref_template="#/components/schemas/{model}")
    whole["components"]["schemas"] |= schema.pop("$defs") | {ERROR: schema}
    content = {"application/json": {"schema": {"$ref": f"#/components/schemas/{ERROR}"}}}
    for _, _, operation in operations_of(whole):
        # ninja names the statuses as numbers
        operation["responses"] = {str(status): answer for status, answer in operation["responses"].items()}
        operation["responses"]["default"] = {"description": "Error", "content": content}
    return whole


def operations_of(whole: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield the path, the method and the description of each operation."""
    for path, methods in whole["paths"].items():
        for method, operation in methods.items():
            yield path, method.upper(), operation


@require_safe
def openapi(request: HttpRequest) -> HttpResponse:
    """Show the OpenAPI document."""
    return JsonResponse(document())


@require_safe
def reference(request: HttpRequest) -> HttpResponse:
    """Show all operations, with what they take and return."""
    whole = document()
    schemas = whole["components"]["schemas"]
    groups: dict[str, list[dict[str, Any]]] = {}
    for path, method, operation in operations_of(whole):
        groups.setdefault(operation["tags"][0], []).append(_shown(path, method, operation))
    shown = {name: schema for name, schema in sorted(schemas.items()) if schema.get("type") == "object"}
    address = request.build_absolute_uri(reverse("tmtp_api:reference") + "v1/")
    context = {
        "groups": groups,
        "schemas": {name: {**schema, "rows": _rows(schema)} for name, schema in shown.items()},
        "base": format_html('<span id="base">{}</span>', address),  # what a button copies
    }
    return render_page(request, "tmtp_api/reference.html", context)


def _shown(path: str, method: str, operation: dict[str, Any]) -> dict[str, Any]:
    """Return what the page shows of an operation."""
    content = operation.get("requestBody", {}).get("content", {})
    kind = next(iter(content), "")
    body = content.get(kind, {})
    schema = body.get("schema", {})
    return {
        "id": operation["operationId"],
        "path": path,
        "method": method,
        "summary": operation["summary"],
        "description": operation.get("description", ""),
        "scope": operation["x-scope"],
        "parameters": [
            {"name": one["name"], "place": one["in"], "required": one["required"], **_described(one["schema"])}
            for one in operation.get("parameters", [])
        ],
        "kind": kind,
        "body": "" if "properties" in schema else _type(schema) if schema else "",
        "parts": _rows(schema),
        "answers": [
            {"status": status, "type": _answer(answer)}
            for status, answer in operation["responses"].items()
            if status != "default"
        ],
    }


def _answer(answer: dict[str, Any]) -> str:
    return _type(answer["content"]["application/json"]["schema"]) if "content" in answer else ""


def _rows(schema: dict[str, Any]) -> list[dict[str, Any]]:
    required = schema.get("required", [])
    properties = schema.get("properties", {})
    return [{"name": name, "required": name in required, **_described(one)} for name, one in properties.items()]


def _described(schema: dict[str, Any]) -> dict[str, str]:
    return {"type": _type(schema), "description": schema.get("description", "")}


def _type(schema: dict[str, Any]) -> str:
    """Return a type in short, such as “list of Recipient” or “string or null”."""
    if "$ref" in schema:
        return str(schema["$ref"].rpartition("/")[2])
    if "anyOf" in schema:
        return " or ".join(_type(one) for one in schema["anyOf"])
    if "enum" in schema:
        return " | ".join(f"“{value}”" for value in schema["enum"])
    if schema.get("type") == "array":
        return f"list of {_type(schema['items'])}"
    name = str(schema.get("type", ""))
    return f"{name} ({schema['format']})" if "format" in schema else name
