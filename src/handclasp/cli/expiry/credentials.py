"""As whom servers are asked, and whom to believe; what a spec has to say about both."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from handclasp.agent.issued import load_issued, read_kept
from handclasp.agent.listed_trust import load_listed_trust
from handclasp.agent.prepare import state_directory
from handclasp.agent.tokens import secret_source
from handclasp.certs.material import Material, TokenKey
from handclasp.cli.expiry.endpoints import Endpoint
from handclasp.errors import ExitCode, UsageError
from handclasp.findings.model import FindingsError, errors_in
from handclasp.keys.load import load_identity, load_token_identity, load_trust
from handclasp.monitor.entries import entries_of_issuers, entries_of_spec
from handclasp.monitor.expiry import Entry
from handclasp.monitor.uses import users_of, uses_of
from handclasp.nginx.layout import Layout
from handclasp.spec.issuers import LocalIssuer
from handclasp.spec.pkcs11_uri import Pkcs11Uri
from handclasp.wire.offer import ClientCredential, TrustAnchors

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from handclasp.certs.material import IdentityMaterial, TrustMaterial
    from handclasp.certs.secret import Secret
    from handclasp.spec.load import LoadedSpec
    from handclasp.spec.model import Identity, Spec


@dataclass(frozen=True, slots=True, kw_only=True)
class Asking:
    """How servers are asked; `credential` is that of `material`, and there while `opened`."""

    material: IdentityMaterial | None = None
    trust: TrustAnchors | None = None
    server_name: str | None = None
    credential: ClientCredential | None = None

    @contextlib.contextmanager
    def opened(self) -> Iterator[Asking]:
        """With certificate and key as the PEM file that OpenSSL wants, whatever they were: one in memory
        (memfd_create(2)), since a key on disk would outlive a killed process."""
        if self.material is None:
            yield self
            return
        pem = self.material.certificate_pem() + self.material.key_pem().reveal()
        with os.fdopen(os.memfd_create("identity"), "wb") as file:
            file.write(pem)
            file.flush()
            path = f"/proc/self/fd/{file.fileno()}"
            yield replace(self, credential=ClientCredential(certificate=path))


def entries_of(loaded: LoadedSpec, state: Path | None) -> list[Entry]:
    """Everything the spec names: files as they are, of what handclasp issues the version in use (in the
    state directory `state`, or the usual one) and the issuer's own certificates and list."""
    spec = loaded.spec
    layout = Layout(PurePosixPath(state_directory(state, loaded)))
    identities = {
        name: _load(name, identity, layout)
        for name, identity in spec.identities.items()
        if not _waits(name, identity, layout)
    }
    trust = {name: load_listed_trust(name, one, layout.root) for name, one in spec.trust.items()}
    between = {
        link.name: load_trust(
            f"intermediates of {link.name}",
            certificates=[Path(path) for path in link.clients.intermediates],
        )
        for link in spec.ingress
        if link.clients.intermediates
    }
    material = Material(identities=identities, trust=trust, intermediates=between)
    uses = uses_of(spec)
    issuers = {
        name: _authority(name, Path(issuer.directory))
        for name, issuer in spec.issuers.items()
        if isinstance(issuer, LocalIssuer)
    }
    return [
        *entries_of_spec(material, uses),
        *(
            _waiting(name, uses.identities.get(name, ()))
            for name in spec.identities
            if name not in identities
        ),
        *entries_of_issuers(issuers, {one: users_of(spec, one) for one in issuers}),
    ]


def links_of(loaded: LoadedSpec, state: Path | None) -> list[tuple[Asking, list[Endpoint]]]:
    """The upstreams of every egress link and route, each with its own identity and trust."""
    spec, groups = loaded.spec, []
    layout = Layout(PurePosixPath(state_directory(state, loaded)))
    for link in spec.egress:
        who = f"egress {link.name}"
        verified = None if link.insecure_accept_any else link.trust
        policies = [(who, link.identity, verified, link.verify.name, link.upstream)]
        for route in link.routes:
            # The link's verify.name is not that of another upstream (spec/links.py, Route.upstream).
            verify = route.verify or (None if route.upstream else link.verify)
            accepts_any = route.insecure_accept_any
            if accepts_any is None:
                accepts_any = link.insecure_accept_any
            policies.append(
                (
                    f"{who} {route.path}",
                    route.identity or link.identity,
                    None if accepts_any else route.trust or link.trust,
                    verify.name if verify else None,
                    route.upstream or link.upstream,
                )
            )
        for told, identity, trust, name, upstream in policies:
            endpoints = [
                Endpoint(
                    source=str(one.url),
                    host=one.url.host,
                    port=one.url.port,
                    name=name,
                    link=told,
                )
                for one in upstream
                if one.url.host is not None and one.url.port is not None
            ]
            groups.append((_of_spec(spec, identity, trust, layout), endpoints))
    return groups


