"""What runs in a process of its own (`isolated`): one task, asked on standard input, told line by line.

Not a command for people. The request is a JSON object with the PIN in it, so it comes by a pipe; each
answer is a JSON object on a line: a step that succeeded, findings, or a result.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from handclasp.certs.secret import Secret
from handclasp.findings.model import FindingsError
from handclasp.spec.pkcs11_uri import Pkcs11Uri, parse_pkcs11_uri

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from handclasp.findings import Finding
    from handclasp.hsm.token import TokenKey

_MESSAGE = b"handclasp proves that this key signs"


def main() -> int:
    """Runs the task of the request; 0 when it was carried out, 1 when findings stood in the way."""
    request = json.load(sys.stdin)
    try:
        _TASKS[request["task"]](request)
    except FindingsError as refusal:
        _tell_findings(refusal.findings)
        return 1
    return 0


def _list(request: dict[str, Any]) -> None:
    import pkcs11

    from handclasp.hsm.login import pin_warnings, session
    from handclasp.hsm.token import key_facts, load_module, token_facts, tokens

    library, pin = load_module(Path(request["module"])), _pin(request)
    there = tokens(library)
    chosen = _one_named(there, request.get("label"))
    for token in there:
        told, warnings = token_facts(token), []
        # A PIN is tried on the token it is meant for only: the others would count it.
        given = pin if token is chosen else None
        try:
            if given is not None:
                warnings = pin_warnings(token)
            with session(token, given) as opened:
                told["logged_in"] = given is not None
                if given is not None:
                    # What it counted before was cleared by this login.
                    told["pin_tries_low"], warnings = False, []
                kinds = pkcs11.ObjectClass
                private = list(opened.get_objects({pkcs11.Attribute.CLASS: kinds.PRIVATE_KEY}))
                public = list(opened.get_objects({pkcs11.Attribute.CLASS: kinds.PUBLIC_KEY}))
                told["keys"] = [key_facts(opened, one) for one in private]
                told["public_keys"] = len(public)
        except FindingsError as refusal:
            _tell_findings([*refusal.findings, *warnings])
        _tell(token=told)


def _one_named(there: list[Any], label: str | None) -> Any | None:
    """The token of that label, or without one the only token there is; None where none is meant.

    Raises FindingsError for a label that no token has, or several.
    """
    from handclasp.hsm.token import refused

    if label is None:
        return there[0] if len(there) == 1 else None
    named = [token for token in there if token.label == label]
    if len(named) == 1:
        return named[0]
    if named:
        raise refused(
            "pkcs11-label-not-unique",
            f"{len(named)} tokens are labelled '{label}': the PIN was tried on none",
            fix="Look at one key by its whole URI, with serial=…: handclasp hsm check --key URI.",
        )
    held = ", ".join(f"'{token.label}'" for token in there)
    raise refused(
        "pkcs11-token-absent", f"there is no token '{label}'; there is {held or 'none at all'}"
    )


def _generate(request: dict[str, Any]) -> None:
    from handclasp.hsm.generate import generate_key
    from handclasp.hsm.login import pin_warnings, session
    from handclasp.hsm.token import find_token, load_module

    uri, module = _uri(request), Path(request["module"])
    token = find_token(load_module(module), uri, module=module)
    pin_warnings(token)
    with session(token, _pin(request), write=True) as opened:
        made, named = generate_key(opened, uri, request["kind"])
        _tell(uri=str(named), public=_pem(made))


def _prove(request: dict[str, Any]) -> None:
    """Step by step, each told as soon as it is done: a module that crashes shows where."""
    from handclasp.hsm.login import PinRefused, pin_warnings, session
    from handclasp.hsm.token import find_key, find_token, load_module, token_name

    uri, module = _uri(request), Path(request["module"])
    _tell(step="module", doing=f"loading {module}")
    library = load_module(module)
    version = ".".join(str(part) for part in library.library_version)
    _tell(step="module", done=f"{library.manufacturer_id.strip()}, version {version}")
    token = find_token(library, uri, module=module)
    _tell(step="token", done=f"'{token.label}'")
    warnings = pin_warnings(token, last_try=bool(request.get("last_try")))
    pin, mark = _pin(request), ""
    if pin is None:
        _tell_findings(warnings)
    if pin is not None and "tries" in request:
        mark = refusal_mark(request["tries"]["salt"], token_name(token), pin)
        _not_again(token.label, mark, request["tries"]["refused"])
    _tell(step="pin", doing="logging in")
    try:
        with session(token, pin) as opened:
            _tell(step="pin", done="accepted" if pin else "none was given")
            key = find_key(opened, uri, logged_in=pin is not None)
            _tell_findings(key.warnings)
            _tell(step="key", done=str(uri), public=_pem(key))
            _tell(step="signature", doing="signing")
            _sign(key)
            _tell(step="signature", done="it signs, and the signature verifies")
    except PinRefused:
        if mark:
            _tell(refused_pin=mark)
        raise
    if request.get("fork"):
        _tell(step="worker", doing="signing in a forked process")
        _in_a_child(library, uri, module, pin, request.get("account"))
        who = f" as {request['account']['name']}" if request.get("account") else ""
        _tell(step="worker", done=f"a forked process signs{who}")


def refusal_mark(salt: str, token: str, pin: Secret[bytes]) -> str:
    """What is kept of a PIN that a token refused: of use to those who have the salt only."""
    digest = hashlib.blake2b(key=bytes.fromhex(salt))
    digest.update(token.encode() + b"\0" + pin.reveal())
    return digest.hexdigest()


def _not_again(label: str, mark: str, marks: list[str]) -> None:
    from handclasp.hsm.token import refused

    if mark in marks:
        raise refused(
            "pin-wrong",
            f"token '{label}' refused this PIN before: it was not tried again",
            fix=(
                "Correct the PIN. Where the token was unlocked or was given this PIN meanwhile, "
                "end `handclasp run` and start it again: it tries a refused PIN once only."
            ),
        )


def _sign(key: TokenKey) -> None:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

    from handclasp.hsm.signing import TokenEcKey, signing_key
    from handclasp.hsm.token import refused

    signer, digest = signing_key(key), hashes.SHA256()
    try:
        if isinstance(signer, TokenEcKey):
            algorithm = ec.ECDSA(digest)
            signature = signer.sign(_MESSAGE, algorithm)
            signer.public_key().verify(signature, _MESSAGE, algorithm)
        else:
            scheme = padding.PKCS1v15()
            signature = signer.sign(_MESSAGE, scheme, digest)
            public = signer.public_key()
            assert isinstance(public, rsa.RSAPublicKey)
            public.verify(signature, _MESSAGE, scheme, digest)
    except InvalidSignature:
        raise refused(
            "pkcs11-signing-failed", "the signature does not verify with the token's public key"
        ) from None
    except Exception as error:  # noqa: BLE001  whatever the library makes of the module
        told = f"{type(error).__name__} {error}".strip()
        raise refused("pkcs11-signing-failed", f"the token does not sign: {told}") from None


def _in_a_child(
    library: Any,
    uri: Pkcs11Uri,
    module: Path,
    pin: Secret[bytes] | None,
    account: dict[str, Any] | None,
) -> None:
    """What an nginx worker does: forked, under its own account, it opens the module anew and signs."""
    from handclasp.hsm.token import refused

    try:
        reading, writing = os.pipe()
        child = os.fork()
    except OSError as problem:
        raise refused(
            "pkcs11-module-failed", f"no process can be forked to sign: {problem.strerror}"
        ) from None
    if child == 0:
        os.close(reading)
        os.write(writing, _as_worker(library, uri, module, pin, account)[:4096])
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as answers:
        said = answers.read().decode(errors="replace")
    _, status = os.waitpid(child, 0)
    if said == "ok":
        return
    reason = said or f"it ended by signal {os.WTERMSIG(status)}"
    who = f"as {account['name']} " if account else ""
    slug = "pkcs11-worker-locked-out" if account else "pkcs11-signing-failed"
    raise refused(slug, f"a process forked from the one that opened the token {who}fails: {reason}")


def _as_worker(
    library: Any,
    uri: Pkcs11Uri,
    module: Path,
    pin: Secret[bytes] | None,
    account: dict[str, Any] | None,
) -> bytes:
    from handclasp.hsm.login import session
    from handclasp.hsm.token import find_key, find_token

    try:
        if account:
            os.setgroups([])
            os.setgid(account["gid"])
            os.setuid(account["uid"])
        library.reinitialize()
        token = find_token(library, uri, module=module)
        with session(token, pin) as opened:
            _sign(find_key(opened, uri, logged_in=pin is not None))
    except FindingsError as refusal:
        return "; ".join(one.seen for one in refusal.findings).encode()
    except Exception as error:  # noqa: BLE001  a child must not go on as if it were its parent
        return f"{type(error).__name__} {error}".strip().encode()
    return b"ok"


def _request(request: dict[str, Any]) -> None:
    """A signing request like the `template`, which another key has signed, for the key of the token."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.serialization import Encoding

    from handclasp.hsm.login import pin_warnings, session
    from handclasp.hsm.signing import signing_key
    from handclasp.hsm.token import find_key, find_token, load_module

    template = x509.load_pem_x509_csr(request["template"].encode())
    builder = x509.CertificateSigningRequestBuilder().subject_name(template.subject)
    for extension in template.extensions:
        builder = builder.add_extension(extension.value, extension.critical)
    uri, module, pin = _uri(request), Path(request["module"]), _pin(request)
    token = find_token(load_module(module), uri, module=module)
    pin_warnings(token)
    with session(token, pin) as opened:
        key = signing_key(find_key(opened, uri, logged_in=pin is not None))
        signed = builder.sign(key, hashes.SHA256())
    _tell(request=signed.public_bytes(Encoding.PEM).decode("ascii"))


def _uri(request: dict[str, Any]) -> Pkcs11Uri:
    return parse_pkcs11_uri(request["uri"])


def _pin(request: dict[str, Any]) -> Secret[bytes] | None:
    pin = request.get("pin")
    return Secret(pin.encode("utf-8", "surrogateescape")) if pin is not None else None


def _pem(key: TokenKey) -> str:
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    pem = key.public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return pem.decode("ascii")


def _tell_findings(findings: Iterable[Finding]) -> None:
    for finding in findings:
        _tell(finding=finding.as_json())


def _tell(**answer: Any) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


_TASKS: dict[str, Callable[[dict[str, Any]], None]] = {
    "list": _list,
    "generate": _generate,
    "prove": _prove,
    "request": _request,
}

if __name__ == "__main__":
    sys.exit(main())
