"""Looking at the tokens that hold keys of a spec, before nginx is touched (edge)."""

from __future__ import annotations

import os
import pwd
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from handclasp.certs.material import TokenKey
from handclasp.errors import EnvironmentFault, UsageError
from handclasp.findings import Finding, found
from handclasp.hsm.isolated import Account, Answer, RefusedPins, ask
from handclasp.hsm.modules import find_module
from handclasp.hsm.openssl_conf import Way
from handclasp.hsm.pins import pin_problem
from handclasp.keys.secret import SecretSource
from handclasp.nginx.render.tokens import OPENSSL_FILE
from handclasp.nginx.token_keys import leading_for
from handclasp.spec.pkcs11_uri import Pkcs11Uri

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from handclasp.agent.machine import WorkerAccount
    from handclasp.agent.prepare import Prepared
    from handclasp.certs.secret import Secret
    from handclasp.findings import Where
    from handclasp.hsm.openssl_conf import Leading
    from handclasp.nginx.facts import Facts
    from handclasp.nginx.layout import Layout
    from handclasp.nginx.parts import Plan, Tokens
    from handclasp.spec.load import LoadedSpec
    from handclasp.spec.model import Spec
    from handclasp.spec.policy import SecretSource as WrittenSecret

# After these the same PIN would be refused again, and the token count one more wrong try.
NO_MORE_TRIES = frozenset({"pin-wrong", "pin-locked", "pin-last-try"})


_TRIES = RefusedPins()  # one for the process: every look at a token goes through `look`

_ABOUT_THE_PIN = NO_MORE_TRIES | {"secret-unreadable"}

TOKEN_AWAY = frozenset({"pkcs11-module-failed", "pkcs11-token-absent"})
"""What may pass without anybody changing the spec."""


@dataclass(frozen=True, slots=True)
class KeySeen:
    """A key of the spec and what was found when it was looked at."""

    key: TokenKey
    findings: tuple[Finding, ...] = ()


@dataclass(frozen=True, slots=True)
class TokensSeen:
    """The module, the way nginx goes to it, and the keys by identity; empty without keys in tokens."""

    leading: Leading | None = None
    module: Path | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    keys: Mapping[str, KeySeen] = field(default_factory=dict)
    account: Account | None = None


def look_at_tokens(loaded: LoadedSpec, facts: Facts, account: WorkerAccount | None) -> TokensSeen:
    """Opens every token once, in a process of its own, and signs with each key as nginx's workers will."""
    spec = loaded.spec
    named = {
        name: identity.key
        for name, identity in spec.identities.items()
        if isinstance(identity.key, Pkcs11Uri)
    }
    if not named:
        return TokensSeen()
    leading, problem = leading_for(facts)
    pins = {name: _pin(spec, name) for name in named}
    module = None
    if leading is not None:
        module, problem = _module(spec, named)
    if module is None or leading is None:
        # The token is not opened for an nginx that could not use it: tries of a PIN are counted.
        keys = {
            name: KeySeen(
                TokenKey(uri=uri, pin=pins[name][0]),
                _placed(loaded, name, (*pins[name][1], *problem)),
            )
            for name, uri in named.items()
        }
        return TokensSeen(leading, keys=keys)
    seen = TokensSeen(leading, module, dict(spec.pkcs11.environment), {}, _worker(account))
    keys = {}
    for name, uri in named.items():
        pin, missing = pins[name]
        if missing:
            keys[name] = KeySeen(TokenKey(uri=uri, pin=pin), _placed(loaded, name, missing))
            continue
        if pin and pin_problem(pin.reveal(), by_engine=leading.way is Way.ENGINE):
            keys[name] = KeySeen(TokenKey(uri=uri, pin=pin))  # the plan says why
            continue
        answer = look(seen, TokenKey(uri=uri, pin=pin))
        placed = _placed(loaded, name, answer.findings)
        keys[name] = KeySeen(TokenKey(uri=uri, pin=pin, public=answer.public), placed)
    return TokensSeen(leading, module, seen.environment, keys, seen.account)


