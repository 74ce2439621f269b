"""`haproxy`: the headers of HAProxy's examples and of the OpenShift router.

X-SSL-Client-Verify is OpenSSL's number, 0 for verified; it is 0 without a certificate too, so the
certificate (`%[ssl_c_der,base64]`) is what makes a caller. X-SSL-Client-SAN has no settled form
and is not read; nor are the versions and session fields.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from handclasp.backend.agreement import (
    check_issuer,
    check_serial,
    check_sha1,
    check_subject,
    check_text,
    identity_of,
)
from handclasp.backend.certificate import read_leaf
from handclasp.backend.distinguished import SHORT_NAMES
from handclasp.backend.encodings import mended_base64
from handclasp.backend.identity import IdentityError, Reason, shown
from handclasp.backend.readers.reader import Reader, missing_certificate

if TYPE_CHECKING:
    from datetime import datetime

    from handclasp.backend.distinguished import Name
    from handclasp.backend.identity import ClientIdentity
    from handclasp.backend.readers.reader import Hop, Values

_DER, _VERIFY, _DN, _CN, _ISSUER, _SERIAL, _SHA1, _BEFORE, _AFTER = (
    "x-ssl-client-der",
    "x-ssl-client-verify",
    "x-ssl-client-dn",
    "x-ssl-client-cn",
    "x-ssl-issuer",
    "x-ssl-client-serial",
    "x-ssl-client-sha1",
    "x-ssl-client-notbefore",
    "x-ssl-client-notafter",
)
_ABOUT = (_DN, _CN, _ISSUER, _SERIAL, _SHA1, _BEFORE, _AFTER)


def _read(values: Values, _: Hop) -> ClientIdentity | None:
    verify, encoded = values.get(_VERIFY), values.get(_DER)
    if verify is not None and verify != "0":
        raise IdentityError(Reason.NOT_VERIFIED, f"X-SSL-Client-Verify is {shown(verify)}, not 0")
    if encoded is None:
        if any(name in values for name in _ABOUT):
            raise missing_certificate(values, "X-SSL-Client-DER")
        return None
    if verify is None:
        raise IdentityError(Reason.VERIFY_MISSING, "a certificate without X-SSL-Client-Verify")
    if "," in encoded:
        raise IdentityError(Reason.SEVERAL_INSTANCES, "X-SSL-Client-DER holds more than one value")
    der, notes = mended_base64(encoded)
    leaf = read_leaf(der)
    subject, issuer = (_unquoted(values.get(name)) for name in (_DN, _ISSUER))
    if subject is not None and subject.startswith("/"):
        check_text("subject", subject, (_oneline(leaf.subject_name),))
    else:
        check_subject(leaf, subject)
    if issuer is not None and issuer.startswith("/"):
        check_text("issuer", issuer, (_oneline(leaf.issuer_name),))
    else:
        check_issuer(leaf, issuer)
    check_text("common name", _unquoted(values.get(_CN)), _spellings(leaf.common_names))
    check_serial(leaf, values.get(_SERIAL))
    check_sha1(leaf, values.get(_SHA1))
    check_text("start of validity", values.get(_BEFORE), _times(leaf.not_before))
    check_text("end of validity", values.get(_AFTER), _times(leaf.not_after))
    return identity_of(leaf, "haproxy", verify=verify, notes=notes)


def _unquoted(value: str | None) -> str | None:
    """`%{+Q}` puts quotes around a value and escapes nothing."""
    if value is not None and len(value) > 1 and value[0] == value[-1] == '"':
        return value[1:-1]
    return value


def _oneline(name: Name) -> str:
    """HAProxy's default form, `/C=FR/CN=x`, as it reaches us: bytes read as Latin-1."""
    return "".join(
        f"/{SHORT_NAMES.get(one.oid or '', one.oid)}={one.value.decode('latin-1')}"
        for rdn in reversed(name)
        for one in reversed(rdn)
    )


def _spellings(names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(
        spelling
        for name in names
        for spelling in (name, name.encode("utf-8", "surrogatepass").decode("latin-1"))
    )


def _times(moment: datetime) -> tuple[str, ...]:
    short, long = moment.strftime("%y%m%d%H%M%S"), moment.strftime("%Y%m%d%H%M%S")
    return short, f"{short}Z", long, f"{long}Z"


READER = Reader("haproxy", (_DER, _VERIFY, *_ABOUT), _read)
