"""For applications behind an ingress link. Imports nothing else of handclasp.

``identity``       who is calling, as a value; the one error
``parsing``        headers of a dialect → identity; ``readers/`` has one reader for each dialect
``certificate``    what a DER certificate says; ``distinguished`` names, ``encodings`` of headers,
                   ``agreement`` of what is told beside a certificate with the certificate
``gate``           who may tell: trusted peers, refusals, log lines; ``forwarding``: whether the
                   request may have named its peer itself
``asgi``, ``wsgi``, ``django``, ``starlette``  the gate for each kind of application
``compact``        the format of the dialect `handclasp`
``dialects``       the header names of every identity dialect, in one list
"""

from handclasp.backend.compact import encode_handclasp
from handclasp.backend.dialects import DIALECTS
from handclasp.backend.identity import (
    ClientIdentity,
    IdentityError,
    Note,
    Reason,
    SubjectAltNames,
)
from handclasp.backend.parsing import IdentityReader, parse

__all__ = [
    "DIALECTS",
    "ClientIdentity",
    "IdentityError",
    "IdentityReader",
    "Note",
    "Reason",
    "SubjectAltNames",
    "encode_handclasp",
    "parse",
]
