"""What the CAs of a chain allow below them: path length and name constraints (RFC 5280, 4.2.1.9 and 10)."""

from __future__ import annotations

import ipaddress
import re
import string
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.x509.oid import NameOID

from handclasp.certs import facts
from handclasp.certs.counting import counted
from handclasp.certs.names import common_names, readable, subject_alt_names
from handclasp.findings import Finding, Where, found

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


_HOST = re.compile(
    r"[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?(\.[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?)+"
)
_BLANKS = " \t\n\v\f\r"
_WHITE = re.compile(f"[{_BLANKS}]+")
_LOWER = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?"
_PLAIN_URI = re.compile(
    rf"[A-Za-z][A-Za-z0-9+.-]*://(?P<host>{_LABEL}(?:\.{_LABEL})*)(?::[0-9]+)?(?:/[^\s\\]*)?\Z"
)


def check_constraints(links: Sequence[x509.Certificate], *, where: Where) -> list[Finding]:
    """A chain, leaf first, against the constraints of each CA in it."""
    return [*_path_lengths(links, where), *_name_constraints(links, where)]


def _path_lengths(links: Sequence[x509.Certificate], where: Where) -> list[Finding]:
    findings: list[Finding] = []
    for position, authority in enumerate(links[1:], 1):
        constraints = facts.basic_constraints(authority)
        if constraints is None or constraints.path_length is None:
            continue
        # Self-issued certificates, made when a CA changes its key, do not count.
        between = sum(one.issuer != one.subject for one in links[1:position])
        if between > constraints.path_length:
            seen = (
                f"{facts.label(authority)} allows "
                f"{counted(constraints.path_length, 'intermediate')} below it (pathLenConstraint), and "
                f"there {'is' if between == 1 else 'are'} {between}"
            )
            findings.append(found("path-length-exceeded", seen, where=where))
    return findings


def _name_constraints(links: Sequence[x509.Certificate], where: Where) -> list[Finding]:
    """Every certificate below a CA has to keep to its constraints, but for self-issued CAs."""
    findings: list[Finding] = []
    for position, authority in enumerate(links[1:], 1):
        constraints = _constraints(authority)
        if constraints is None:
            continue
        for number, certificate in enumerate(links[:position]):
            if number and certificate.issuer == certificate.subject:
                continue
            for name in violations(constraints, _names(certificate)):
                seen = (
                    f"{facts.label(authority)} may not issue for {name}, which "
                    f"{facts.label(certificate)} has: its name constraints forbid it"
                )
                findings.append(found("name-constraint-violated", seen, where=where))
    return findings


def violations(constraints: x509.NameConstraints, names: Iterable[x509.GeneralName]) -> list[str]:
    """The names that are excluded, or for whose kind there are permitted ones and none covers it."""
    bad: list[str] = []
    for name in names:
        bases = [*(constraints.excluded_subtrees or ()), *(constraints.permitted_subtrees or ())]
        unreadable = _unreadable(name) and any(type(base) is type(name) for base in bases)
        excluded = any(_covers(base, name) for base in constraints.excluded_subtrees or ())
        permitted = [b for b in constraints.permitted_subtrees or () if type(b) is type(name)]
        if (
            unreadable
            or excluded
            or (permitted and not any(_covers(base, name) for base in permitted))
        ):
            bad.append(readable(name))
    return bad


def _constraints(authority: x509.Certificate) -> x509.NameConstraints | None:
    try:
        return authority.extensions.get_extension_for_class(x509.NameConstraints).value
    except x509.ExtensionNotFound:
        return None


def _names(certificate: x509.Certificate) -> list[x509.GeneralName]:
    """SANs, the subject, the mail addresses in it, and its common names where they pass for host names.

    OpenSSL holds a common name to the constraints when there is no DNS SAN (NAME_CONSTRAINTS_check_CN).
    """
    names: list[x509.GeneralName] = []
    if subject_alt_names(certificate):
        names += certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    if certificate.subject.rdns:
        names.append(x509.DirectoryName(certificate.subject))
    if not any(isinstance(name, x509.DNSName) for name in names):
        names += [x509.DNSName(cn) for cn in common_names(certificate) if _HOST.fullmatch(cn)]
    for attribute in certificate.subject.get_attributes_for_oid(NameOID.EMAIL_ADDRESS):
        if str(attribute.value).isascii():
            names.append(x509.RFC822Name(str(attribute.value)))
    return names


