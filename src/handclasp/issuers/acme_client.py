"""The blocking part of ACME, by the `acme` package of the certbot project (edge: network).

Import it where an ACME issuer is used only: the package is the extra `handclasp[acme]`. One client does
one certificate after the other; each method is one request, made again where the server wants another nonce.
A request is bounded by REQUEST_SECONDS of silence; what fails is an IssuerError.
"""

from __future__ import annotations

import contextlib
import re
import ssl
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from acme import challenges, errors, messages
from acme.client import ClientNetwork, ClientV2
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from josepy.errors import Error as JoseError
from josepy.json_util import field
from josepy.jwa import ES256
from josepy.jwk import JWKEC

import handclasp
from handclasp.issuers.acme_answers import bounded_for, causes
from handclasp.issuers.acme_problems import Problem, Refused
from handclasp.issuers.protocol import IssuerError
from handclasp.issuers.received import one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from datetime import datetime

    from handclasp.issuers.acme_account import AccountKey

REQUEST_SECONDS = 20
MOST_NONCES = 12
"""Tries with a new nonce each (RFC 8555, section 6.5): Pebble refuses some on purpose, and a
load-balanced server those of its neighbour. The package itself tries twice."""
_LONGEST_WAIT = timedelta(days=1)
_BASE64URL = re.compile(r"[A-Za-z0-9_-]+={0,2}")
_MISSHAPEN = (AttributeError, TypeError, ValueError)
"""What the package ends in where an answer is JSON of another shape than the RFC's."""
_PREFIX = "urn:ietf:params:acme:error:"


@dataclass(frozen=True, slots=True)
class Registration:
    """What an account is made with; `bind` gives key id and HMAC key when the server wants them."""

    contact: Sequence[str]
    agree: bool
    bind: Callable[[], tuple[str, str]] | None


@dataclass(frozen=True, slots=True)
class Proof:
    """One challenge: `content` is to be found at `place`; `url` is where to say so.

    `place` is the token for http-01, the name of the TXT record for dns-01 (RFC 8555, section 8).
    """

    name: str
    place: str
    content: str
    url: str


@dataclass(frozen=True, slots=True)
class Order:
    """An order: `status` as in RFC 8555, section 7.1.6."""

    url: str
    status: str
    authorizations: tuple[str, ...]
    finalize: str
    certificate: str | None


class _ReplacingOrder(messages.NewOrder):
    """RFC 9773, section 5: which certificate this one is to replace."""

    replaces: str | None = field("replaces", omitempty=True)


