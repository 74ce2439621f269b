"""Who takes part: names, and the certificates that prove or fail to prove them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from handclasp.ca.development import (
    LEAF_LIFETIME,
    ROOT_LIFETIME,
    Issued,
    Use,
    Validity,
    issue,
    make_root,
)

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

SERVER_NAME = "server-a.example"
UNKNOWN_NAME = "nobody.example"
IMPOSTOR_NAME = "impostor.example"
CLIENT = "svc-b"

_ORGANISATION = "Demo"
_EXPIRED_SINCE = timedelta(days=1)
# The root must be older than the certificate that has expired by now.
_ROOT_AGE = timedelta(days=10)


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One certificate and what it is for."""

    issued: Issued
    purpose: str


def make_cast(now: datetime) -> Mapping[str, Member]:
    """Every certificate of the demo by the name of its files, `ca` first."""
    since = Validity(begin=now - _ROOT_AGE, end=now + ROOT_LIFETIME)
    current = Validity.starting(now, LEAF_LIFETIME)
    past = Validity(begin=now - _ROOT_AGE, end=now - _EXPIRED_SINCE)
    ca = make_root("Demo CA", since, organisation=_ORGANISATION)
    other = make_root("Somebody else's CA", since, organisation=_ORGANISATION)

    def client(root: Issued, validity: Validity) -> Issued:
        return issue(root, CLIENT, Use.CLIENT, validity, organisation=_ORGANISATION)

    def server(name: str) -> Issued:
        host = name.partition(".")[0]
        return issue(ca, host, Use.SERVER, current, names=[name], organisation=_ORGANISATION)

    return {
        "ca": Member(issued=ca, purpose="the CA that A and B believe"),
        "server-a": Member(issued=server(SERVER_NAME), purpose=f"A's, for {SERVER_NAME}"),
        CLIENT: Member(issued=client(ca, current), purpose=f"B's, as client CN={CLIENT}"),
        "stranger": Member(
            issued=client(other, current), purpose=f"CN={CLIENT} too, but from another CA"
        ),
        "expired": Member(
            issued=client(ca, past), purpose=f"CN={CLIENT} from our CA, expired yesterday"
        ),
        "impostor": Member(
            issued=server(IMPOSTOR_NAME), purpose=f"a server's, for {IMPOSTOR_NAME}"
        ),
    }