def read_credentials(
    loaded: LoadedSpec | None,
    state: Path | None,
    *,
    password: Secret[bytes] | None,
    identity: str | None,
    cert: Path | None,
    key: Path | None,
    ca: Sequence[Path],
    server_name: str | None,
) -> Asking:
    """What the command line chose. Raises UsageError, or FindingsError for files that will not do."""
    if identity is not None and (cert is not None or key is not None):
        raise UsageError("give --identity, or --cert with --key, not both")
    if key is not None and cert is None:
        raise UsageError("--key needs --cert")
    material = None
    if identity is not None and loaded is not None:
        layout = Layout(PurePosixPath(state_directory(state, loaded)))
        material = _identity(loaded.spec, identity, layout)
    elif cert is not None:
        material = _usable(_given(cert, key, password))
    trust = None
    if ca:
        read = load_trust("the given CAs", certificates=ca, pipes=True)
        trust = _anchors(read)
    return Asking(material=material, trust=trust, server_name=server_name)


def _of_spec(spec: Spec, identity: str, trust: str | None, layout: Layout) -> Asking:
    """`trust` None: the link accepts any upstream."""
    material = _identity(spec, identity, layout)
    if trust is None:
        return Asking(material=material)
    if trust not in spec.trust:
        known = ", ".join(spec.trust) or "none"
        raise UsageError(f"the spec has no trust {trust!r}", hint=f"It has: {known}.")
    believed = load_listed_trust(trust, spec.trust[trust], layout.root)
    return Asking(material=material, trust=_anchors(believed))


def _identity(spec: Spec, name: str, layout: Layout) -> IdentityMaterial:
    if name not in spec.identities:
        known = ", ".join(spec.identities) or "none"
        raise UsageError(f"the spec has no identity {name!r}", hint=f"It has: {known}.")
    material = _load(name, spec.identities[name], layout)
    if material.token is not None:
        raise UsageError(
            f"the key of identity {name!r} is in a token, with which this command cannot ask servers",
            hint="Leave --identity out: the chain is served to everybody.",
        )
    return _usable(material)


def _waits(name: str, identity: Identity, layout: Layout) -> bool:
    """Nothing was issued for it so far."""
    return identity.issuer is not None and read_kept(layout.root, name) is None


def _waiting(name: str, breaks: tuple[str, ...]) -> Entry:
    problem = "nothing was issued so far; `handclasp run` asks the issuer before it starts nginx"
    return Entry(source=f"identity {name}", name=f"identity {name}", problem=problem, breaks=breaks)


def _authority(name: str, folder: Path) -> TrustMaterial:
    """The files of `handclasp ca init` and `ca crl` that have an end."""
    lists = [folder / "crl.pem"] if (folder / "crl.pem").exists() else []
    certificates = [folder / "root.pem", folder / "issuing.pem"]
    return load_trust(name, certificates=certificates, crls=lists)


def _load(name: str, identity: Identity, layout: Layout) -> IdentityMaterial:
    # A token is left alone: the dates are in the certificate.
    key = identity.key
    token = TokenKey(uri=key) if isinstance(key, Pkcs11Uri) else None
    if identity.certificate is None:
        return load_issued(layout.root, name, token)
    certificate = Path(identity.certificate)
    if token is not None:
        return load_token_identity(name, certificate=certificate, token=token)
    return load_identity(
        name,
        certificate=certificate,
        key=Path(str(key)) if key else None,
        password=secret_source(identity.password),
        allow_wide_mode=True,
    )


def _given(cert: Path, key: Path | None, password: Secret[bytes] | None) -> IdentityMaterial:
    from datetime import UTC, datetime

    from handclasp.cli.cert.inputs import read_inputs
    from handclasp.keys.assemble import assemble_identity

    files = list(read_inputs([cert, *([key] if key else [])], password))
    now = datetime.now(UTC)  # noqa: TID251  the command line owns the clock
    return assemble_identity(files, now=now)


def _usable(material: IdentityMaterial) -> IdentityMaterial:
    if not material.usable:
        findings = errors_in(material.findings)
        if findings:
            raise FindingsError(findings, exit_code=ExitCode.USAGE)
        raise UsageError(f"{material.certificate_file} and its key are no identity")
    return material


def _anchors(trust: TrustMaterial) -> TrustAnchors:
    if not trust.usable:
        raise FindingsError(errors_in(trust.findings), exit_code=ExitCode.USAGE)
    return TrustAnchors(pem=trust.bundle_pem().decode("ascii", "replace"))
