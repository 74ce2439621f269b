"""JSON Schema of the spec, for editors and other tools. The model is the authority."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from handclasp.spec.docstrings import meanings, purpose
from handclasp.spec.model import Spec
from handclasp.spec.quantities import duration_text
from handclasp.spec.shape import kinds_of, section_in

if TYPE_CHECKING:
    from handclasp.spec.policy import Section

_DIALECT = "https://json-schema.org/draft/2020-12/schema"


def spec_schema() -> dict[str, Any]:
    """JSON Schema 2020-12 of handclasp.yaml.

    It says of one value what the model says, as far as a schema can; rules over several keys and
    the inner form of addresses and names are `check`'s.
    """
    schema = Spec.model_json_schema(mode="validation")
    definitions: dict[str, Any] = schema.pop("$defs")
    for section in sections():
        described = schema if section is Spec else definitions[section.__name__]
        _describe(described, section)
    _close(schema)
    _close(definitions)
    schema["title"] = "handclasp.yaml"
    return {"$schema": _DIALECT, **schema, "$defs": definitions}


def sections() -> list[type[Section]]:
    """Every mapping of the model, from the top of the file downwards."""
    ordered: list[type[Section]] = [Spec]
    for section in ordered:  # grows while it is walked
        for field in section.model_fields.values():
            inner = section_in(field.annotation)
            if inner is None:
                continue
            ordered += [one for one in kinds_of(inner) or (inner,) if one not in ordered]
    return ordered


def _describe(schema: dict[str, Any], section: type[Section]) -> None:
    texts = meanings(section)
    for name, field in section.model_fields.items():
        key = field.alias or name
        described = schema["properties"][key]
        if described.get("title", "").istitle():  # made from the key by pydantic
            del described["title"]
        inner = section_in(field.annotation)
        if text := texts.get(key, purpose(inner) if inner else ""):
            described["description"] = text
        if isinstance(field.default, timedelta):
            described["default"] = duration_text(field.default)


def _close(schema: Any) -> None:
    """A mapping of names takes no other names."""
    if isinstance(schema, dict):
        if "patternProperties" in schema:
            schema["additionalProperties"] = False
        for value in schema.values():
            _close(value)
    elif isinstance(schema, list):
        for value in schema:
            _close(value)
