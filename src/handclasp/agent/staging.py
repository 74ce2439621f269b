"""Writing a plan's material into a state directory and asking nginx whether it takes it (edge)."""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from handclasp.agent.scratch import scratch_directory
from handclasp.findings import found
from handclasp.hsm.openssl_conf import uri_pem
from handclasp.keys.files import write_private
from handclasp.nginx.durable import reported
from handclasp.nginx.errorlog import refusal_in
from handclasp.nginx.features import Feature
from handclasp.nginx.layout import REJECT_IDENTITY, Layout
from handclasp.nginx.parts import trusts_with_lists
from handclasp.nginx.process import NginxMaster
from handclasp.nginx.reject_identity import reject_identity
from handclasp.nginx.render import render
from handclasp.nginx.render.context import pin_file
from handclasp.nginx.render.tokens import OPENSSL_FILE
from handclasp.nginx.state import StateDirectory
from handclasp.spec.values import ListenAddress

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

    from handclasp.agent.prepare import Prepared
    from handclasp.findings import Finding
    from handclasp.nginx.parts import Plan

OPENSSL_VARIABLE = "OPENSSL_CONF"
_REJECT_VERSION = "1"
_TRIAL, _PASSING = ".test-", ".new"
_SOCKET_PATH_BYTES = 107  # and a zero byte: unix(7), sun_path
_KEPT_VARIABLES = (
    "PATH",
    "LANG",
    "LC_ALL",
    "TZ",
    "LD_LIBRARY_PATH",
    OPENSSL_VARIABLE,
    "OPENSSL_MODULES",
    "OPENSSL_ENGINES",
    # libfaketime, by which an operator can try tomorrow today
    "LD_PRELOAD",
    "FAKETIME",
    "FAKETIME_TIMESTAMP_FILE",
    "FAKETIME_NO_CACHE",
    "FAKETIME_DONT_FAKE_MONOTONIC",
)


def nginx_environment(plan: Plan | None = None, folder: Path | None = None) -> dict[str, str]:
    """nginx's environment: nothing of ours, lest a secret given by variable shows in its /proc entry.

    With keys in tokens, OpenSSL is pointed to the openssl.cnf in `folder`, and the module has its variables.
    """
    kept = {name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ}
    if plan is None or plan.tokens is None or folder is None:
        return kept
    return {**kept, **dict(plan.tokens.environment), OPENSSL_VARIABLE: str(folder / OPENSSL_FILE)}


def pin_files(prepared: Prepared, plan: Plan) -> dict[str, bytes]:
    """Name → PIN of every token, each in a file of its own beside openssl.cnf."""
    pins: dict[str, bytes] = {}
    for name in plan.tokens.pins if plan.tokens else ():
        token = prepared.material.identities[name].token
        if token is not None and token.pin is not None:
            pins[pin_file(name)] = token.pin.reveal()
    return pins


def identity_versions(prepared: Prepared, plan: Plan) -> dict[str, str]:
    """Name → version of everything below identities/, ours for rejecting servers included."""
    versions = dict(plan.identities)
    if plan.listeners and not prepared.facts.has(Feature.REJECT_HANDSHAKE):
        versions[REJECT_IDENTITY] = _REJECT_VERSION
    return versions


def stage(state: StateDirectory, prepared: Prepared, plan: Plan) -> None:
    """Every identity and trust as an immutable version; no link moves. Raises EnvironmentFault."""
    material = prepared.material
    for name, version in plan.identities:
        identity = material.identities[name]
        key = uri_pem(identity.token.uri) if identity.token else identity.key_pem().reveal()
        files = {"cert.pem": identity.certificate_pem(), "key.pem": key}
        state.stage_identity(name, version, files)
    lists = trusts_with_lists(plan.ingress, plan.upstreams)
    for name, version in plan.trust:
        trust = {"ca.pem": material.trust[name].bundle_pem()}
        if name in lists and (crl := material.trust[name].crl_pem()) is not None:
            trust["crl.pem"] = crl
        state.stage_trust(name, version, trust)
    if REJECT_IDENTITY in identity_versions(prepared, plan):
        folder = state.path / "identities" / REJECT_IDENTITY / _REJECT_VERSION
        if not folder.is_dir():
            state.stage_identity(REJECT_IDENTITY, _REJECT_VERSION, reject_identity())


