"""An hour of nginx's time, in which clients hold on to connections and sessions for as long as they can.

The bounds of the spec's defaults, and beside them links with bounds of two hours: what the former keep
out gets through the latter.
"""

from __future__ import annotations

import contextlib
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http.client import HTTPException
from typing import TYPE_CHECKING, Any

import pytest

from handclasp.nginx.features import Feature
from tests import pki
from tests.conftest import facts_of
from tests.integration.fake_time import FakeTime
from tests.integration.ingress_stage import Caller, link, ports, until
from tests.integration.rotation_stage import DEDICATED, changing_material
from tests.integration.running import SERVER_NAME, Running, egress_spec, write_spec
from tests.integration.servers import Backend
from tests.integration.upstreams import Upstream, ask, read_answer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.integration.running import Material

pytestmark = pytest.mark.integration
VERSIONS = {"TLSv1.2": ssl.TLSVersion.TLSv1_2, "TLSv1.3": ssl.TLSVersion.TLSv1_3}
# Minutes. One is less than the 75 s that an idle connection lives.
HOUR = 60
COME, EXPIRES = 27, 30
CONNECTION_AGE, SESSION_LIFETIME, POOL_AGE = 10, 5, 10
LONG: dict[str, Any] = {"connection_age": "2h", "session_lifetime": "2h"}
GET = f"GET / HTTP/1.1\r\nHost: {SERVER_NAME}\r\n\r\n".encode()
both_versions = pytest.mark.parametrize("version", VERSIONS)


@dataclass
class Hop:
    """A running nginx with links of `default` and of `long` bounds, for each version of TLS."""

    material: Material
    time: FakeTime
    agent: Running
    upstream: Upstream
    ports: dict[tuple[str, str, str], int]
    stack: contextlib.ExitStack

    def client(self, bounds: str, version: str, who: str) -> Client:
        caller = Caller(self.ports["ingress", bounds, version], self.material.folder / "ca.pem")
        context = caller.context(self.material.pair(who), version=VERSIONS[version])
        client = Client(caller, context)
        self.stack.callback(client.leave)
        return client

    def seen_upstream(self, bounds: str, version: str) -> str | None:
        """As whom this nginx calls."""
        assert ask(self.ports["egress", bounds, version]).status == 200
        assert self.upstream.last.protocol == version
        return self.upstream.last.peer

    def resumes(self, version: str) -> bool:
        return resumes(self.time.binary, version)


