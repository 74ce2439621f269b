"""Names a certificate may carry, as people write them. Pure."""

from __future__ import annotations

import ipaddress
import re
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.x509.oid import NameOID

from handclasp.ca.uris import SPIFFE, check_uri
from handclasp.certs.constraints import refused_by_some, violations
from handclasp.certs.names import as_address
from handclasp.spec.names import check_host_name, check_server_name, shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_LIKE_DNS = re.compile(r"[A-Za-z0-9_*.-]+\Z")
MOST_NAMES = 100
"""Of one certificate: with more it outgrows the buffers for handshakes, and verifiers give up."""
_MAILBOX = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}\Z")


def dns_name(text: str) -> x509.DNSName:
    """A DNS name, or `*.` and one, in the syntax RFC 5280 section 4.2.1.6 asks for. Raises ValueError."""
    name = check_server_name(text)
    if "_" in name:
        raise ValueError(f"{shown(text)}: certificates cannot have an underscore in a DNS name")
    if name.startswith("*.") and "." not in name[2:]:
        raise ValueError(f"{shown(text)}: a wildcard needs two labels after the star")
    return x509.DNSName(name)


def ip_address(text: str) -> x509.IPAddress:
    """An IPv4 or IPv6 address. Raises ValueError."""
    address = as_address(text)
    if address is None or "%" in text:
        raise ValueError(f"{shown(text)} is not an IP address")
    return x509.IPAddress(address)


def uri(text: str) -> x509.UniformResourceIdentifier:
    """An absolute URI with a host; a SPIFFE ID by the rules of the SPIFFE-ID document, section 2."""
    check_uri(text)
    return x509.UniformResourceIdentifier(text)


def email(text: str) -> x509.RFC822Name:
    """A mailbox (RFC 5280 section 4.2.1.6). Raises ValueError."""
    mailbox, at, host = text.rpartition("@")
    if not at or not _MAILBOX.match(mailbox):
        raise ValueError(f"{shown(text)} is not an e-mail address")
    return x509.RFC822Name(f"{mailbox}@{check_host_name(host)}")


def guessed_name(text: str) -> x509.GeneralName:
    """The kind of name a text looks like. Raises ValueError when it looks like none."""
    if "://" in text:
        return uri(text)
    if as_address(text) is not None:
        return ip_address(text)
    if "@" in text:
        return email(text)
    return dns_name(text)


def leaf_names(
    name: str, given: Sequence[x509.GeneralName], requested: Sequence[x509.GeneralName] = ()
) -> tuple[x509.GeneralName, ...]:
    """The alternative names of a leaf called `name`: those given and requested, `name` itself first.

    A bare word is a DNS name only where there is no other: `svc-b` with a SPIFFE ID is a label. What is
    no name of any kind needs another one beside it. Raises ValueError, also for a SPIFFE ID that is not
    the only URI (X.509-SVID section 2).
    """
    others = [*given, *requested]
    if not name.isprintable() or name != name.strip():
        raise ValueError(
            f"{shown(name)} holds characters that cannot be printed, or begins or ends blank"
        )
    try:
        own = [guessed_name(name)]
    except ValueError:
        if not others:
            raise ValueError(
                f"{shown(name)} is no DNS name, IP address, URI or e-mail address, and a certificate"
                " needs one of these: most programs look nowhere else"
            ) from None
        own = []
    if others and own and isinstance(own[0], x509.DNSName) and "." not in own[0].value:
        own = []
    names = tuple(dict.fromkeys([*own, *others]))
    if len(names) > MOST_NAMES:
        raise ValueError(
            f"a certificate has at most {MOST_NAMES} names, and these are {len(names)}"
        )
    uris = [one for one in names if isinstance(one, x509.UniformResourceIdentifier)]
    if len(uris) > 1 and any(one.value.startswith(SPIFFE) for one in uris):
        raise ValueError("a certificate with a SPIFFE ID has no other URI")
    return names


