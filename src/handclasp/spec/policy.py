"""The settings links have in common: TLS policy, connection pool, timeouts, limits, credentials."""

from datetime import timedelta
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from handclasp.spec.types import Duration, HostName, Shorthand, Size, SpecPath

ACCOUNT_PATTERN = r"^[a-z_][a-z0-9_-]*\$?$"
VARIABLE_PATTERN = r"^[A-Za-z_][A-Za-z0-9_]*$"
OPENSSL_PATTERN = r"^[A-Za-z0-9!+@=_-]{1,64}$"


class Section(BaseModel):
    """Base of every mapping in the spec: unknown keys are errors, values never change afterwards.

    `strict`: the text "3" is no number and "yes" is not true, as in the JSON Schema. Descriptions
    are taken from the attribute docstrings by `schema` and not here, where reading the source would
    double the time every command takes to start.
    """

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        strict=True,
        arbitrary_types_allowed=True,
        defer_build=True,
        hide_input_in_errors=True,
    )


class SecretSource(Section):
    """Where a secret is read from; never the secret itself."""

    file: SpecPath | None = None
    """File that holds the secret; one trailing newline is cut."""
    env: str | None = Field(default=None, pattern=VARIABLE_PATTERN)
    """Environment variable of the handclasp process that holds the secret."""

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        if (self.file is None) == (self.env is None):
            raise ValueError("a secret is either {file: PATH} or {env: NAME}")
        return self


def _not_a_literal(value: Any) -> Any:
    if isinstance(value, str | int | float):
        # The message must not repeat the value: it is most likely the secret itself.
        raise ValueError("a secret is never written in the spec; use {file: PATH} or {env: NAME}")  # noqa: TRY004
    return value


Secret = Annotated[SecretSource, Shorthand(expand=_not_a_literal, short=None)]


OpenSslName = Annotated[str, Field(pattern=OPENSSL_PATTERN)]
"""A cipher suite or group as OpenSSL calls it; a cipher may begin with ! or +."""


class TlsPolicy(Section):
    """Protocols, cipher suites and groups; `tls: modern` is short for `{profile: modern}`."""

    profile: Literal["modern", "intermediate"] = "intermediate"
    """Mozilla's profile: modern is TLS 1.3 only, intermediate adds TLS 1.2 with AEAD suites."""
    protocols: list[Literal["TLSv1.2", "TLSv1.3"]] | None = Field(default=None, min_length=1)
    """Protocol versions instead of the profile's."""
    ciphers: list[OpenSslName] | None = Field(default=None, min_length=1)
    """OpenSSL names of cipher suites instead of the profile's; TLS 1.3 suites begin with TLS_."""
    groups: list[OpenSslName] | None = Field(default=None, min_length=1)
    """Key exchange groups in order of preference instead of the profile's."""


Tls = Annotated[
    TlsPolicy,
    Shorthand(
        expand=lambda value: {"profile": value} if isinstance(value, str) else value,
        short={"enum": ["modern", "intermediate"]},
    ),
]


class Verify(Section):
    """What the peer's certificate must show."""

    name: HostName | None = None
    """DNS name the certificate must carry; also sent as SNI. Default: the upstream's host name."""
    depth: int = Field(default=4, ge=1, le=32)
    """How many intermediates the chain may have (nginx's own default is 1)."""


class Pool(Section):
    """Kept-open connections to the upstream, per worker and connection policy."""

    size: int = Field(default=128, ge=1, le=65535)
    """Idle connections kept open per worker; fewer than concurrent requests costs dearly."""
    idle: Duration = timedelta(seconds=4)
    """An idle connection is closed after this; Node servers close theirs after 5 s."""
    requests: int = Field(default=10_000, ge=1)
    """Requests served over one connection before it is replaced."""
    age: Duration = timedelta(minutes=10)
    """An older connection is not reused: the bound for how long a replaced identity is in use."""


class Timeouts(Section):
    """Each is the time between two operations, not for the whole request."""

    connect: Duration = timedelta(seconds=5)
    """TCP connect and TLS handshake with the upstream or backend."""
    read: Duration = timedelta(seconds=60)
    """Between two reads of the answer."""
    send: Duration = timedelta(seconds=60)
    """Between two writes of the request."""
    idle: Duration = timedelta(seconds=75)
    """An idle keep-alive connection of a caller is closed after this."""
    header: Duration = timedelta(seconds=20)
    """For a caller to send its request header (and, on ingress, to finish the handshake)."""


class Rate(Section):
    """Requests admitted per caller address."""

    requests: int = Field(ge=1)
    """How many requests per `per`."""
    per: Literal["second", "minute"] = "second"
    """The time `requests` counts in."""
    burst: int = Field(default=0, ge=0)
    """How many above the rate are let through at once before 429 is answered."""


class Limits(Section):
    """What a caller may send."""

    body: Size | None = None
    """Largest request body; 0 is no limit. Default: no limit on egress, 16m on ingress."""
    header: Size = Field(default=16 * 1024, ge=1024, le=1024 * 1024)
    """Largest single request header line."""
    rate: Rate | None = None
    """Requests per caller address; more are answered with 429."""
    connections: int | None = Field(default=None, ge=1)
    """Concurrent connections per caller address."""
