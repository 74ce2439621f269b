"""What must not work: one entry each, and the judgement of what was seen. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from handclasp.demo.cast import CLIENT, IMPOSTOR_NAME, SERVER_NAME, UNKNOWN_NAME
from handclasp.demo.specs import IMPOSTOR_PATH
from handclasp.wire.observation import Party

if TYPE_CHECKING:
    from collections.abc import Sequence

    from handclasp.wire.observation import Observation

HELLO = "/hello"
_REFUSED_FROM = 400


@dataclass(frozen=True, slots=True, kw_only=True)
class Try:
    """Somebody does something that must not succeed.

    `door` is where: A directly over TLS, or B in plain HTTP as the application does. `slug` is how
    it must be named. With `forged` headers the request itself is fine and they must not arrive.
    """

    title: str
    who: str
    slug: str
    door: Literal["A", "B"] = "A"
    certificate: str | None = None
    server_name: str = SERVER_NAME
    path: str = HELLO
    forged: tuple[tuple[str, str], ...] = ()


TRIES: tuple[Try, ...] = (
    Try(
        title="No client certificate",
        who="Somebody connects to A and presents nothing.",
        slug="client-cert-not-sent",
    ),
    Try(
        title="A certificate of another CA",
        who=f"Somebody made a CA, and with it a certificate that says CN={CLIENT}, too.",
        slug="server-does-not-trust-client-ca",
        certificate="stranger",
    ),
    Try(
        title="An expired certificate",
        who=f"A certificate of {CLIENT} from our CA; its time was over yesterday.",
        slug="cert-expired",
        certificate="expired",
    ),
    Try(
        title="A wrong server name",
        who=f"{CLIENT} itself, with a good certificate, asks A for {UNKNOWN_NAME}.",
        slug="no-certificate-for-vhost",
        certificate=CLIENT,
        server_name=UNKNOWN_NAME,
    ),
    Try(
        title="A server that is somebody else",
        who=f"B is led to a server whose certificate, of our CA, says {IMPOSTOR_NAME}.",
        slug="hostname-not-in-san",
        door="B",
        path=IMPOSTOR_PATH,
    ),
    Try(
        title="Forged identity headers",
        who=f"{CLIENT}, with a good certificate, claims to be the administrator.",
        slug="identity-header-not-cleared",
        certificate=CLIENT,
        forged=(
            ("X-Client-Cert", "forged"),
            ("X-Client-Subject", "CN=administrator"),
            ("X-Forwarded-Client-Cert", "Subject=CN=administrator"),
        ),
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of a try. `differences` is empty when it went as it must."""

    attempt: Try
    client_saw: str
    named: str | None = None
    log_line: str | None = None
    arrived: tuple[tuple[str, str | None], ...] = ()
    differences: tuple[str, ...] = ()


def judge_refusal(
    attempt: Try, seen: Observation, *, named: str | None, reached: int
) -> tuple[str, ...]:
    """What differs from a refusal that is named as it must be. `reached`: requests that got through."""
    differences = []
    if not seen.reached:
        differences.append(f"nobody listens at {attempt.door}")
    elif seen.answer is not None and seen.answer.status < _REFUSED_FROM:
        differences.append(f"it was not refused: {client_saw(seen)}")
    elif seen.answer is None and seen.failure is None:
        differences.append("it was not refused")
    if reached:
        differences.append("the request reached the other side")
    if named != attempt.slug:
        differences.append(f"it should be named {attempt.slug}, and was {named or 'not named'}")
    return tuple(differences)


def judge_forgery(
    attempt: Try, seen: Observation, headers: Sequence[tuple[str, str]], *, genuine: bool
) -> tuple[str, ...]:
    """What differs from a request that arrived without its forgeries.

    `headers` as the backend saw them; `genuine`: whether the certificate among them is the caller's.
    """
    differences = []
    if seen.answer is None or seen.answer.status >= _REFUSED_FROM:
        differences.append(f"the honest part of it was refused: {client_saw(seen)}")
    lies = dict(attempt.forged)
    differences += [
        f"the backend saw the forged {name}: {value}"
        for name, value in headers
        if value in lies.values()
    ]
    if not genuine:
        differences.append("the backend did not see the caller's own certificate")
    return tuple(differences)


def client_saw(seen: Observation) -> str:
    """The answer, or how the connection ended, in one line."""
    if (answer := seen.answer) is not None:
        text = f"HTTP {answer.status} {answer.reason}".rstrip()
        if (answer.header("Content-Type") or "").startswith("text/plain"):
            first = answer.body.decode(errors="replace").partition("\n")[0]
            text += f": {first}"
        return text
    failure = seen.failure
    if failure is None:
        return "nothing"
    if failure.alert_name is not None:
        sender = "from the server" if failure.alert_from is Party.PEER else "of its own"
        return f"TLS alert {failure.alert_name} ({failure.alert}) {sender}"
    return f"{failure.stage}: {failure.text}"
