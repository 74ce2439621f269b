"""One reader for each dialect: header values in, an identity, None or an IdentityError out.

A reader sees only non-empty values, one for each lower-case name of its `names`, and only its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from handclasp.backend.readers import (
    aws_alb,
    azure_arr,
    compact,
    haproxy,
    nginx,
    rfc9440,
    traefik,
    xfcc,
)

if TYPE_CHECKING:
    from handclasp.backend.readers.reader import Reader

READERS: dict[str, Reader] = {
    reader.dialect: reader
    for reader in (
        *nginx.READERS,
        rfc9440.READER,
        xfcc.READER,
        traefik.READER,
        aws_alb.READER,
        azure_arr.READER,
        haproxy.READER,
        compact.READER,
    )
}
