"""What `check` can say of callers once certificates are read: rules that let nobody in, CAs that are not
known here, headers too large for the backend, own identities that another link would refuse. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from handclasp.agent.header_sizes import size_findings
from handclasp.certs import facts
from handclasp.certs.chain import build_path, self_signed
from handclasp.certs.dn import subject_text
from handclasp.findings import Finding, Severity, Where, found
from handclasp.identity.caller import UnreadableCertificateError, read_caller
from handclasp.identity.chain import Authorities
from handclasp.identity.encoders.encode import WITH_CHAIN
from handclasp.identity.rules import compile_rule, compile_rules, issuer_is
from handclasp.spec.quantities import duration_text
from handclasp.spec.values import AllowKind

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from cryptography import x509

    from handclasp.certs.material import IdentityMaterial, Material, TrustMaterial
    from handclasp.nginx.parts import IngressServer, Plan, Upstream
    from handclasp.spec.links import IngressLink
    from handclasp.spec.load import LoadedSpec
    from handclasp.spec.positions import Path
    from handclasp.spec.values import AllowRule, ListenAddress


def check_callers(
    loaded: LoadedSpec, material: Material, plan: Plan | None, *, now: datetime
) -> list[Finding]:
    """All findings. Without a plan, which other errors forbid, the rules alone are looked at."""
    findings: list[Finding] = []
    for index, link in enumerate(loaded.spec.ingress):
        findings += _impossible(loaded, link, index)
        findings += _without_list(loaded, link, index, _Known.of(link, material))
    if plan is None or findings:
        return findings
    for index, link in enumerate(loaded.spec.ingress):
        known = _Known.of(link, material)
        server = plan.ingress[index]
        findings += _intermediates(loaded, link, index, known)
        findings += _issuers(loaded, link, index, known)
        findings += _honoured_late(loaded, link, known)
        if server.authorizer is None:
            findings += _needless(loaded, link, index)
        else:
            findings += _chains(loaded, link, index, known)
        findings += size_findings(loaded, link, index, server, known.longest())
    findings += _own_identities(loaded, material, plan, now=now)
    return findings


# -- rules


def _impossible(loaded: LoadedSpec, link: IngressLink, index: int) -> Iterator[Finding]:
    for rule, path in _written(link, index):
        try:
            compile_rule(rule)
        except ValueError as error:
            told = str(error)
            named = rule.kind is AllowKind.SPIFFE or told.startswith(f"{rule.kind}:")
            seen = told if named else f"{rule}: {told}"
            yield found("allow-rule-for-nobody", seen, where=loaded.where(*path))


def _written(link: IngressLink, index: int) -> Iterator[tuple[AllowRule, Path]]:
    """Every rule of a link and where it stands."""
    place: Path = ("ingress", index)
    lists: list[tuple[Sequence[AllowRule], Path]] = [
        (link.clients.allow, (*place, "clients", "allow"))
    ]
    lists += [
        (rule.allow or (), (*place, "clients", "rules", position, "allow"))
        for position, rule in enumerate(link.clients.rules)
    ]
    if link.original_certificate is not None:
        hops = link.original_certificate.trusted
        lists.append((hops, (*place, "original_certificate", "trusted")))
    for rules, path in lists:
        for position, rule in enumerate(rules):
            yield rule, (*path, position)


def _needless(loaded: LoadedSpec, link: IngressLink, index: int) -> Iterator[Finding]:
    for key in ("certificate_size", "answers"):
        if key in link.clients.model_fields_set:
            yield found(
                "spec-without-effect",
                f"`{key}` has no effect on link {link.name}: nginx decides there without asking the agent",
                where=loaded.key("ingress", index, "clients", key),
                severity=Severity.INFO,
            )


# -- CAs


@dataclass(frozen=True, slots=True)
class _Known:
    """The CAs that a link knows: its trust, and those its spec names in between."""

    trust: TrustMaterial | None
    between: TrustMaterial | None
    anchors: tuple[x509.Certificate, ...]
    intermediates: tuple[x509.Certificate, ...]

    @classmethod
    def of(cls, link: IngressLink, material: Material) -> _Known:
        trust = material.trust.get(link.clients.trust)
        between = material.intermediates.get(link.name)
        # Public CAs are refused for callers; their bundle is not parsed for this.
        anchors = trust.anchors if trust else ()
        return cls(trust, between, anchors, between.anchors if between else ())

    def path(self, authority: x509.Certificate) -> tuple[x509.Certificate, ...] | None:
        """The CA and those above it up to a root, which is left out; None when no root is reached."""
        path = build_path(authority, self.intermediates, self.anchors)
        if path.anchor is None:
            return None
        return tuple(one for one in path.links if one != path.anchor)

    def authorities(self) -> tuple[x509.Certificate, ...]:
        """Those that could have issued a caller's certificate and lead to a root."""
        every = dict.fromkeys((*self.anchors, *self.intermediates))
        return tuple(one for one in every if facts.is_ca(one) and self.path(one) is not None)

    def longest(self) -> tuple[x509.Certificate, ...]:
        """The longest way of intermediates a caller's certificate can be known to have above it."""
        paths = [self.path(one) or () for one in self.authorities()]
        return max(paths, key=len, default=())


