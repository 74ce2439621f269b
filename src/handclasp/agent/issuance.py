"""One certificate asked for, judged and kept (edge: issuers, keys, the state directory).

What fails here fails before anything that is served is touched: a version is written once it was found right.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from handclasp.agent import journal
from handclasp.agent.issued import read_kept, write_issued
from handclasp.agent.tokens import look, secret_source
from handclasp.ca.newkeys import new_key
from handclasp.certs import facts
from handclasp.certs.secret import Secret
from handclasp.errors import HandclaspError, InternalFault
from handclasp.findings import errors_in
from handclasp.hsm.isolated import ask
from handclasp.issuers.calling import Calling
from handclasp.issuers.judge import SKEW, Given, in_order, judge, sentence
from handclasp.issuers.protocol import Issued, IssuerError
from handclasp.issuers.request import (
    general_names,
    order_for,
    signing_request,
    wanted_for,
)
from handclasp.issuers.sources import Surroundings, issuer_for

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.types import (
        CertificateIssuerPrivateKeyTypes,
        PrivateKeyTypes,
        PublicKeyTypes,
    )

    from handclasp.agent.prepare import Prepared
    from handclasp.certs.material import TokenKey
    from handclasp.issuers.protocol import Issuer, Wanted
    from handclasp.issuers.request import Order
    from handclasp.ports import Clock
    from handclasp.spec.issuer import IssuerSection
    from handclasp.spec.pkcs11_uri import Pkcs11Uri
    from handclasp.spec.policy import SecretSource as WrittenSecret


@dataclass(frozen=True, slots=True, kw_only=True)
class _Question:
    """What is asked, and the key it is asked for; no key where the issuer makes it."""

    wanted: Wanted
    key: Secret[PrivateKeyTypes] | Pkcs11Uri | None
    public: PublicKeyTypes | None


@dataclass(slots=True)
class Issuance:
    """Asks the issuers of a spec. Issuers live as long as their section stays as it is: some hold a login."""

    clock: Clock
    _issuers: dict[str, tuple[IssuerSection, Issuer]] = field(default_factory=dict)

    async def issue(self, prepared: Prepared, identity: str) -> str:
        """A new certificate for an identity of the spec, kept as the current one; its version.

        Raises IssuerError when none was had or it was not what was asked for, EnvironmentFault when it could
        not be kept.
        """
        order = order_of(prepared, identity)
        section = prepared.spec.issuers[order.issuer]
        question = await asyncio.to_thread(
            _question, prepared, order, self._issuer_of(prepared, order)
        )
        issued = await self._answer(order, section, question)
        given, public = _ordered(question, issued, order)
        now = self.clock.now()
        wrong = judge(question.wanted, given, issuer=order.issuer, public=public, now=now)
        if wrong:
            raise IssuerError(
                f"issuer {order.issuer} gave what was not asked for: {sentence(wrong)}",
                hint=wrong[0].fix,
                permanent=True,
            )
        await self._until(given)
        version = await asyncio.to_thread(
            write_issued,
            prepared.layout.root,
            identity,
            given,
            order=order.as_json(),
            obtained=self.clock.now(),
            renew_at=issued.renew_at,
            passable=prepared.account is not None,
        )
        journal.info(
            "certificate issued",
            identity=identity,
            issuer=order.issuer,
            until=facts.date(given.leaf.not_valid_after_utc),
            version=version,
        )
        return version

    async def until_called(
        self, prepared: Prepared, identity: str, current: x509.Certificate
    ) -> bool:
        """True once the issuer itself wants `current` replaced; False at once for one that never says.

        Raises IssuerError when it cannot be listened to.
        """
        order = order_of(prepared, identity)
        issuer = self._issuer_of(prepared, order)
        if not isinstance(issuer, Calling):
            return False
        names = general_names(prepared.spec.identities[identity].names or ())
        try:
            await issuer.until_called(wanted_for(order, names, None, current))
        except HandclaspError:
            raise
        except Exception as error:  # an issuer's fault must not end the agent
            raise IssuerError(f"issuer {order.issuer} cannot be heard: {error}") from error
        return True

    async def _answer(self, order: Order, section: IssuerSection, question: _Question) -> Issued:
        _, issuer = self._issuers[order.issuer]
        try:
            async with asyncio.timeout(section.timeout.total_seconds()):
                return await issuer.issue(question.wanted)
        except TimeoutError:
            raise IssuerError(
                f"issuer {order.issuer} did not answer within {section.timeout.total_seconds():g} s",
                hint="Look at the issuer, or give it longer with `timeout`.",
            ) from None
        except IssuerError as error:
            raise _named(error, order.issuer) from error
        except HandclaspError as error:
            told = f"issuer {order.issuer} cannot be asked: {error.message}"
            raise IssuerError(told, hint=error.hint) from error
        except Exception as error:  # an issuer's fault must not end the agent
            told = f"issuer {order.issuer} failed: {type(error).__name__}: {error}"
            raise IssuerError(told, hint="This is a bug in handclasp; please report it.") from error

    def _issuer_of(self, prepared: Prepared, order: Order) -> Issuer:
        section = prepared.spec.issuers[order.issuer]
        known = self._issuers.get(order.issuer)
        if known is None or known[0] != section:
            around = Surroundings(
                folder=Path(prepared.loaded.source).absolute().parent,
                state=Path(prepared.layout.root),
                now=self.clock.now,
                worker_group=prepared.account.gid if prepared.account else None,
                read_secret=_read_secret,
            )
            try:
                known = section, issuer_for(section, around)
            except HandclaspError as error:
                raise IssuerError(error.message, hint=error.hint, permanent=True) from error
            self._issuers[order.issuer] = known
        return known[1]

    async def _until(self, given: Given) -> None:
        """Until it begins: the clock of an issuer may be ahead by a little."""
        ahead = (given.begins - self.clock.now()).total_seconds()
        await asyncio.sleep(min(max(ahead, 0.0), SKEW.total_seconds()))


def order_of(prepared: Prepared, identity: str) -> Order:
    """What an identity of the spec is to be issued for."""
    written = prepared.spec.identities[identity]
    if written.issuer is None:
        raise InternalFault(f"identity {identity!r} has no issuer")
    return order_for(identity, written, prepared.spec.issuers[written.issuer].type)


def token_of(prepared: Prepared, identity: str) -> TokenKey | None:
    """The key in a token that an identity names, as it was seen."""
    seen = prepared.tokens.keys.get(identity)
    return None if seen is None else seen.key


def _question(prepared: Prepared, order: Order, issuer: Issuer) -> _Question:
    """Key and request. Blocks: a key of 4096 bits takes a second, a token more."""
    written = prepared.spec.identities[order.identity]
    names = general_names(written.names or ())
    token = token_of(prepared, order.identity)
    kept = read_kept(prepared.layout.root, order.identity, token)
    current = None if kept is None else kept.material.leaf
    if issuer.makes_key:
        return _Question(wanted=wanted_for(order, names, None, current), key=None, public=None)
    if token is not None:
        template = signing_request(_fresh("p256"), names, order.use)
        request = _signed_in_token(prepared, token, template)
        wanted = wanted_for(order, names, request, current)
        return _Question(wanted=wanted, key=token.uri, public=request.public_key())
    key = _fresh(order.key)
    if order.reuse_key and kept is not None and kept.material.key is not None:
        key = kept.material.key.reveal()  # type: ignore[assignment]  # it was made by `_fresh`
    request = signing_request(key, names, order.use)
    return _Question(
        wanted=wanted_for(order, names, request, current), key=Secret(key), public=key.public_key()
    )


def _fresh(kind: str) -> CertificateIssuerPrivateKeyTypes:
    return new_key(kind)


def _signed_in_token(
    prepared: Prepared, token: TokenKey, template: x509.CertificateSigningRequest
) -> x509.CertificateSigningRequest:
    """A request like the template for the key of a token, signed there."""
    tokens = prepared.tokens
    if tokens.module is None:
        raise IssuerError("no PKCS#11 module is known that opens the key's token", permanent=True)
    # First as at the start: a PIN that was refused is not tried again.
    findings = look(tokens, token).findings
    answer = None
    if not errors_in(findings):
        answer = ask(
            "request",
            module=tokens.module,
            uri=token.uri,
            pin=token.pin,
            environment=tokens.environment,
            template=template.public_bytes(Encoding.PEM).decode(),
        )
        findings = answer.findings
    if wrong := errors_in(findings):
        raise IssuerError(
            f"the token does not sign the request: {wrong[0].seen}", hint=wrong[0].fix
        )
    made = (
        next((one["request"] for one in answer.results if "request" in one), "") if answer else ""
    )
    return x509.load_pem_x509_csr(made.encode())


def _ordered(question: _Question, issued: Issued, order: Order) -> tuple[Given, PublicKeyTypes]:
    """What came, leaf first, with the key it must be for."""
    key, public = question.key, question.public
    if issued.key is not None:
        if key is not None:
            told = f"issuer {order.issuer} gave a key, and was asked for a certificate of ours"
            raise IssuerError(told, permanent=True)
        key, public = Secret(issued.key.reveal()), issued.key.reveal().public_key()
    if key is None or public is None:
        told = f"issuer {order.issuer} was to make the key, and gave none"
        raise IssuerError(told, permanent=True)
    given = in_order(issued.chain, key, public)
    if given is None:
        raise IssuerError(f"issuer {order.issuer} gave no certificate", permanent=True)
    return given, public


def _named(error: IssuerError, issuer: str) -> IssuerError:
    return IssuerError(
        f"issuer {issuer}: {error.message}",
        hint=error.hint,
        retry_after=error.retry_after,
        permanent=error.permanent,
    )


def _read_secret(written: WrittenSecret) -> Secret[bytes]:
    source = secret_source(written)
    if source is None:
        raise InternalFault("a secret without a source")
    return source.read()
