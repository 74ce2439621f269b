"""`azure-arr`: the leaf as base64 DER.

No verification field, and Azure App Service itself verifies nothing: only a proxy that does may be
a trusted peer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from handclasp.backend.agreement import identity_of
from handclasp.backend.certificate import read_leaf
from handclasp.backend.encodings import mended_base64
from handclasp.backend.identity import IdentityError, Reason
from handclasp.backend.readers.reader import Reader

if TYPE_CHECKING:
    from handclasp.backend.identity import ClientIdentity
    from handclasp.backend.readers.reader import Hop, Values

_NAME = "x-arr-clientcert"


def _read(values: Values, _: Hop) -> ClientIdentity | None:
    value = values.get(_NAME)
    if value is None:
        return None
    if "," in value:
        raise IdentityError(Reason.SEVERAL_INSTANCES, "X-ARR-ClientCert holds more than one value")
    der, notes = mended_base64(value)
    return identity_of(read_leaf(der), "azure-arr", notes=notes)


READER = Reader("azure-arr", (_NAME,), _read)