def checked(name: x509.GeneralName) -> x509.GeneralName:
    """A name from a stranger, when it is one that could be asked for in the same form. Raises ValueError."""
    value = str(getattr(name, "value", ""))
    match name:
        case x509.DNSName():
            made: x509.GeneralName = dns_name(value)
        case x509.IPAddress():
            made = ip_address(value)
        case x509.UniformResourceIdentifier():
            made = uri(value)
        case x509.RFC822Name():
            made = email(value)
        case _:
            raise ValueError("this kind of name is not issued")
    if str(getattr(made, "value", "")).lower() != value.lower():
        raise ValueError(
            f"{shown(value)} would be written {shown(str(getattr(made, 'value', '')))}"
        )
    return made


def shown_name(name: x509.GeneralName) -> str:
    """`dns:…`, `ip:…`, `uri:…`, `email:…`."""
    match name:
        case x509.DNSName():
            return f"dns:{name.value}"
        case x509.IPAddress():
            return f"ip:{name.value}"
        case x509.UniformResourceIdentifier():
            return f"uri:{name.value}"
        case x509.RFC822Name():
            return f"email:{name.value}"
    return f"other:{type(name).__name__}"


def constraint(kind: str, text: str) -> x509.GeneralName:
    """One base of name constraints (RFC 5280 section 4.2.1.10): `dns`, `ip`, `uri` or `email`.

    DNS names and hosts cover what is below them; a leading dot, which other programs want or refuse,
    is for URIs and e-mail only. Raises ValueError.
    """
    match kind:
        case "dns":
            return x509.DNSName(_plain_host(text.removeprefix(".")))
        case "ip":
            try:
                return x509.IPAddress(ipaddress.ip_network(text))
            except ValueError as problem:
                raise ValueError(f"{shown(text)} is not a network: {problem}") from None
        case "uri":
            return x509.UniformResourceIdentifier(_dotted_host(text))
        case "email":
            return x509.RFC822Name(email(text).value if "@" in text else _dotted_host(text))
    raise ValueError(f"{shown(kind)} is no kind of name; write dns:, ip:, uri: or email:")


def _dotted_host(text: str) -> str:
    dot = "." if text.startswith(".") else ""
    return dot + _plain_host(text.removeprefix("."))


def _plain_host(text: str) -> str:
    """Java cannot read a CA certificate with an underscore in its constraints."""
    if "_" in text:
        raise ValueError(f"{shown(text)}: constraints cannot have an underscore in a host")
    return check_host_name(text)


def constraints_of(
    permitted: Iterable[x509.GeneralName], excluded: Iterable[x509.GeneralName]
) -> x509.NameConstraints | None:
    """The extension's value, None when there is nothing in it."""
    inside, outside = list(permitted), list(excluded)
    if not inside and not outside:
        return None
    return x509.NameConstraints(inside or None, outside or None)


def forbidden_by(
    authority: x509.Certificate, names: Sequence[x509.GeneralName], subject: x509.Name
) -> list[str]:
    """The names that the constraints of a CA certificate forbid it to issue for, or that some verifier
    would refuse for them. The commonName is not among them: see `subject_below`."""
    limits = _limits(authority)
    if limits is None:
        return []
    directory = [x509.DirectoryName(subject)] if subject.rdns else []
    every = [*names, *directory]
    return list(dict.fromkeys([*violations(limits, every), *refused_by_some(limits, every)]))


def subject_below(
    authority: x509.Certificate, names: Sequence[x509.GeneralName], subject: x509.Name
) -> x509.Name:
    """The subject without a commonName that is held to DNS constraints and is outside them.

    Where a certificate has no DNS name, OpenSSL (NAME_CONSTRAINTS_check_CN in crypto/x509/v3_ncons.c)
    takes a commonName with dots for one, and Java any word.
    """
    limits = _limits(authority)
    if limits is None or any(isinstance(name, x509.DNSName) for name in names):
        return subject

    def outside(attribute: x509.NameAttribute[str | bytes]) -> bool:
        text = str(attribute.value)
        like_dns = attribute.oid == NameOID.COMMON_NAME and bool(_LIKE_DNS.match(text))
        return like_dns and bool(violations(limits, [x509.DNSName(text)]))

    return x509.Name([one for one in subject if not outside(one)])


def _limits(authority: x509.Certificate) -> x509.NameConstraints | None:
    try:
        return authority.extensions.get_extension_for_class(x509.NameConstraints).value
    except x509.ExtensionNotFound:
        return None
