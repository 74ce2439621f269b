"""`handclasp hsm check`."""

from __future__ import annotations

import os
import pwd
from pathlib import Path
from typing import TYPE_CHECKING

import click

from handclasp.cli.hsm.options import (
    key_option,
    module_for,
    module_option,
    one_line,
    pin_of,
    pin_options,
)
from handclasp.cli.options import format_option
from handclasp.cli.output import echo_findings, echo_json, sorted_findings
from handclasp.errors import ExitCode, UsageError
from handclasp.findings.model import Severity, errors_in

if TYPE_CHECKING:
    from handclasp.findings import Finding
    from handclasp.hsm.isolated import Account, Answer
    from handclasp.hsm.openssl_conf import Leading
    from handclasp.spec.pkcs11_uri import Pkcs11Uri


@click.command(
    epilog="Example: handclasp hsm check --key 'pkcs11:token=dev;object=svc-b' --pin-file softhsm/pin"
    " --certificate svc-b.pem"
)
@key_option
@click.option(
    "--certificate", type=click.Path(path_type=Path), help="The certificate the key is to fit."
)
@click.option(
    "--user",
    help="Account of nginx's workers: a forked process has to sign under it (as root only).",
)
@click.option("--nginx", metavar="PATH", help="The nginx that is to use the key.")
@click.option("--last-try", is_flag=True, help="Try the PIN although the next wrong one locks it.")
@pin_options
@module_option
@format_option
def check(
    uri: Pkcs11Uri,
    certificate: Path | None,
    user: str | None,
    nginx: str | None,
    last_try: bool,
    pin_file: Path | None,
    pin_env: str | None,
    module: Path | None,
    form: str,
) -> int:
    """Prove that a key can be used, step by step, before nginx is touched.

    The module loads, the token is there, the PIN is right, the key is found and private, fits the
    certificate, signs, and signs in a forked process as nginx's workers do; then, whether the nginx that
    is installed can use it.
    """
    from handclasp.hsm.isolated import ask

    library = module_for(module, uri)
    pin, findings = pin_of(pin_file, pin_env)
    account = _account(user)
    answer = ask(
        "prove",
        module=library,
        uri=uri,
        pin=pin,
        account=account,
        fork=True,
        last_try=last_try,
    )
    steps = dict(answer.steps)
    findings = (*findings, *answer.findings, *_fitting(answer, certificate, steps))
    leading, problems = _nginx(nginx, uri, pin_file, steps)
    findings += problems
    if leading and pin and answer.ok and answer.public:
        from handclasp.hsm.openssl_proof import prove_openssl

        shown = prove_openssl(leading, uri, module=library, pin=pin, public=answer.public)
        if isinstance(shown, str):
            steps["openssl"] = shown
        else:
            findings += (shown,)
    ok = not errors_in(findings)
    if form == "json":
        told = [{"step": name, "seen": seen} for name, seen in steps.items()]
        found = [finding.as_json() for finding in sorted_findings(findings)]
        echo_json({"ok": ok, "steps": told, "findings": found})
    else:
        for name, seen in steps.items():
            click.echo(one_line(f"ok  {name:<12} {seen}"))
        echo_findings(findings, to_stdout=True, least=Severity.INFO)
    return int(ExitCode.OK if ok else ExitCode.FINDINGS)


def _account(user: str | None) -> Account | None:
    from handclasp.hsm.isolated import Account

    if user is None:
        return None
    if os.geteuid() != 0:
        raise UsageError("--user needs root: only root signs under another account")
    try:
        entry = pwd.getpwnam(user)
    except KeyError:
        raise UsageError(f"there is no account {user!r}") from None
    return Account(name=user, uid=entry.pw_uid, gid=entry.pw_gid)


def _fitting(
    answer: Answer, certificate: Path | None, steps: dict[str, str]
) -> tuple[Finding, ...]:
    from handclasp.certs import facts
    from handclasp.certs.private_keys import describe_key, spki
    from handclasp.certs.read import read_objects
    from handclasp.findings import Where, found
    from handclasp.keys.files import read_file

    if certificate is None:
        return ()
    read = read_file(certificate, pipes=True)
    if read.data is None:
        return (read.problem,) if read.problem else ()
    contents = read_objects(read.data, source=str(certificate))
    where = Where(file=str(certificate))
    if not contents.certificates:
        seen = "it holds no certificate"
        return (*contents.findings, found("certificate-unreadable", seen, where=where))
    public = answer.public
    if public is None:
        return contents.findings
    for candidate in contents.certificates:
        if spki(candidate.public_key()) == spki(public):
            steps["certificate"] = f"{facts.label(candidate)} is of this key"
            return contents.findings
    first = contents.certificates[0]
    seen = (
        f"the key of the token ({describe_key(public)}) is not that of {facts.label(first)} "
        f"({describe_key(first.public_key())})"
    )
    return (*contents.findings, found("key-cert-mismatch", seen, where=where))


def _nginx(
    chosen: str | None, uri: Pkcs11Uri, pin_file: Path | None, steps: dict[str, str]
) -> tuple[Leading | None, tuple[Finding, ...]]:
    from handclasp.errors import EnvironmentFault
    from handclasp.hsm.openssl_conf import key_directive
    from handclasp.nginx.locate import locate, read_facts
    from handclasp.nginx.render.text import directive
    from handclasp.nginx.token_keys import leading_for

    try:
        facts = read_facts(locate(chosen, None))
    except EnvironmentFault as problem:
        if chosen is not None:
            raise
        steps["nginx"] = f"not looked at: {problem.message}"
        return None, ()
    leading, findings = leading_for(facts)
    if leading is not None:
        key = key_directive(
            leading.way,
            uri,
            key_file=Path("key.pem"),
            # A pipe, as <(command) is, ends with this command: nginx needs a file.
            pin_file=pin_file.absolute()
            if pin_file and pin_file.is_file()
            else Path("/PATH/TO/PIN"),
        )
        steps["nginx"] = (
            f"{facts.binary} {facts.version_text} goes by the {leading.way.value} {leading.library}: "
            f"{directive('ssl_certificate_key', key).removesuffix(';')}"
        )
    return leading, findings