def _covers(base: x509.GeneralName, name: x509.GeneralName) -> bool:
    match base, name:
        case x509.DNSName(), x509.DNSName():
            return _below(base.value, name.value)
        case x509.IPAddress(), x509.IPAddress():
            network = base.value
            if isinstance(network, (ipaddress.IPv4Network, ipaddress.IPv6Network)):
                return name.value in network
            return False
        case x509.UniformResourceIdentifier(), x509.UniformResourceIdentifier():
            return _covers_host(base.value, _uri_host(name.value))
        case x509.RFC822Name(), x509.RFC822Name():
            mailbox, wanted = name.value, base.value
            local, _, host = mailbox.rpartition("@")
            if "@" not in wanted:
                return _covers_host(wanted, host)
            # What is before the @ is told apart by case (RFC 5321 section 2.4).
            wanted_local, _, wanted_host = wanted.rpartition("@")
            same = not wanted_local or local == wanted_local
            return same and host.lower() == wanted_host.lower()
        case x509.DirectoryName(), x509.DirectoryName():
            wanted_rdns = [_folded(rdn) for rdn in base.value.rdns]
            return [_folded(rdn) for rdn in name.value.rdns][: len(wanted_rdns)] == wanted_rdns
    return False


def _folded(rdn: x509.RelativeDistinguishedName) -> frozenset[tuple[str, str | bytes]]:
    """Names are equal without regard to case and to how much white space there is (RFC 5280, 7.1), in
    any string type; as OpenSSL does it (x509_name_canon), the case of ASCII letters alone counts as one."""
    return frozenset(
        (
            attribute.oid.dotted_string,
            attribute.value
            if isinstance(attribute.value, bytes)
            else _WHITE.sub(" ", attribute.value.strip(_BLANKS)).translate(_LOWER),
        )
        for attribute in rdn
    )


def _below(base: str, name: str) -> bool:
    base, name = base.lower(), name.lower()
    return not base or name == base or name.endswith(base if base[0] == "." else f".{base}")


def _covers_host(base: str, host: str) -> bool:
    """With a leading dot: hosts below it only; without: exactly that host."""
    base, host = base.lower(), host.lower()
    return host.endswith(base) and host != base if base.startswith(".") else host == base


def _uri_host(uri: str) -> str:
    """The host as OpenSSL finds it (nc_uri in crypto/x509/v3_ncons.c): to the first colon anywhere, else
    to the first slash. Userinfo and what follows a question mark are part of it."""
    scheme, separator, rest = uri.partition(":")
    if not scheme or not separator or not rest.startswith("//"):
        return ""
    rest = rest[2:]
    return rest.partition(":" if ":" in rest else "/")[0]


def _unreadable(name: x509.GeneralName) -> bool:
    """A name that OpenSSL refuses wherever there is a constraint of its kind."""
    match name:
        case x509.UniformResourceIdentifier():
            return not _uri_host(name.value)
        case x509.RFC822Name():
            return "@" not in name.value
        case x509.IPAddress():
            return not isinstance(name.value, (ipaddress.IPv4Address, ipaddress.IPv6Address))
    return False


def refused_by_some(
    constraints: x509.NameConstraints, names: Iterable[x509.GeneralName]
) -> list[str]:
    """The names that Go or Java refuse below these constraints, or that get round an exclusion in one
    program or another: what a careful CA does not issue, whatever `violations` says."""
    excluded = list(constraints.excluded_subtrees or ())
    bases = [*(constraints.permitted_subtrees or ()), *excluded]
    bad: list[str] = []
    for name in names:
        doubtful = any(_overlaps(base, name) for base in excluded)
        if isinstance(name, x509.UniformResourceIdentifier):
            doubtful = doubtful or (any(type(b) is type(name) for b in bases) and _odd_host(name))
        if doubtful:
            bad.append(readable(name))
    return bad


def _overlaps(base: x509.GeneralName, name: x509.GeneralName) -> bool:
    """Whether a verifier may see an excluded name in this one."""
    match base, name:
        case x509.DNSName(), x509.DNSName():
            star, _, above = name.value.lower().partition(".")
            return star == "*" and base.value.lower().lstrip(".").partition(".")[2] == above
        case x509.RFC822Name(), x509.RFC822Name():
            return base.value.lower() == name.value.lower()
        case x509.UniformResourceIdentifier(), x509.UniformResourceIdentifier():
            plain = _PLAIN_URI.match(name.value)
            return plain is not None and _covers_host(base.value, plain["host"])
        case x509.IPAddress(), x509.IPAddress():
            mapped = getattr(name.value, "ipv4_mapped", None)
            return mapped is not None and _covers(base, x509.IPAddress(mapped))
    return False


def _odd_host(name: x509.UniformResourceIdentifier) -> bool:
    """RFC 5280 section 4.2.1.10 wants a fully qualified name; programs differ over all else."""
    plain = _PLAIN_URI.match(name.value)
    return plain is None or plain["host"].rpartition(".")[2].isdecimal()
