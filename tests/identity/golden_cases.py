"""Golden cases: NAME.pem (leaf, then its path up to the root) and NAME.headers, every dialect's lines.

The expected texts are files, so that a change of any encoder shows as a difference to be read.
`python -m tests.identity.golden_cases` writes the headers anew for the certificates that are there.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from cryptography import x509

from handclasp.backend.dialects import DIALECTS
from handclasp.identity.caller import Caller, read_caller
from handclasp.identity.chain import Authorities
from handclasp.identity.encoders import Detail, Style, encode

if TYPE_CHECKING:
    from datetime import datetime

FOLDER = Path(__file__).parent / "golden"
NAMES = ("rsa4096", "p256", "non-ascii", "hostile", "twenty-sans")
FULL = Style(xfcc_details=frozenset(Detail), xfcc_by=("spiffe://example.org/ingress",))


def load(name: str) -> Caller:
    """The caller of a case, with its path to the root that ends its file."""
    leaf, *others = x509.load_pem_x509_certificates((FOLDER / f"{name}.pem").read_bytes())
    now: datetime = leaf.not_valid_before_utc
    chain = Authorities(others[-1:], others[:-1]).chain(leaf, now=now)
    assert chain is not None
    return read_caller(leaf, chain=chain)


def lines(caller: Caller) -> str:
    """Every dialect with all it can say."""
    parts = []
    for dialect in DIALECTS:
        parts.append(f"# {dialect}\n")
        parts += [f"{name}: {value}\n" for name, value in encode(dialect, caller, FULL)]
    return "".join(parts)


if __name__ == "__main__":
    for each in NAMES:
        (FOLDER / f"{each}.headers").write_text(lines(load(each)), "ascii")
