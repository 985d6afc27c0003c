"""The server's description in OpenAPI 3.1, made from its routes: a call cannot exist without it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ganforge.serve.gallery import PARAMETERS
from ganforge.serve.protocol import own_version

if TYPE_CHECKING:
    from ganforge.serve.app import Route

INTEGERS = ("seed", "n", "start", "to", "columns")
CONTENT = {"/images": "image/png", "/": "text/html", "/metrics": "text/plain"}
ERROR = {
    "description": "What is wrong, in one sentence",
    "content": {
        "application/json": {
            "schema": {"type": "object", "properties": {"error": {"type": "string"}}, "required": ["error"]}
        }
    },
}
TENSOR = {
    "type": "object",
    "required": ["name", "shape", "datatype"],
    "properties": {
        "name": {"type": "string"},
        "shape": {"type": "array", "items": {"type": "integer"}},
        "datatype": {"enum": ["FP32", "INT64", "UINT8"]},
        "parameters": {"type": "object"},
        "data": {"type": "array"},
    },
}


def document(routes: Sequence[Route]) -> dict[str, Any]:
    """The description, as JSON can hold it."""
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "ganforge",
            "version": own_version(),
            "description": "A generator's pictures, over the Open Inference Protocol v2 with binary tensors.",
        },
        "paths": paths,
        "components": {
            "schemas": {"InferRequest": _infer_schema("inputs"), "InferResponse": _infer_schema("outputs")},
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
        },
    }


def _operation(route: Route) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "summary": route.summary,
        "parameters": _parameters(route),
        "responses": {"200": {"description": "OK", "content": _answered(route)}, "default": ERROR},
        "security": [] if route.open else [{}, {"key": []}],
    }
    if route.method == "POST":
        schema = {"$ref": "#/components/schemas/InferRequest"} if _infers(route) else {"type": "object"}
        operation["requestBody"] = {"required": _infers(route), "content": {"application/json": {"schema": schema}}}
    return operation


def _parameters(route: Route) -> list[dict[str, Any]]:
    in_path = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in re.findall(r"{(\w+)}", route.path)
    ]
    in_query = [
        {"name": name, "in": "query", "description": says, "schema": {"type": _type(name)}}
        for name, says in (PARAMETERS.items() if route.path == "/images" else ())
    ]
    return in_path + in_query


def _answered(route: Route) -> dict[str, Any]:
    if _infers(route):
        schema = {"$ref": "#/components/schemas/InferResponse"}
        return {"application/json": {"schema": schema}, "application/octet-stream": {}}
    return {CONTENT.get(route.path, "application/json"): {}}


def _infers(route: Route) -> bool:
    return route.path.endswith("/infer")


def _type(name: str) -> str:
    return "integer" if name in INTEGERS else "number" if name == "truncation" else "string"


def _infer_schema(tensors: str) -> dict[str, Any]:
    properties = {"id": {"type": "string"}, "parameters": {"type": "object"}}
    return {
        "type": "object",
        "required": [tensors],
        "properties": {**properties, tensors: {"type": "array", "items": TENSOR}},
    }
