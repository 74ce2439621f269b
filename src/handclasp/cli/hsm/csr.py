"""`handclasp hsm csr`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from handclasp.cli.cert.outputs import force_option, put
from handclasp.cli.hsm.options import key_option, module_for, module_option, pin_of, pin_options
from handclasp.cli.output import echo_findings
from handclasp.errors import ExitCode, UsageError
from handclasp.findings.model import FindingsError, errors_in

if TYPE_CHECKING:
    from cryptography import x509

    from handclasp.spec.pkcs11_uri import Pkcs11Uri


@click.command(
    epilog="Example: handclasp hsm csr --key 'pkcs11:token=dev;object=svc-b' --pin-file softhsm/pin"
    " --subject CN=svc-b --dns svc-b.internal -o svc-b.csr"
)
@key_option
@click.option(
    "--subject", default="", help="Distinguished name as RFC 4514 has it: CN=svc-b,O=Org."
)
@click.option("--dns", multiple=True, help="A DNS name. Can be repeated.")
@click.option("--ip", multiple=True, help="An IP address. Can be repeated.")
@click.option("--uri", "uris", multiple=True, help="A URI, as a SPIFFE ID. Can be repeated.")
@click.option("--email", multiple=True, help="A mail address. Can be repeated.")
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), help="Where to; default: standard output."
)
@force_option
@pin_options
@module_option
def csr(
    uri: Pkcs11Uri,
    subject: str,
    dns: tuple[str, ...],
    ip: tuple[str, ...],
    uris: tuple[str, ...],
    email: tuple[str, ...],
    output: Path | None,
    force: bool,
    pin_file: Path | None,
    pin_env: str | None,
    module: Path | None,
) -> None:
    """Make a signing request (PKCS#10) that the key of the token signs."""
    library = module_for(module, uri)
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.serialization import Encoding

    from handclasp.hsm.isolated import ask
    from handclasp.hsm.signing import open_signing_key

    names = _names(dns, ip, uris, email)
    if not subject and not names:
        raise UsageError("the request would name nobody", hint="Give --subject, --dns or --uri.")
    builder = x509.CertificateSigningRequestBuilder().subject_name(_subject(subject))
    if names:
        alternatives = x509.SubjectAlternativeName(names)
        builder = builder.add_extension(alternatives, critical=not subject)
    pin, findings = pin_of(pin_file, pin_env)
    # A module that crashes or hangs does so in that process, and a wrong PIN is tried once only.
    answer = ask("prove", module=library, uri=uri, pin=pin)
    if not answer.ok:
        raise FindingsError(errors_in(answer.findings), exit_code=ExitCode.ENVIRONMENT)
    findings = (*findings, *answer.findings)
    with open_signing_key(uri, module=library, pin=pin) as key:
        request = builder.sign(key, hashes.SHA256())
    echo_findings(findings)
    put(output, request.public_bytes(Encoding.PEM), private=False, text=True, force=force)


def _subject(text: str) -> x509.Name:
    from cryptography import x509

    try:
        return x509.Name.from_rfc4514_string(text)
    except ValueError as problem:
        why = f": {problem}" if str(problem) else ""
        raise UsageError(
            f"--subject {text!r} is no distinguished name{why}",
            hint="Write it as RFC 4514 has it: CN=svc-b,O=Example Org.",
        ) from None


def _names(
    dns: tuple[str, ...], ip: tuple[str, ...], uris: tuple[str, ...], email: tuple[str, ...]
) -> list[x509.GeneralName]:
    from handclasp.ca import names

    try:
        return [
            *map(names.dns_name, dns),
            *map(names.ip_address, ip),
            *map(names.uri, uris),
            *map(names.email, email),
        ]
    except ValueError as problem:
        raise UsageError(f"a name cannot be used: {problem}") from None
