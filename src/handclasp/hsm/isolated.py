"""PKCS#11 work in a process of its own (edge): a module is foreign code that may crash or hang."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import secrets
import signal
import subprocess
import sys
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from handclasp.errors import InternalFault
from handclasp.findings import Finding, Severity, Where, found

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from handclasp.certs.secret import Secret
    from handclasp.spec.pkcs11_uri import Pkcs11Uri

PATIENCE_SECONDS = 30.0
"""Hardware tokens take seconds to sign; a module that takes longer than this hangs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """Under whose name a forked process has to sign."""

    name: str
    uid: int
    gid: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What was told, in order: `steps` as (name, sentence); `results` the other objects."""

    steps: tuple[tuple[str, str], ...] = ()
    findings: tuple[Finding, ...] = ()
    results: tuple[dict[str, Any], ...] = ()
    asked: bool = True  # False: no process could be started, so this tells nothing of the token

    @property
    def ok(self) -> bool:
        """Nothing stood in the way."""
        return not any(finding.severity is Severity.ERROR for finding in self.findings)

    @property
    def refused_pins(self) -> tuple[str, ...]:
        """Marks of PINs that the token refused now (`RefusedPins`)."""
        return tuple(one["refused_pin"] for one in self.results if "refused_pin" in one)

    @property
    def public(self) -> ec.EllipticCurvePublicKey | rsa.RSAPublicKey | None:
        """The public key that was told of."""
        for result in self.results:
            if "public" in result:
                key = load_pem_public_key(result["public"].encode())
                assert isinstance(key, (ec.EllipticCurvePublicKey, rsa.RSAPublicKey))
                return key
        return None


class RefusedPins:
    """PINs that tokens refused, so that none is tried twice. No PIN is kept: a keyed digest of it and of
    the token's name, with a key of this process."""

    def __init__(self) -> None:
        self.one_at_a_time = threading.Lock()  # else two would try one PIN before either is told
        self._salt = secrets.token_hex(32)
        self._marks: set[str] = set()

    def as_request(self) -> dict[str, Any]:
        """For the process that will see which token a URI means."""
        return {"salt": self._salt, "refused": sorted(self._marks)}

    def note(self, answer: Answer) -> None:
        """Keeps what was refused."""
        self._marks.update(answer.refused_pins)


def ask(
    task: str,
    *,
    module: Path,
    uri: Pkcs11Uri | None = None,
    pin: Secret[bytes] | None = None,
    environment: Mapping[str, str] | None = None,
    account: Account | None = None,
    patience: float = PATIENCE_SECONDS,
    tries: RefusedPins | None = None,
    **more: Any,
) -> Answer:
    """Runs a task of `worker`: list, generate, prove or request. Never raises for what the module does, nor
    when the system has no process left for it.

    `environment` are the variables the module needs, beside our own. `tries`: what must not be tried again
    (`prove` only); what is refused now is noted there.
    """
    if importlib.util.find_spec("pkcs11") is None:
        missing = found(
            "pkcs11-module-failed",
            "the Python package python-pkcs11, which speaks to tokens, is not installed",
            fix="Install handclasp with its extra: pip install 'handclasp[hsm]'.",
        )
        return Answer(findings=(missing,))
    request = {"task": task, "module": str(module), **more}
    if uri is not None:
        request["uri"] = str(uri)
    if pin is not None:
        # By the pipe only: arguments and environment of a process can be read by others.
        request["pin"] = pin.reveal().decode("utf-8", "surrogateescape")
    if account is not None:
        request["account"] = {"name": account.name, "uid": account.uid, "gid": account.gid}
    # A PIN that came by a variable stays out of the process that runs the vendor's code.
    given = request.get("pin")
    inherited = {name: value for name, value in os.environ.items() if not given or value != given}
    environment = {**inherited, **(environment or {})}
    try:
        if tries is None:
            return _answered(request, module, environment, patience)
        with tries.one_at_a_time:
            request["tries"] = tries.as_request()
            answer = _answered(request, module, environment, patience)
            tries.note(answer)
            return answer
    except OSError as problem:
        return Answer(findings=(_not_started(problem),), asked=False)


def _answered(
    request: dict[str, Any], module: Path, environment: dict[str, str], patience: float
) -> Answer:
    with subprocess.Popen(
        # -P: else modules in the working directory would be imported, and be given the PIN.
        [sys.executable, "-P", "-m", "handclasp.hsm.worker"],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    ) as process:
        try:
            output, complaint = process.communicate(
                json.dumps(request).encode("utf-8", "surrogatepass"), timeout=patience
            )
        except BaseException as ended:
            # Its whole group: the process it forked may be the one that hangs, with the PIN in its memory.
            # Not after a normal end: the number may be another's by then.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            if not isinstance(ended, subprocess.TimeoutExpired):
                raise
            said = ended.stdout or b""
            return _failed(_read(said), module, said, f"it does not answer within {patience:g} s")
    answer = _read(output)
    if process.returncode in (0, 1) and (process.returncode == 0 or answer.findings):
        return answer
    if process.returncode < 0:
        name = signal.Signals(-process.returncode).name
        return _failed(answer, module, output, f"the process that used it was ended by {name}")
    raise InternalFault(f"the PKCS#11 worker failed: {complaint.decode(errors='replace')[-2000:]}")


def _not_started(problem: OSError) -> Finding:
    return found(
        "pkcs11-module-failed",
        f"the process that uses the PKCS#11 module cannot be started: {problem.strerror or problem}",
        fix=(
            f"Look whether {sys.executable} is there, and what memory and processes this user may have "
            "(`ulimit -u`; systemd: TasksMax=, MemoryMax=)."
        ),
    )


def _read(output: bytes) -> Answer:
    steps: list[tuple[str, str]] = []
    findings: list[Finding] = []
    results: list[dict[str, Any]] = []
    for told in _objects(output):
        if "finding" in told:
            findings.append(_finding(told["finding"]))
        elif "done" in told:
            steps.append((told["step"], told["done"]))
            results.append(told)
        elif "doing" not in told:
            results.append(told)
    return Answer(steps=tuple(steps), findings=tuple(findings), results=tuple(results))


def _objects(output: bytes) -> list[dict[str, Any]]:
    # The last line of a process that was ended may be half a line.
    lines = output.decode(errors="replace").split("\n")
    return [json.loads(line) for line in lines[:-1] if line.startswith("{")]


def _finding(told: dict[str, Any]) -> Finding:
    return found(
        told["slug"],
        told["seen"],
        where=Where(file=told["where"]["file"]),
        fix=told["fix"],
        severity=Severity(told["severity"]),
    )


def _failed(answer: Answer, module: Path, output: bytes, what: str) -> Answer:
    doing = [told["doing"] for told in _objects(output) if "doing" in told]
    when = f" while {doing[-1]}" if doing else ""
    finding = found(
        "pkcs11-module-failed",
        f"the PKCS#11 module fails{when}: {what}",
        where=Where(file=str(module)),
    )
    return Answer(steps=answer.steps, findings=(*answer.findings, finding), results=answer.results)
