"""`type: spiffe`: identities of the SPIFFE Workload API. docs/reference/spec.md comes from this."""

from typing import ClassVar, Literal

from handclasp.spec.issuer import IssuerSection
from handclasp.spec.types import SpecPath


class Spiffe(IssuerSection):
    """X.509-SVIDs from the Workload API of a SPIRE agent or another; keys come from there too."""

    names_by_itself: ClassVar[bool] = True
    brings_key: ClassVar[bool] = True

    type: Literal["spiffe"]
    socket: SpecPath | None = None
    """The API's unix socket; default: $SPIFFE_ENDPOINT_SOCKET."""
