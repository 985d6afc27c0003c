"""Option models: a spec's knobs, with the paper's numbers as defaults and errors a person can act on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from ganforge.core.errors import GanforgeError, nearest


class Options(BaseModel):
    """Base of every option model: frozen, no unknown keys, no NaN. Also the model of a spec with no options."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


M = TypeVar("M", bound=BaseModel)


def parse(model: type[M], values: Mapping[str, Any], where: str = "") -> M:
    """Validate `values` as `model`.

    Raises:
        GanforgeError: one sentence for the first thing wrong, with its dotted key below `where`.
    """
    try:
        return model.model_validate(dict(values))
    except ValidationError as error:
        raise GanforgeError(_sentence(model, error, where)) from None


def changed(options: BaseModel) -> dict[str, Any]:
    """What is set to something else than its default, as JSON has it; without fields of `exclude=True`."""
    return options.model_dump(mode="json", exclude_defaults=True)


_NAMED = "takes settings by name, as in NAME.KEY=VALUE"
_PLAINLY = {
    "dict_type": _NAMED,
    "model_type": _NAMED,
    "tuple_type": 'takes a list, as [1, 2] or ["a", "b"]',
}
"""What pydantic says in Python's words, in a user's."""


def _sentence(model: type[BaseModel], error: ValidationError, where: str) -> str:
    first, more = error.errors()[0], error.error_count() - 1
    keys = [str(part) for part in first["loc"]]
    path = ".".join([where, *keys] if where else keys)
    rest = f" (and {more} more)" if more else ""
    if first["type"] == "extra_forbidden":
        known = _fields(model, keys[:-1])
        return f"unknown option '{path}'{nearest(keys[-1], known)}{rest}"
    message = _PLAINLY.get(first["type"], first["msg"].removeprefix("Value error, "))
    given = f", not {first['input']!r}" if first["type"] not in ("missing", "value_error") else ""
    # A check of several settings together names them itself.
    return f"option '{path}': {message[0].lower()}{message[1:]}{given}{rest}" if path else f"{message}{rest}"


def _fields(model: type[BaseModel], path: list[str]) -> list[str]:
    for part in path:
        nested = model.model_fields[part].annotation if part in model.model_fields else None
        if not (isinstance(nested, type) and issubclass(nested, BaseModel)):
            return []
        model = nested
    return list(model.model_fields)


def describe(model: type[BaseModel]) -> list[tuple[str, str, Any, str]]:
    """Each option as (name, type, default, description), for `recipes show` and the docs.

    The default is None where there is none.
    """
    schema = model.model_json_schema().get("properties", {})
    return [
        (
            name,
            _type_name(schema.get(name, {})),
            None if field.is_required() else field.get_default(call_default_factory=True),
            field.description or "",
        )
        for name, field in model.model_fields.items()
    ]


def _type_name(schema: Mapping[str, Any]) -> str:
    if "enum" in schema:
        return " | ".join(str(value) for value in schema["enum"])
    if "anyOf" in schema:
        return " | ".join(_type_name(one) for one in schema["anyOf"])
    return str(schema.get("const", schema.get("type", "any")))
