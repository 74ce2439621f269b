"""`check_spec`: every rule over several keys, in the order of the file's lines."""

from __future__ import annotations

from typing import TYPE_CHECKING

from handclasp.spec.checks.egress import check_egress
from handclasp.spec.checks.ingress import check_ingress
from handclasp.spec.checks.issuer_kinds import check_issuer_kinds
from handclasp.spec.checks.issuers import check_issuers
from handclasp.spec.checks.listeners import check_listeners
from handclasp.spec.checks.lists import check_lists
from handclasp.spec.checks.names import check_names
from handclasp.spec.checks.tokens import check_tokens
from handclasp.spec.checks.trust_domains import check_trust_domains

if TYPE_CHECKING:
    from handclasp.findings import Finding
    from handclasp.spec.load import LoadedSpec


def check_spec(loaded: LoadedSpec, *, insecure_allowed: bool) -> list[Finding]:
    """What is wrong or worth knowing in a well-formed spec, without reading any file it names.

    `insecure_allowed` says whether HANDCLASP_ALLOW_INSECURE=1 is set for this process.
    """
    findings = [
        *check_names(loaded),
        *check_issuers(loaded),
        *check_issuer_kinds(loaded),
        *check_lists(loaded),
        *check_trust_domains(loaded),
        *check_tokens(loaded),
        *check_listeners(loaded),
        *check_egress(loaded, insecure_allowed=insecure_allowed),
        *check_ingress(loaded),
    ]
    return sorted(findings, key=lambda one: (one.where.line or 0, one.where.column or 0))
