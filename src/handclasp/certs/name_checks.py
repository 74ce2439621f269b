"""Checks of names: what a server identity must cover, and what nginx accepts from an upstream."""

from __future__ import annotations

from typing import TYPE_CHECKING

from handclasp.certs import facts
from handclasp.certs.names import Coverage, as_address, coverage, subject_alt_names
from handclasp.findings import Finding, Severity, Where, found

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from cryptography import x509


def check_server_names(
    leaf: x509.Certificate, names: Sequence[str], *, where: Where
) -> list[Finding]:
    """A server certificate against nginx server_names (`.example.com` means both forms)."""
    findings: list[Finding] = []
    sans = subject_alt_names(leaf)
    if not any(san.startswith(("dns:", "ip:", "uri:")) for san in sans):
        seen = f"the certificate {facts.label(leaf)} has no subjectAltName"
        findings.append(found("san-missing", seen, where=where))
    for name in _expanded(names):
        findings += _server_name(leaf, name, sans, where=where)
    return findings


def check_peer_name(leaf: x509.Certificate, name: str, *, where: Where) -> list[Finding]:
    """An upstream's certificate against the name nginx verifies (`proxy_ssl_name`).

    nginx compares with X509_check_host only: IP SANs never match, and the common name counts when
    there is no DNS SAN.
    """
    sans = subject_alt_names(leaf)
    if as_address(name) is None:
        how = coverage(leaf, name)
        if how is Coverage.SAN:
            return []
        if how is Coverage.COMMON_NAME:
            seen = f"the upstream's certificate has {name} as common name only"
            return [found("san-missing", seen, where=where, severity=Severity.WARNING)]
    if sans and all(san.startswith("ip:") for san in sans):
        seen = f"the upstream's certificate lists only addresses: {_listed(sans)}"
        return [found("ip-sans-only-upstream", seen, where=where)]
    slug = "hostname-not-in-san" if as_address(name) is None else "ip-san-missing"
    seen = f"the upstream's certificate is for {_listed(sans) or facts.label(leaf)}, not for {name}"
    return [found(slug, seen, where=where)]


def _server_name(
    leaf: x509.Certificate, name: str, sans: tuple[str, ...], *, where: Where
) -> list[Finding]:
    how = coverage(leaf, name)
    if how is Coverage.SAN:
        return []
    subject = f"the certificate {facts.label(leaf)}"
    if how is Coverage.IP_AS_DNS:
        seen = f"{subject} has the address {name} as a DNS name"
        return [found("san-ip-as-dns", seen, where=where)]
    if how is Coverage.COMMON_NAME:
        if not sans:
            return []  # san-missing says it already
        seen = f"{subject} has {name} as common name only, not as subjectAltName"
        return [found("name-not-covered", seen, where=where)]
    slug = "name-not-covered" if as_address(name) is None else "ip-san-missing"
    seen = f"{subject} does not cover {name}; it covers {_listed(sans) or 'no name'}"
    return [found(slug, seen, where=where)]


def _expanded(names: Iterable[str]) -> list[str]:
    expanded: list[str] = []
    for name in names:
        # Regular expressions and nginx's catch-all spellings cannot be looked up.
        if name in ("", "_") or name.startswith("~"):
            continue
        expanded += [name[1:], f"*{name}"] if name.startswith(".") else [name]
    return list(dict.fromkeys(expanded))


def _listed(sans: Sequence[str]) -> str:
    shown = ", ".join(san.removeprefix("dns:").removeprefix("ip:") for san in sans[:8])
    return f"{shown} and {len(sans) - 8} more" if len(sans) > 8 else shown