class Client:
    """Asks over a connection that it keeps, or else with the newest session it has."""

    def __init__(self, caller: Caller, context: ssl.SSLContext) -> None:
        self.resumed = False  # the last handshake
        self._caller, self._context = caller, context
        self._connection: ssl.SSLSocket | None = None
        self._session: ssl.SSLSession | None = None

    @property
    def connected(self) -> bool:
        return self._connection is not None

    def ask(self) -> int:
        """The status. A connection that is closed before it answers is left for another one."""
        if self._connection is not None:
            with contextlib.suppress(HTTPException, OSError):
                return self._over(self._connection)
            self.leave()
        self._connection = self._caller.connect(
            SERVER_NAME, context=self._context, session=self._session
        )
        self.resumed = bool(self._connection.session_reused)
        return self._over(self._connection)

    def leave(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _over(self, connection: ssl.SSLSocket) -> int:
        connection.sendall(GET)
        answer = read_answer(connection)
        self._session = connection.session or self._session
        if answer.header("Connection") == "close":
            self.leave()
        return answer.status


def resumes(binary: Path, version: str) -> bool:
    """Whether this build resumes sessions of that version when asked: before 1.23.2 those of TLS 1.3 would be
    renewed for ever."""
    return version == "TLSv1.2" or facts_of(binary).has(Feature.TLS13_SESSION_TIMEOUT)


def spec_of(
    material: Material,
    places: dict[tuple[str, str, str], int],
    binary: Path,
    backend: Backend,
    upstream: Upstream,
) -> dict[str, Any]:
    egress, ingress = [], []
    for (way, bounds, version), port in places.items():
        here, tls = f"127.0.0.1:{port}", {"tls": {"protocols": [version]}}
        name = f"{bounds}-{version.replace('.', '')}-{way}".lower()
        if way == "ingress":
            more = {"server_names": [SERVER_NAME], **tls, **(LONG if bounds == "long" else {})}
            if resumes(binary, version):
                more["session_reuse"] = True
            else:
                more.pop("session_lifetime", None)
            ingress.append(link(name, here, f"http://127.0.0.1:{backend.port}", **more))
        else:
            pool = {"idle": "2m", **({"age": "2h"} if bounds == "long" else {})}
            url = f"https://127.0.0.1:{upstream.port}"
            (one,) = egress_spec(material, here, url, pool=pool, **tls)["egress"]
            egress.append({**one, "name": name})
    return {
        "identities": {name: material.identity(name) for name in ("server-a", "svc-b")},
        "trust": {"company": {"certificates": ["ca.pem"], "crl": ["ca.crl"]}},
        "egress": egress,
        "ingress": ingress,
        "nginx": {"workers": 1, **DEDICATED.get("nginx", {})},
    }


@pytest.fixture(scope="module")
def hop(nginx_builds: dict[str, Path]) -> Iterator[Hop]:
    with contextlib.ExitStack() as stack:
        material = stack.enter_context(changing_material())
        end = datetime.now(UTC) + timedelta(minutes=EXPIRES)
        material.add("expiring", sans=["svc-b.internal"], not_after=end)
        (material.folder / "ca.crl").write_bytes(pki.crl(material.ca))
        time = FakeTime.of(nginx_builds["distribution"], material.folder)
        keys = [
            (way, bounds, version)
            for way in ("egress", "ingress")
            for bounds in ("default", "long")
            for version in VERSIONS
        ]
        places = dict(zip(keys, ports(len(keys)), strict=True))
        backend = stack.enter_context(Backend())
        upstream = stack.enter_context(
            Upstream(certificate=material.pair("server-a"), client_ca=material.folder / "ca.pem")
        )
        spec = spec_of(material, places, time.binary, backend, upstream)
        path = write_spec(material.folder, "hour", spec)
        agent = stack.enter_context(Running(path, time.nginx))
        yield Hop(material, time, agent, upstream, places, stack)


@dataclass
class Last:
    """The last minute in which something was still so, by bounds and version."""

    held: dict[tuple[str, str], int]
    """A connection that a client opened when it came was answered, its certificate having expired since."""
    resumed: dict[tuple[str, str], int]
    """A session that a client had when it came was taken up, and answered 200."""
    old_identity: dict[tuple[str, str], int]
    """The upstream met the identity that had been replaced in minute 0."""


@pytest.fixture(scope="module")
def last(hop: Hop) -> Last:
    """What happened in the hour."""
    kinds = [(bounds, version) for bounds in ("default", "long") for version in VERSIONS]
    seen = Last({}, {}, {})
    assert {hop.seen_upstream(*kind) for kind in kinds} == {"svc-b"}
    hop.material.add("svc-b", sans=["svc-b.internal"], subject=pki.dn("new-b"), key_label="b2")
    hop.agent.wait_for('rotated what="identity svc-b"')
    keepers = {kind: hop.client(*kind, "expiring") for kind in kinds}
    comers = {kind: hop.client(*kind, "expiring") for kind in kinds}
    for minute in range(1, HOUR + 1):
        hop.time.set(minute * 60)
        for kind in kinds:
            if hop.seen_upstream(*kind) == "svc-b":
                seen.old_identity[kind] = minute
            if minute < COME:
                continue
            keeper, comer = keepers[kind], comers[kind]
            if (keeper.connected or minute == COME) and keeper.ask() == 200:
                seen.held[kind] = minute
            comer.leave()
            if comer.ask() == 200 and comer.resumed:
                seen.resumed[kind] = minute
    for client in (*keepers.values(), *comers.values()):
        client.leave()
    return seen


@both_versions
def test_a_connection_outlives_its_callers_certificate_by_no_more_than_its_age(
    last: Last, version: str
) -> None:
    assert EXPIRES < last.held["default", version] <= COME + CONNECTION_AGE
    assert last.held["long", version] == HOUR


@both_versions
def test_a_session_outlives_its_callers_certificate_by_no_more_than_its_lifetime(
    hop: Hop, last: Last, version: str
) -> None:
    if not hop.resumes(version):
        assert ("default", version) not in last.resumed
        assert ("long", version) not in last.resumed
        return
    assert EXPIRES < last.resumed["default", version] <= COME + SESSION_LIFETIME
    assert last.resumed["long", version] == HOUR


@both_versions
def test_an_upstream_meets_a_replaced_identity_for_no_longer_than_the_age_of_the_pool(
    last: Last, version: str
) -> None:
    assert 0 < last.old_identity["default", version] <= POOL_AGE
    assert last.old_identity["long", version] == HOUR


def test_a_revoked_caller_is_out_at_once_whatever_the_bounds(hop: Hop, last: Last) -> None:
    """With a connection and a session that would live on for an hour: `last` has the twin of it."""
    revoked = hop.material.add("svc-x", sans=["svc-x.internal"])
    clients = {version: hop.client("long", version, "svc-x") for version in VERSIONS}
    for version, client in clients.items():
        assert client.ask() == 200
        client.leave()
        assert (client.ask(), client.resumed) == (200, hop.resumes(version))
    crl = pki.crl(hop.material.ca, [revoked], number=2)
    (hop.material.folder / "ca.crl").write_bytes(crl)
    # What is open is answered 403 by a file (nginx/render/denied.py), before the reload and its drain.
    assert until(lambda: {client.ask() for client in clients.values()} == {403})
    for client in clients.values():
        client.leave()
    hop.agent.wait_for('rotated what="trust company"')
    for client in clients.values():
        assert (client.ask(), client.resumed) == (400, False)
