"""What every issuer of certificates has in the spec, and how the mapping of one kind is chosen.

Each kind is a section of its own (``issuer_*.py``); ``issuers`` has the list of them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, ClassVar

from pydantic import GetCoreSchemaHandler, ValidationError
from pydantic_core import CoreSchema, InitErrorDetails, core_schema

from handclasp.spec.policy import Section
from handclasp.spec.types import Duration

WORD_PATTERN = r"^[!-~]{1,256}$"


class IssuerSection(Section):
    """Where certificates come from; `type` says which of the kinds it is."""

    kinds: ClassVar[Mapping[str, type[Section]]] = {}
    """The kinds by their `type`, for those who ask which keys there are; set by `issuers`."""
    names_by_itself: ClassVar[bool] = False
    """It knows the names by itself, so that an identity need not say any."""
    brings_key: ClassVar[bool] = False
    """It makes the key, whatever the spec says."""

    type: str
    """The kind of issuer."""
    timeout: Duration = timedelta(seconds=60)
    """How long one answer may take; then the attempt has failed."""


@dataclass(frozen=True, slots=True, eq=False)  # compared by identity: a schema dict has no hash
class OneOf:
    """Lets `type` choose which section a mapping is read as.

    Not a tagged union of pydantic, which would put the tag into the path of every error.
    """

    kinds: Mapping[str, type[IssuerSection]]

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        def validate(value: Any, info: core_schema.ValidationInfo) -> IssuerSection:
            return self._validated(value, info.context)

        described: list[CoreSchema | tuple[CoreSchema, str]] = [
            handler.generate_schema(kind) for kind in self.kinds.values()
        ]
        return core_schema.with_info_plain_validator_function(
            validate, json_schema_input_schema=core_schema.union_schema(described)
        )

    def _validated(self, value: Any, context: Any) -> IssuerSection:
        if not isinstance(value, dict):
            raise _refusal((), "dict_type", value)
        if "type" not in value:
            raise _refusal(("type",), "missing", value)
        kind = self.kinds.get(value["type"]) if isinstance(value["type"], str) else None
        if kind is None:
            listed = " or ".join(f"'{name}'" for name in self.kinds)
            raise _refusal(("type",), "literal_error", value["type"], {"expected": listed})
        return kind.model_validate(value, context=context)


def _refusal(
    place: tuple[str, ...], kind: str, value: Any, context: dict[str, Any] | None = None
) -> ValidationError:
    details = InitErrorDetails(type=kind, loc=place, input=value, ctx=context or {})
    return ValidationError.from_exception_data("issuer", [details])
