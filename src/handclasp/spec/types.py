"""Annotated types that let pydantic read the values of `values.py` from YAML scalars.

No `from __future__ import annotations` in the modules of the model: pydantic reads the annotations.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from ipaddress import IPv4Network, IPv6Network
from pathlib import PurePosixPath
from typing import Annotated, Any, Literal

from pydantic import (
    BeforeValidator,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    ValidationInfo,
    WithJsonSchema,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from handclasp.spec.names import (
    check_accepted_host,
    check_host_name,
    check_path,
    check_server_name,
    shown,
)
from handclasp.spec.paths import rule_path
from handclasp.spec.pkcs11_uri import Pkcs11Uri, is_pkcs11, parse_pkcs11_uri
from handclasp.spec.quantities import check_dns_server, parse_duration, parse_network, parse_size
from handclasp.spec.values import AllowRule, ListenAddress, Url

# sun_path of unix(7) has 108 bytes, one of them the final NUL.
_SOCKET_PATH_LIMIT = 107


@dataclass(frozen=True, slots=True, eq=False)  # compared by identity: a schema dict has no hash
class Shorthand:
    """Lets a field be written short: `expand` makes the long form of it before validation."""

    expand: Callable[[Any], Any]
    short: JsonSchemaValue | Literal["item"] | None
    """JSON Schema of the short form; `item`: one item of the list; None: `expand` only refuses."""

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return core_schema.no_info_before_validator_function(self.expand, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        long = handler(schema)
        if self.short is None:
            return long
        if self.short != "item":
            return {"anyOf": [self.short, long]}
        return {"anyOf": [long["items"], long]}


def _text(parse: Callable[[str], Any], *, form: str) -> Callable[[Any], Any]:
    """A before-validator that takes strings only and names the form expected."""

    def validate(value: Any) -> Any:
        if value is None:
            raise ValueError(f"{form} is expected, and nothing stands here")
        if not isinstance(value, str):
            raise ValueError(f"{form} is expected, not {kind_of(value)}")  # noqa: TRY004  pydantic wants ValueError
        return parse(value)

    return validate


def kind_of(value: Any) -> str:
    """What a YAML value is, in a word for people."""
    names = {
        bool: "true or false",
        int: "a number",
        float: "a decimal number",
        str: "text",
        list: "a list",
        dict: "a mapping",
    }
    return "nothing" if value is None else names.get(type(value), type(value).__name__)


def _scalar_text(value: Any) -> Any:
    """A number written without unit is taken as its digits (`size: 512`)."""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return value


def _path(value: Any, info: ValidationInfo) -> PurePosixPath:
    text = _text(check_path, form="a path")(value)
    base = (info.context or {}).get("base", PurePosixPath("."))
    return PurePosixPath(base, text)  # an absolute text wins over the base


def _identity_path(value: Any, info: ValidationInfo) -> PurePosixPath:
    if isinstance(value, str) and is_pkcs11(value):
        raise ValueError(
            "a certificate is read from a file, also when its key is in a token; the URI stands at `key:`"
        )
    return _path(value, info)


def _key(value: Any, info: ValidationInfo) -> PurePosixPath | Pkcs11Uri:
    if not isinstance(value, str):
        return _path(value, info)
    if is_pkcs11(value):
        return parse_pkcs11_uri(value)
    if match := re.match(r"(engine|store):", value):
        raise ValueError(
            f"write the key as pkcs11:token=…;object=… and not as {match[0]}…: which way nginx goes to it"
            " is found out"
        )
    return _path(value, info)


def _listen(value: Any, info: ValidationInfo) -> ListenAddress:
    address: ListenAddress = _text(ListenAddress.parse, form="host:port or unix:/path")(value)
    if address.path is None:
        return address
    path = str(_path(address.path, info))
    if (size := len(path.encode())) > _SOCKET_PATH_LIMIT:
        raise ValueError(
            f"the socket's path has {size} bytes with its directory;"
            f" the system takes at most {_SOCKET_PATH_LIMIT}"
        )
    return ListenAddress(path=path)


def _url(*schemes: str) -> Callable[[Any, ValidationInfo], Url]:
    def validate(value: Any, info: ValidationInfo) -> Url:
        url: Url = _text(lambda text: Url.parse(text, schemes=schemes), form="a URL")(value)
        return Url(url.scheme, path=str(_path(url.path, info))) if url.path is not None else url

    return validate


_STRING: JsonSchemaValue = {"type": "string"}

SpecPath = Annotated[
    PurePosixPath,
    BeforeValidator(_path),
    WithJsonSchema({**_STRING, "title": "path"}),
]
IdentityPath = Annotated[
    PurePosixPath | None,  # None only where the key is not written
    BeforeValidator(_identity_path),
    WithJsonSchema({**_STRING, "title": "path"}),
]
KeyPath = Annotated[
    PurePosixPath | Pkcs11Uri,
    BeforeValidator(_key),
    WithJsonSchema({**_STRING, "title": "path or PKCS#11 URI"}),
]
Listen = Annotated[
    ListenAddress,
    BeforeValidator(_listen),
    WithJsonSchema({**_STRING, "title": "address", "description": "host:port or unix:PATH"}),
]
TlsUrl = Annotated[
    Url,
    BeforeValidator(_url("https", "grpcs")),
    WithJsonSchema({**_STRING, "title": "URL", "pattern": "^(https|grpcs)://"}),
]
BackendUrl = Annotated[
    Url,
    BeforeValidator(_url("http", "https", "grpc", "grpcs")),
    WithJsonSchema({**_STRING, "title": "URL", "pattern": "^(http|https|grpc|grpcs)://"}),
]
Duration = Annotated[
    timedelta,
    BeforeValidator(_text(parse_duration, form="a duration such as 30s")),
    WithJsonSchema({**_STRING, "title": "duration", "pattern": "^([0-9]+(ms|s|m|h|d))+$"}),
]
StreamAge = Annotated[
    timedelta | None,
    BeforeValidator(
        lambda value: (
            None
            if value == "none"
            else _text(parse_duration, form="a duration such as 10m, or none")(value)
        )
    ),
    WithJsonSchema({**_STRING, "title": "duration", "pattern": "^(none|([0-9]+(ms|s|m|h|d))+)$"}),
]
Size = Annotated[
    int,
    BeforeValidator(
        lambda value: _text(parse_size, form="a size such as 16k")(_scalar_text(value))
    ),
    WithJsonSchema(
        {
            "type": ["integer", "string"],
            "title": "size",
            "minimum": 0,
            "pattern": "^[0-9]+[kKmMgG]?$",
        }
    ),
]
Network = Annotated[
    IPv4Network | IPv6Network,
    BeforeValidator(_text(parse_network, form="a network such as 10.0.0.0/8")),
    WithJsonSchema({**_STRING, "title": "network", "description": "10.0.0.0/8, or one address"}),
]
DnsServer = Annotated[
    str,
    BeforeValidator(_text(check_dns_server, form="an IP address")),
    WithJsonSchema({**_STRING, "title": "IP[:port]"}),
]
HostName = Annotated[
    str,
    BeforeValidator(_text(check_host_name, form="a host name")),
    WithJsonSchema({**_STRING, "title": "host name"}),
]
ServerName = Annotated[
    str,
    BeforeValidator(_text(check_server_name, form="a server name")),
    WithJsonSchema({**_STRING, "title": "server name"}),
]
AcceptedHost = Annotated[
    str,
    BeforeValidator(
        lambda value: (
            value if value == "*" else _text(check_accepted_host, form="a host name or *")(value)
        )
    ),
    WithJsonSchema({**_STRING, "title": "host name, IP address or *"}),
]
RULE_PATTERN = "^(cn|dn|dns|uri|email|ip|ou|issuer|sha256|spki):.|^spiffe://."
"""For editors; AllowRule.parse decides."""

Rule = Annotated[
    AllowRule,
    BeforeValidator(
        # `allow: any` has become a rule already (links.Clients).
        lambda value: (
            value
            if isinstance(value, AllowRule)
            else _text(AllowRule.parse, form="an allow rule such as cn:svc-b")(value)
        )
    ),
    WithJsonSchema(
        {
            **_STRING,
            "title": "rule",
            "description": "A rule such as cn:svc-b, dn:CN=svc-b,O=Example or dns:svc-b.internal.",
            "pattern": RULE_PATTERN,
        }
    ),
]

ARGUMENT_PATTERN = r"^[^\x00]+$"
Argument = Annotated[str, Field(pattern=ARGUMENT_PATTERN)]

METHOD_PATTERN = "^[A-Z]{1,32}$"
_RULE_PATH = re.compile(r"/[A-Za-z0-9._~!&'()*+,=:@/-]*")


def _rule_path(text: str) -> str:
    if not _RULE_PATH.fullmatch(text):
        raise ValueError(
            f"{shown(text)} cannot be a rule's path: such a path begins with / and holds ASCII letters,"
            " digits and ._~!&'()*+,=:@- only; pages beyond that fall under the rule for a path above"
        )
    return rule_path(text)


RulePath = Annotated[
    str,
    BeforeValidator(_text(_rule_path, form="a path such as /admin/")),
    WithJsonSchema({**_STRING, "title": "path"}),
]
"""A rule's path as `paths.rule_path` has it: without the slash at its end, "" for /."""