def _intermediates(
    loaded: LoadedSpec, link: IngressLink, index: int, known: _Known
) -> Iterator[Finding]:
    """Files that were named and do not help."""
    for one in known.intermediates:
        if not facts.is_ca(one):
            seen = f"{facts.label(one)} is no CA"
        elif known.path(one) is None:
            seen = f"{facts.label(one)} leads to no root of trust '{link.clients.trust}'"
        else:
            continue
        assert known.between is not None
        where = loaded.where("ingress", index, "clients", "intermediates")
        yield found(
            "chain-not-known",
            f"`intermediates` of link {link.name}: {seen}, so it stands above no caller"
            f" ({known.between.file_of(one)})",
            where=where,
            fix="Name the CAs between the roots of the trust and the callers, or correct the trust.",
        )


def _without_list(
    loaded: LoadedSpec, link: IngressLink, index: int, known: _Known
) -> Iterator[Finding]:
    """CAs whose lists cannot be used: nginx wants one of every CA above a caller as soon as it has any, and
    a list counts only for a CA of the trust."""
    if known.trust is None or not known.trust.crls:
        return
    for one in known.intermediates:
        if one not in known.anchors and facts.is_ca(one) and known.path(one) is not None:
            name = link.clients.trust
            yield found(
                "crl-missing-for-chain",
                f"trust '{name}' has revocation lists, and {facts.label(one)} is only under `intermediates`"
                f" of link {link.name}, where its list is not used: nginx refuses whom it issued",
                where=loaded.where("ingress", index, "clients", "intermediates"),
                fix=f"Put the CA under `trust: {{{name}: {{certificates: [PATH]}}}}` and its list under"
                " `crl`, beside those of the others.",
            )


def _honoured_late(loaded: LoadedSpec, link: IngressLink, known: _Known) -> Iterator[Finding]:
    """What it costs that lists count past their end."""
    trust = known.trust
    if trust is None or not trust.crls or trust.lists_kept is None:
        return
    name, kept = link.clients.trust, duration_text(trust.lists_kept)
    yield found(
        "crl-honoured-late",
        f"revocation lists of trust '{name}' count for {kept} after their end, so nginx gets none on link"
        f" {link.name}: each certificate is asked about, callers under CAs that are not known here are"
        " refused, and what is revoked after the last list is let in meanwhile",
        where=loaded.where("trust", name, "crl_expired"),
    )


def _issuers(loaded: LoadedSpec, link: IngressLink, index: int, known: _Known) -> Iterator[Finding]:
    """Rules by issuer whose CA is not among those known: they let nobody in."""
    authorities = known.authorities()
    for rule, path in _written(link, index):
        if rule.kind is not AllowKind.ISSUER:
            continue
        is_meant = issuer_is(rule.value)
        if any(is_meant(one) for one in authorities):
            continue
        yield found(
            "chain-not-known",
            f"the rule {rule} lets nobody in: no CA of trust '{link.clients.trust}' or `intermediates` is"
            " the one it names",
            where=loaded.where(*path),
        )


def _chains(loaded: LoadedSpec, link: IngressLink, index: int, known: _Known) -> Iterator[Finding]:
    """Headers with the chain where nothing but roots is known, and the roots admit CAs below them."""
    authorities = known.authorities()
    if any(not self_signed(one) for one in authorities):
        return
    if not any(_may_have_cas_below(one) for one in authorities):
        return
    for position, forward in enumerate(link.forward):
        if forward.dialect in WITH_CHAIN:
            yield found(
                "chain-not-known",
                f"trust '{link.clients.trust}' has roots only: {forward.dialect} carries the leaf without a"
                " chain for callers whose own CA is another",
                where=loaded.where("ingress", index, "forward", position),
                severity=Severity.INFO,
            )


