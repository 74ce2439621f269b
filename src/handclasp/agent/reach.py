"""What a denial means for each ingress link: refused from the next request on, or why not. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from handclasp.certs import dn
from handclasp.identity.chain import Authorities
from handclasp.identity.issued import subject_key
from handclasp.identity.names import loose_key
from handclasp.nginx.render.denied import issuer_pattern

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from cryptography import x509

    from handclasp.agent.denials import Denial
    from handclasp.certs.material import Material
    from handclasp.nginx.parts import IngressServer, Plan

_NO_WAY = (
    "the CA concerned does not lead to the trust of this link over any CA that is known on any link; one"
    " that only callers send is not known"
)
_BESIDE = (
    "and with it every caller whose way to the trust is not known there: CAs that only callers send belong"
    " under `clients.intermediates`"
)
_BEHIND = (
    "refused is who connects; whom a trusted hop passes on (`original_certificate`) has to be refused by"
    " that hop"
)
_NATIVE_CA = (
    "nginx decides there by itself: what a CA issued is refused once its issuer's revocation list"
    " says so, or once it is no longer under the trust, and HUP was sent"
)


@dataclass(frozen=True, slots=True)
class Reach:
    """`why_not`: why the link does not, or may not, refuse what is denied from the next request on.
    `beside`: what else it means there. Not `concerned`: nobody of that CA can enter there, as far as is
    known here, which `why_not` says then."""

    link: str
    why_not: str | None = None
    beside: str | None = None
    concerned: bool = True

    @property
    def at_once(self) -> bool:
        """Whether it is refused there from the next request on."""
        return self.why_not is None


def reaches(plan: Plan, material: Material, denial: Denial) -> Iterator[Reach]:
    """Of every ingress link."""
    known = {server.link: _known(server, material) for server in plan.ingress}
    everywhere = tuple(dict.fromkeys(one for here in known.values() for one in here))
    for server in plan.ingress:
        why_not, beside = _reach(server, denial, known[server.link])
        concerned = True
        if server.original is not None:
            why_not = why_not or _BEHIND
        elif why_not is not None:
            anchors = material.trust[server.trust].all_anchors()
            if _astray(denial, anchors, everywhere):
                why_not, concerned = _NO_WAY, False
        yield Reach(server.link, why_not, beside, concerned)


def _known(server: IngressServer, material: Material) -> tuple[x509.Certificate, ...]:
    return (*material.trust[server.trust].all_anchors(), *material.between(server.link))


def _reach(
    server: IngressServer, denial: Denial, known: Sequence[x509.Certificate]
) -> tuple[str | None, str | None]:
    """Why not at once, if so, and what is refused beside."""
    native, denied = server.authorizer is None, denial.denied()
    if denial.authority or any(map(denied.denies_authority, known)):
        if native:
            return _NATIVE_CA, None
        if Authorities(known, refused=denied).closed:
            return None, _BESIDE
        if denial.certificate is None:
            return "this CA is not known there: deny its file", None
        return (
            "neither this CA nor its issuer is known there: name them under `clients.intermediates`",
            None,
        )
    if not native and denial.sha256 is not None:
        return None, None
    if denial.serial is None or denial.issuer is None:
        told = (
            "nginx decides there by itself and knows no SHA-256:"
            " deny the certificate's file, or its serial and issuer"
        )
        return told, None
    return _unnamed(server, denial, denial.issuer), None


def _unnamed(server: IngressServer, denial: Denial, issuer: str) -> str | None:
    """Why a serial of this issuer is not refused there; None when it is."""
    native, wanted = server.authorizer is None, loose_key(issuer)
    if names := [one for one in server.issuers if loose_key(one) == wanted]:
        # Of a file it is what the certificate itself says, and so what nginx compares.
        if not native or denial.sha256 is None or any(_matches(one, issuer) for one in names):
            return None
        return f"nginx cannot tell there that its issuer {issuer} is {names[0]}"
    told = f"the issuer {issuer} is not among the CAs known there"
    if turned := _turned(server, issuer):
        return f"{told}; turned round it is: --issuer '{turned}'"
    if not native:
        return f"{told}: a certificate is refused only if its issuer is called just so"
    return f"{told}: name it under `clients.intermediates`"


def _matches(name: str, issuer: str) -> bool:
    return re.fullmatch(issuer_pattern(name), issuer, re.IGNORECASE) is not None


def _turned(server: IngressServer, issuer: str) -> str | None:
    """The CA whose name this is in the order of encoding, as openssl prints it."""
    try:
        name = dn.parse(issuer)
    except dn.DistinguishedNameError:
        return None
    wanted = loose_key(str(dn.DistinguishedName(tuple(reversed(name.rdns)))))
    return next((one for one in server.issuers if loose_key(one) == wanted), None)


def _astray(
    denial: Denial, anchors: Sequence[x509.Certificate], everywhere: Sequence[x509.Certificate]
) -> bool:
    """Whether the CA concerned is known, and no way from it to these anchors, over any CA that is known on
    any link."""
    authority = denial.ca()
    if authority is not None:
        concerned = [authority]
    elif denial.issuer is not None:
        wanted = loose_key(denial.issuer)
        concerned = [one for one in everywhere if subject_key(one) == wanted]
    else:
        return False
    ways = Authorities(anchors, (*everywhere, *concerned))
    return bool(concerned) and not ways.any_leads_up(concerned)