def look(seen: TokensSeen, key: TokenKey) -> Answer:
    """Finds the key and signs with it, under the account of nginx's workers too. Blocks.

    A PIN that the token refused once is not tried again by this process: the token counts.
    """
    assert seen.module is not None
    return ask(
        "prove",
        module=seen.module,
        uri=key.uri,
        pin=key.pin,
        environment=seen.environment,
        account=seen.account,
        fork=True,
        tries=_TRIES,
    )


def refused_pins(prepared: Prepared, plan: Plan) -> tuple[Finding, ...]:
    """What tokens of the plan say against their PINs, each asked once. Blocks."""
    for name, _ in plan.tokens.keys if plan.tokens else ():
        token = prepared.material.identities[name].token
        answer = look(prepared.tokens, token) if token else None
        if answer and not answer.ok and any(f.slug in NO_MORE_TRIES for f in answer.findings):
            return answer.findings
    return ()


def service_environment(tokens: Tokens, layout: Layout) -> Finding:
    """What an nginx that somebody else starts has to be given by hand."""
    conf = layout.generations / "current" / OPENSSL_FILE
    variables = [("OPENSSL_CONF", str(conf)), *tokens.environment]
    plain = " ".join(f'"{name}={value}"' for name, value in variables)
    given = " ".join(f'"{name}={_in_a_unit(value)}"' for name, value in variables)
    kept = " ".join(f"env {name};" for name, _ in variables)
    return found(
        "pkcs11-service-environment",
        f"the service of this nginx needs {plain} in its environment, and its main context `{kept}`",
        fix=f"systemd: `Environment={given}`; in nginx.conf, outside of http: `{kept}`; then restart it.",
    )


def _in_a_unit(value: str) -> str:
    """Between double quotes in a unit of systemd (systemd.syntax, "Quoting"; systemd.unit, "Specifiers")."""
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")


def secret_source(written: WrittenSecret | None) -> SecretSource | None:
    """The spec's secret as something that can be read."""
    if written is None:
        return None
    return SecretSource(file=Path(written.file) if written.file else None, env=written.env)


def _placed(loaded: LoadedSpec, name: str, findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """With the place in the spec; what a module says names only itself."""
    return tuple(replace(one, where=_place(loaded, name, one.slug)) for one in findings)


def _place(loaded: LoadedSpec, name: str, slug: str) -> Where:
    """What has to be corrected: the PIN, the module, or else the key, where they are written."""
    if slug in _ABOUT_THE_PIN and loaded.spec.identities[name].pin is not None:
        return loaded.where("identities", name, "pin")
    if slug == "pkcs11-module-failed" and loaded.spec.pkcs11.module is not None:
        return loaded.where("pkcs11", "module")
    return loaded.where("identities", name, "key")


def _pin(spec: Spec, name: str) -> tuple[Secret[bytes] | None, tuple[Finding, ...]]:
    source = secret_source(spec.identities[name].pin)
    if source is None:
        return None, ()
    try:
        pin = source.read()
    except UsageError as error:
        return None, (found("secret-unreadable", error.message, fix=error.hint),)
    if (problem := pin_problem(pin.reveal())) is not None:
        # Not tried: the token would count it.
        return None, (found("secret-unreadable", f"the PIN of {source} {problem}"),)
    return pin, ()


def _module(spec: Spec, named: Mapping[str, Pkcs11Uri]) -> tuple[Path | None, tuple[Finding, ...]]:
    chosen = Path(spec.pkcs11.module) if spec.pkcs11.module else None
    uri = next((uri for uri in named.values() if uri.module_path), None)
    try:
        return find_module(chosen, uri), ()
    except EnvironmentFault as fault:
        return None, (found("pkcs11-module-failed", fault.message, fix=fault.hint),)


def _worker(account: WorkerAccount | None) -> Account | None:
    if account is None or os.geteuid() != 0:
        return None
    return Account(name=account.user, uid=pwd.getpwnam(account.user).pw_uid, gid=account.gid)
