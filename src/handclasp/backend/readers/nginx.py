"""`x-client-cert`, `x-ssl-cert`, `ingress-nginx`: nginx's variables, each in a header of its own; and
`original-client-cert`, the certificate that an earlier hop saw.

The certificate is `$ssl_client_escaped_cert`, the verification result `$ssl_client_verify`: SUCCESS,
FAILED:reason or NONE (ngx_http_ssl_module).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from handclasp.backend.agreement import (
    check_issuer,
    check_not_after,
    check_serial,
    check_sha1,
    check_subject,
    identity_of,
)
from handclasp.backend.certificate import read_leaf
from handclasp.backend.dialects import DIALECTS, Field
from handclasp.backend.identity import IdentityError, Reason, shown
from handclasp.backend.readers.reader import Reader, missing_certificate, one_pem

if TYPE_CHECKING:
    from collections.abc import Mapping

    from handclasp.backend.identity import ClientIdentity
    from handclasp.backend.readers.reader import Hop, Values

ORIGINAL = "original-client-cert"
"""No dialect of `forward`: what an ingress link hands on of an earlier hop that it trusts
(`original_certificate`). It has no verdict, the link itself leaves out what it does not believe."""
INGRESS_NGINX = {
    Field.CERTIFICATE: "SSL-Client-Cert",
    Field.VERIFY: "SSL-Client-Verify",
    Field.SUBJECT: "SSL-Client-Subject-DN",
    Field.ISSUER: "SSL-Client-Issuer-DN",
}


def renamed(dialect: str, headers: Mapping[str, str]) -> Reader:
    """The reader of a dialect some of whose fields come under other names, as `headers` of a link's
    `forward` can say. Raises ValueError for an unknown field or a dialect that has none.
    """
    fields = _FIELDS.get(dialect)
    if fields is None:
        raise ValueError(f"the headers of {dialect} have no other names")
    unknown = set(headers) - set(fields)
    if unknown:
        raise ValueError(f"{dialect} has no field {', '.join(sorted(unknown))}")
    names = fields | {Field(key): name for key, name in headers.items()}
    if len({name.lower() for name in names.values()}) != len(names):
        raise ValueError(f"two fields of {dialect} under one name")
    return _reader(dialect, names)


def _reader(dialect: str, fields: Mapping[Field, str]) -> Reader:
    names = {key: name.lower() for key, name in fields.items()}

    def read(values: Values, _: Hop) -> ClientIdentity | None:
        return _read(dialect, {key: values.get(name) for key, name in names.items()}, values)

    return Reader(dialect, tuple(names.values()), read)


def _read(dialect: str, told: dict[Field, str | None], values: Values) -> ClientIdentity | None:
    verify, certificate = told.get(Field.VERIFY), told[Field.CERTIFICATE]
    if Field.VERIFY in told:
        _check_verify(verify, certificate)
    if certificate is None:
        if any(value is not None for key, value in told.items() if key is not Field.VERIFY):
            raise missing_certificate(values, "a certificate")
        return None
    der, notes = one_pem(certificate)
    leaf = read_leaf(der)
    check_subject(leaf, told.get(Field.SUBJECT))
    check_issuer(leaf, told.get(Field.ISSUER))
    check_serial(leaf, told.get(Field.SERIAL))
    check_sha1(leaf, told.get(Field.FINGERPRINT))
    check_not_after(leaf, told.get(Field.NOT_AFTER))
    return identity_of(leaf, dialect, verify=verify, notes=notes)


def _check_verify(verify: str | None, certificate: str | None) -> None:
    if verify is not None and (verify == "FAILED" or verify.startswith("FAILED:")):
        raise IdentityError(Reason.NOT_VERIFIED, f"nginx says {shown(verify)}")
    if verify not in (None, "NONE", "SUCCESS"):
        raise IdentityError(Reason.MALFORMED, f"no verification result: {shown(verify)}")
    if verify == "SUCCESS" and certificate is None:
        raise IdentityError(Reason.CERTIFICATE_MISSING, "SUCCESS without a certificate")
    if verify is None and certificate is not None:
        raise IdentityError(
            Reason.VERIFY_MISSING, "a certificate without the header that says it was verified"
        )
    if verify == "NONE" and certificate is not None:
        raise IdentityError(Reason.CONTRADICTION, "a certificate, and NONE as its verification")


_FIELDS = {
    "x-client-cert": DIALECTS["x-client-cert"].fields,
    "x-ssl-cert": DIALECTS["x-ssl-cert"].fields,
    "ingress-nginx": INGRESS_NGINX,
    ORIGINAL: {Field.CERTIFICATE: "X-Original-Client-Cert"},
}

READERS = tuple(_reader(dialect, fields) for dialect, fields in _FIELDS.items())