def refusals(state: StateDirectory, prepared: Prepared, plan: Plan) -> tuple[Finding, ...]:
    """What `nginx -t` says against the plan, whose material is staged; empty when it takes it.

    The configuration tested names every version outright (nginx.render, pins).
    """
    with _socket_directory(state.run, plan) as sockets:
        return _refusals(state, prepared, _listening_in(PurePosixPath(sockets), plan))


def _socket_directory(run: Path, plan: Plan) -> AbstractContextManager[Path]:
    """A throw-away directory for the sockets of a trial, below `run` where their paths fit there."""
    most = len(plan.egress) + sum(len(server.listen) for server in plan.ingress)
    longest = run / f"{_TRIAL}12345678{_PASSING}" / str(most)
    if len(os.fsencode(longest)) > _SOCKET_PATH_BYTES:
        return scratch_directory("sockets")
    return _trial_directory(run)


@contextlib.contextmanager
def _trial_directory(place: Path) -> Iterator[Path]:
    """Its name is a temporary one of the state directory, so whoever opens that next removes it should
    we be killed (nginx.durable)."""
    with reported("write a trial configuration in", place):
        folder = Path(tempfile.mkdtemp(prefix=_TRIAL, suffix=_PASSING, dir=place))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _refusals(state: StateDirectory, prepared: Prepared, plan: Plan) -> tuple[Finding, ...]:
    with _trial_directory(state.nginx_prefix) as folder:
        files = render(
            plan,
            prepared.facts,
            Layout(PurePosixPath(state.path)),
            identity_pins=identity_versions(prepared, plan),
            trust_pins=dict(plan.trust),
            pins_in=PurePosixPath(folder),
        )
        with reported("write a trial configuration in", state.nginx_prefix):
            for name, text in files.items():
                (folder / name).write_text(text, encoding="utf-8")
        for name, pin in pin_files(prepared, plan).items():
            write_private(folder / name, pin)
        environment = nginx_environment(plan, folder)
        result = NginxMaster.test(
            prepared.binary, state.nginx_prefix, folder / "nginx.conf", environment
        )
    if result.ok:
        return ()
    silent = found("nginx-config-refused", "nginx refuses the configuration without saying why")
    return refusal_in(result.lines) or (silent,)


def _listening_in(folder: PurePosixPath, plan: Plan) -> Plan:
    """The plan with every unix listener moved to `folder`: `nginx -t` binds them, in directories that are
    made only when a plan takes effect (agent.sockets)."""
    numbers = itertools.count()
    moved: dict[str, ListenAddress] = {}

    def move(address: ListenAddress) -> ListenAddress:
        if address.path is None:
            return address
        if address.path not in moved:
            moved[address.path] = ListenAddress(path=str(folder / str(next(numbers))))
        return moved[address.path]

    return replace(
        plan,
        egress=tuple(replace(server, listen=move(server.listen)) for server in plan.egress),
        ingress=tuple(
            replace(server, listen=tuple(map(move, server.listen))) for server in plan.ingress
        ),
        listeners=tuple(replace(one, address=move(one.address)) for one in plan.listeners),
    )


def trial(prepared: Prepared, plan: Plan) -> tuple[Finding, ...]:
    """`refusals` in a throw-away state directory (0700, keys 0600): nothing of the instance is touched."""
    with (
        scratch_directory("check") as folder,
        StateDirectory.open(folder / "state", worker_group=None) as state,
    ):
        stage(state, prepared, plan)
        return refusals(state, prepared, plan)