def _may_have_cas_below(root: x509.Certificate) -> bool:
    constraints = facts.basic_constraints(root)
    return constraints is None or constraints.path_length != 0


# -- our own identities


@dataclass(frozen=True, slots=True)
class _Call:
    """A link of ours that calls with an identity. `what` is for people."""

    what: str
    where: Where
    upstream: Upstream


def _own_identities(
    loaded: LoadedSpec, material: Material, plan: Plan, *, now: datetime
) -> Iterator[Finding]:
    """Links of this spec that call another one and would be refused there, whatever the path."""
    told: set[tuple[str | None, str, int | None]] = set()
    for call in _calls(loaded, plan):
        tls = call.upstream.tls
        if tls is None or tls.identity is None:
            continue
        identity = material.identities.get(tls.identity)
        for server in plan.ingress:
            key = (tls.identity, server.link, call.where.line)
            if identity is None or key in told or not _leads_to(call.upstream, server):
                continue
            why = _refused(identity, server, loaded, material, now=now)
            if why is not None:
                told.add(key)
                yield found(
                    "caller-not-allowed",
                    f"{call.what} calls {tls.name}, a name of link {server.link}, as {tls.identity}: {why}",
                    where=call.where,
                )


def _calls(loaded: LoadedSpec, plan: Plan) -> Iterator[_Call]:
    upstreams = {one.name: one for one in plan.upstreams}
    for index, egress in enumerate(plan.egress):
        positions = {one.path: at for at, one in enumerate(loaded.spec.egress[index].routes)}
        for route in egress.routes:
            place: Path = ("egress", index)
            what = f"link {egress.link}"
            if (position := positions.get(route.path)) is not None:
                place, what = (*place, "routes", position), f"route {route.path} of {what}"
            if route.upstream is not None:
                where = loaded.where(*place, "identity")
                yield _Call(what, where, upstreams[route.upstream])
    for index, ingress in enumerate(plan.ingress):
        where = loaded.where("ingress", index, "backend_tls", "identity")
        yield _Call(f"link {ingress.link}", where, upstreams[ingress.backend])


def _leads_to(upstream: Upstream, server: IngressServer) -> bool:
    """Whether requests go to a listener of the link under one of its names."""
    assert upstream.tls is not None
    if not any(_is_named(upstream.tls.name, name) for name in server.server_names):
        return False
    return any(
        _listens(address, one.address, named=one.resolve)
        for one in upstream.servers
        for address in server.listen
    )


def _is_named(name: str, pattern: str) -> bool:
    name, pattern = name.lower(), pattern.lower()
    return name.endswith(pattern[1:]) if pattern.startswith("*.") else name == pattern


def _listens(listener: ListenAddress, target: str, *, named: bool) -> bool:
    """`named`: the host is a name that nginx resolves, so the port has to do."""
    if listener.path is not None or target.startswith("unix:"):
        return str(listener) == target
    same_port = target.rpartition(":")[2] == str(listener.port)
    return str(listener) == target or (same_port and (named or listener.is_wildcard))


def _refused(
    identity: IdentityMaterial,
    server: IngressServer,
    loaded: LoadedSpec,
    material: Material,
    *,
    now: datetime,
) -> str | None:
    """Why the link would refuse that identity; None when some path admits it."""
    trust, leaf = material.trust.get(server.trust), identity.leaf
    if trust is None or leaf is None:
        return None
    if build_path(leaf, identity.chain, trust.all_anchors()).anchor is None:
        return f"its certificate is not issued under trust '{server.trust}'"
    link = next(one for one in loaded.spec.ingress if one.name == server.link)
    known = _Known.of(link, material)
    authorities = Authorities(known.anchors, known.intermediates, depth=server.depth)
    try:
        caller = read_caller(leaf, chain=authorities.chain(leaf, now=now))
    except UnreadableCertificateError:
        return None
    rules = compile_rules(one for rule_set in server.rules for one in rule_set.rule.allow)
    if any(rule.holds(caller) for rule in rules):
        return None
    return f"no allow rule there holds for {subject_text(leaf)}"
