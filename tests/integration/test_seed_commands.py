"""What docs/seed.md says of the commands around the five blocks, shown by running them."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest
from cryptography import x509

from tests.conftest import absent
from tests.integration.running import handclasp
from tests.integration.seed_blocks import egress
from tests.integration.seed_stage import Cast, RawBackend, example, nginx_test, origin
from tests.openssl import needs_openssl

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def cast(place: Path) -> Cast:
    return Cast(place / "cast")


@needs_openssl
def test_the_der_conversion_makes_a_file_nginx_cannot_read_and_handclasp_can(
    cast: Cast, nginx_build: Path, place: Path, free_port: Callable[[], int]
) -> None:
    command = "openssl x509 -in client.pem -outform der -out client.crt"
    subprocess.run(command.split(), cwd=cast.certs, check=True, timeout=20)
    text = egress(cast, free_port(), 1).replace("/client.pem", "/client.crt")
    said = nginx_test(nginx_build, place / "t", text)
    assert f'cannot load certificate "{cast.certs}/client.crt"' in said
    assert "PEM routines::no start line" in said
    spec = example(cast, "egress", upstream=f"https://localhost:{free_port()}")
    spec.write_text(spec.read_text().replace("certs/client.pem", "certs/client.crt"))
    done = handclasp(
        *("check", "-c", spec, "--nginx", nginx_build, "--state-dir", cast.folder / "check"),
        cwd=cast.folder,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@needs_openssl
def test_rsa_check_fails_on_an_ec_key_prints_an_rsa_key_and_says_nothing_of_the_certificate(
    cast: Cast, nginx_builds: dict[str, Path], place: Path
) -> None:
    def check(key: Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["openssl", "rsa", "-in", str(key), "-check"],
            capture_output=True,
            text=True,
            check=False,
            timeout=20,
        )

    ec = check(cast.pair("client")[1])
    assert ec.returncode != 0
    assert "Not an RSA key" in ec.stderr
    cast.add("rsa", "rsa", key_kind="rsa2048")
    rsa = check(cast.pair("rsa")[1])
    assert rsa.returncode == 0
    assert "RSA key ok" in rsa.stdout
    assert "PRIVATE KEY-----" in rsa.stdout
    # The key it found fine belongs to another certificate; nginx notices only where the types agree.
    cast.add("rsa-2", "rsa-2", key_kind="rsa2048")
    other_type = egress(cast, 1, 1).replace("/client.key", "/rsa.key")
    same_type = other_type.replace("/client.pem", "/rsa-2.pem")
    for build in nginx_builds.values():
        assert nginx_test(build, place / "t", other_type) == ""
        assert "key values mismatch" in nginx_test(build, place / "t", same_type)


@needs_openssl
@pytest.mark.parametrize("certificate", ["wrong-name", "wrong-ca"])
def test_s_client_goes_on_where_nginx_does_not(certificate: str, cast: Cast) -> None:
    with origin(cast, certificate) as server_a:
        command = f"openssl s_client -connect localhost:{server_a.port}"
        command += " -cert client.pem -key client.key -CAfile ca.pem"
        done = subprocess.run(
            command.split(),
            cwd=cast.certs,
            input="GET / HTTP/1.0\r\n\r\n",
            capture_output=True,
            text=True,
            check=False,
            timeout=20,
        )
        assert done.returncode == 0
        # As with `serverA:443`: only a name with a dot in it is sent as SNI.
        assert server_a.called == [None]
        verdict = "0 (ok)" if certificate == "wrong-name" else "unable to get local issuer"
        assert verdict in done.stdout or verdict in done.stderr


def test_the_awk_command_sends_backslashes_instead_of_line_breaks(cast: Cast) -> None:
    if not (shutil.which("curl") and shutil.which("awk")):
        absent("curl or awk")
    with RawBackend() as backend:
        url = f"http://localhost:{backend.port}"
        program = r"""'NF {sub(/\\r/, ""); printf "%s\\\\n",$0;}'"""
        command = f"""curl -sv {url} --header "X-Client-Cert: $(awk {program} client.pem)" """
        subprocess.run(
            command, shell=True, cwd=cast.certs, check=True, capture_output=True, timeout=20
        )
        (head,) = backend.heads
    sent = next(line for line in head.split(b"\r\n") if line.startswith(b"X-Client-Cert: "))
    value = sent.removeprefix(b"X-Client-Cert: ")
    assert value == b"".join(line + rb"\\n" for line in cast.client.pem.splitlines())
    for text in (value, value.replace(rb"\n", b"\n")):  # even where somebody undoes \n
        with pytest.raises(ValueError, match=r"PEM|base64|parse"):
            x509.load_pem_x509_certificate(text)