class Client:
    """A session with the server of one directory, under one account."""

    def __init__(self, directory: str, key: AccountKey, *, trust: str) -> None:
        self.server = f"the ACME server {directory}"
        self._url = directory
        self._key = JWKEC(key=key.reveal())
        self._net = ClientNetwork(
            self._key,
            alg=ES256,
            verify_ssl=trust,  # type: ignore[arg-type]  # requests takes a path as well
            user_agent=f"handclasp/{handclasp.__version__}",
            timeout=REQUEST_SECONDS,
        )
        self._wait: timedelta | None = None
        self._net.session.hooks["response"] += [bounded_for(self.server), self._note_wait]
        self._directory: messages.Directory | None = None

    def close(self) -> None:
        """Close its connections."""
        self._net.session.close()

    def open(self) -> None:
        """Read the directory."""
        with self._told("its directory"):
            self._directory = ClientV2.get_directory(self._url, self._net)
            for name in ("newNonce", "newAccount", "newOrder"):
                self._directory[name]

    @property
    def offers_renewal_info(self) -> bool:
        """The server says when to renew (RFC 9773)."""
        return "renewalInfo" in self._known().to_partial_json()

    def use(self, account: str) -> None:
        """Go on under the account of this URL."""
        self._net.account = messages.RegistrationResource(body=messages.Registration(), uri=account)

    def register(self, registration: Registration) -> str:
        """The URL of the account of our key, made if there is none; it is used from here on."""
        meta = self._known()["meta"]
        if meta.terms_of_service and not registration.agree:
            raise IssuerError(
                f"{self.server} has terms of service: {one_line(meta.terms_of_service)}",
                hint="Read them, and write `agree_to_terms: true`.",
                permanent=True,
            )
        binding = self._binding(registration) if meta.external_account_required else None
        wanted = messages.NewRegistration.from_data(
            email=",".join(registration.contact) or None,
            external_account_binding=binding,
            terms_of_service_agreed=True if meta.terms_of_service else None,
        )
        self._net.account = None
        with self._told("an account"):
            answer = self._post(self._known()["newAccount"], wanted)
            account: str = answer.headers["Location"]
        self.use(account)
        return account

    def _binding(self, registration: Registration) -> dict[str, Any]:
        if registration.bind is None:
            raise Refused(self.server, "an account", Problem("externalAccountRequired"))
        key_id, hmac_key = registration.bind()
        # The package decodes what it can and leaves out the rest.
        if not _BASE64URL.fullmatch(hmac_key) or len(hmac_key.rstrip("=")) % 4 == 1:
            raise IssuerError(
                "the hmac_key of the external account is not base64url",
                hint="Write it into the file as the CA gave it.",
                permanent=True,
            )
        return messages.ExternalAccountBinding.from_data(
            self._key.public_key(), key_id, hmac_key, self._known()
        )

    def order(
        self, names: Sequence[x509.GeneralName], *, profile: str | None, replaces: str | None
    ) -> Order:
        """A new order for DNS names and IP addresses."""
        identifiers = [_identifier(name) for name in names]
        more = {"replaces": replaces} if replaces else {}
        order = _ReplacingOrder(identifiers=identifiers, profile=profile, **more)
        with self._told("the order"):
            answer = self._post(self._known()["newOrder"], order)
            return self._order(answer.headers["Location"], answer.json())

    def proof(self, authorization: str, kind: str) -> Proof | None:
        """What is to be done for an authorization; None where nothing is, being valid already.

        ``kind`` is http-01 or dns-01.
        """
        body, name = self._authorization(authorization)
        if body.status == messages.STATUS_VALID:
            return None
        for one in body.challenges or ():
            if _kind(one) == kind and isinstance(one.chall, challenges.HTTP01 | challenges.DNS01):
                is_dns = isinstance(one.chall, challenges.DNS01)
                place = f"_acme-challenge.{name}" if is_dns else one.chall.encode("token")
                return Proof(name, place, one.chall.validation(self._key), one.uri)
        offered = ", ".join(sorted(_kind(challenge) for challenge in body.challenges or ()))
        raise IssuerError(
            f"{self.server} does not take {kind} for {name}, only {one_line(offered) or 'nothing'}",
            hint="A wildcard is proven by DNS: write `dns` instead of `challenges`."
            if kind == "http-01"
            else "An IP address is proven by http-01: write `challenges` instead of `dns`.",
            permanent=True,
        )

    def announce(self, proof: Proof) -> None:
        """Say that the challenge is answered now."""
        with self._told(f"the challenge for {proof.name}"):
            # What is sent is {} for every kind of challenge (RFC 8555, section 7.5.1).
            self._post(proof.url, challenges.HTTP01Response(key_authorization=""))

    def is_proven(self, authorization: str) -> bool:
        """Whether the server is convinced; False while it has not decided. Raises Refused."""
        return self._authorization(authorization)[0].status == messages.STATUS_VALID

    def _authorization(self, url: str) -> tuple[messages.Authorization, str]:
        """With the name it is for; one that is valid, or may still become it. Raises Refused."""
        with self._told("an authorization"):
            body = messages.Authorization.from_json(self._post(url).json())
            name, status = str(body.identifier.value), body.status.name
        if status in ("valid", "pending"):
            return body, name
        for challenge in body.challenges or ():
            if challenge.error is not None:
                problem = _problem(challenge.error)
                named = Problem(problem.kind, problem.detail, problem.name or name, problem.parts)
                raise Refused(self.server, "the proof", named)
        raise IssuerError(f"{self.server} holds the authorization of {name} {one_line(status)}")

    def finalize(self, order: Order, request: x509.CertificateSigningRequest) -> Order:
        """Hand in the signing request."""
        with self._told("the request"):
            answer = self._post(order.finalize, messages.CertificateRequest(csr=request))
            return self._order(order.url, answer.json())

    def look(self, order: Order) -> Order:
        """The order as it is now. Raises Refused for one that has failed."""
        with self._told("the order"):
            return self._order(order.url, self._post(order.url).json())

    def certificate(self, url: str) -> str:
        """The chain as PEM, leaf first."""
        with self._told("the certificate"):
            text: str = self._post(url).text
            return text

    def renew_at(self, leaf: x509.Certificate) -> datetime | None:
        """A moment in the window the server suggests for this certificate; None without suggestion.

        Failing to ask is no failure: the certificate is renewed by its lifetime then (RFC 9773, 4.3.3).
        """
        pem = leaf.public_bytes(Encoding.PEM)
        try:
            return ClientV2(self._known(), self._net).renewal_time(pem)[0]
        except (errors.Error, JoseError, OSError, ValueError, x509.ExtensionNotFound, IssuerError):
            return None

    @property
    def suggested_wait(self) -> timedelta | None:
        """Retry-After of the last answer."""
        return self._wait

    def _order(self, url: str, body: Any) -> Order:
        order = messages.Order.from_json(body)
        if order.status == messages.STATUS_INVALID:
            problem = (
                _problem(order.error) if order.error else Problem("invalid", "the order failed")
            )
            raise Refused(self.server, "the order", problem)
        return Order(
            url,
            order.status.name,
            tuple(order.authorizations or ()),
            order.finalize,
            order.certificate,
        )

    def _post(self, url: str, content: Any = None) -> Any:
        """A signed POST; without content it is a GET in ACME's way (RFC 8555, section 6.3)."""
        nonces = self._known()["newNonce"]
        for _ in range(MOST_NONCES - 1):
            try:
                return self._net.post(url, content, new_nonce_url=nonces)
            except messages.Error as error:
                if error.code != "badNonce":
                    raise
        return self._net.post(url, content, new_nonce_url=nonces)

    def _known(self) -> messages.Directory:
        assert self._directory is not None, "open() comes first"
        return self._directory

    def _note_wait(self, response: Any, *_: Any, **__: Any) -> None:
        text = response.headers.get("Retry-After", "")
        # A date (RFC 9110, 10.2.3) is as good as none: back-off comes to the same.
        self._wait = min(timedelta(seconds=int(text)), _LONGEST_WAIT) if text.isdecimal() else None

    @contextlib.contextmanager
    def _told(self, doing: str) -> Iterator[None]:
        try:
            yield
        except messages.Error as error:
            raise Refused(self.server, doing, _problem(error), retry_after=self._wait) from error
        except OSError as error:  # all of requests' exceptions are
            raise self._unreachable(error) from error
        except errors.ConflictError as error:  # the package hides the problem behind a 409
            raise Refused(self.server, doing, Problem("conflict", "it has it already")) from error
        except (errors.Error, JoseError, LookupError, *_MISSHAPEN) as error:
            raise IssuerError(
                f"{self.server} answered {doing} with something that is not ACME",
                hint="`directory` is the URL of a directory (RFC 8555, section 7.1.1).",
            ) from error

    def _unreachable(self, error: OSError) -> IssuerError:
        for cause in causes(error):
            if isinstance(cause, ssl.SSLCertVerificationError):
                return IssuerError(
                    f"the TLS certificate of {self.server} is not accepted:"
                    f" {one_line(cause.verify_message)}",
                    hint="`ca` names the file of the CA it is from.",
                    permanent=True,
                )
            if "Timeout" in type(cause).__name__:
                return IssuerError(f"{self.server} did not answer in time")
        reason = next(
            (cause.strerror for cause in causes(error) if getattr(cause, "strerror", None)), None
        )
        return IssuerError(f"{self.server} cannot be reached: {one_line(str(reason or error))}")


def _identifier(name: x509.GeneralName) -> messages.Identifier:
    kind = messages.IDENTIFIER_IP if isinstance(name, x509.IPAddress) else messages.IDENTIFIER_FQDN
    return messages.Identifier(typ=kind, value=str(name.value))


def _kind(challenge: messages.ChallengeBody) -> str:
    if isinstance(challenge.chall, challenges.UnrecognizedChallenge):
        return str(challenge.chall.jobj.get("type"))
    return str(challenge.chall.typ)


def _problem(error: messages.Error) -> Problem:
    return Problem(
        kind=str(error.typ).removeprefix(_PREFIX),
        detail=error.detail or error.title or "",
        name=error.identifier.value if error.identifier else None,
        parts=tuple(_problem(part) for part in error.subproblems or ()),
    )
