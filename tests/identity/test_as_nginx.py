"""The dialects that stock nginx writes are written byte for byte as nginx writes them.

But for a blank at the end of a name, which every receiver of nginx's header cuts off."""

from __future__ import annotations

import shutil
import socket
import ssl
import subprocess
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from cryptography.x509.oid import NameOID

from handclasp.backend.dialects import DIALECTS, Field
from handclasp.identity.caller import read_caller
from handclasp.identity.encoders import encode
from tests import pki
from tests.conftest import early_log
from tests.identity.specimens import NOW, issuing, name, root

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

VARIABLES = {
    Field.CERTIFICATE: "$ssl_client_escaped_cert",
    Field.VERIFY: "$ssl_client_verify",
    Field.SUBJECT: "$ssl_client_s_dn",
    Field.ISSUER: "$ssl_client_i_dn",
    Field.SERIAL: "$ssl_client_serial",
    Field.FINGERPRINT: "$ssl_client_fingerprint",
    Field.NOT_AFTER: "$ssl_client_v_end",
}
HOSTILE = name(
    (NameOID.ORGANIZATION_NAME, 'Söhne, "GmbH"; a\\b=c+d<e>#'),
    [(NameOID.COMMON_NAME, " #日本 "), (NameOID.USER_ID, "x\ty")],
)
CALLERS = {
    "plain": pki.leaf(issuing(), "svc-b", serial=0xABC),
    "hostile": pki.leaf(issuing(), subject=HOSTILE, serial=0xFF00),
    "rsa": pki.leaf(issuing(), "rsa", key_kind="rsa2048", not_after=NOW.replace(day=3, year=2049)),
}


@contextmanager
def answering(binary: Path, folder: Path) -> Iterator[Path]:
    """An nginx on a unix socket that answers with its variables, one a line."""
    server = pki.leaf(root(), "server", usages=(pki.SERVER,))
    server.write(folder, "server")
    (folder / "ca.pem").write_bytes(root().pem)
    body = "\\n".join(VARIABLES.values())
    (folder / "nginx.conf").write_text(
        f"""daemon off; master_process off; pid {folder}/pid; error_log {folder}/error.log;
events {{}}
http {{
  access_log off; client_body_temp_path {folder}/b; proxy_temp_path {folder}/p;
  fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  server {{
    listen unix:{folder}/socket ssl;
    ssl_certificate {folder}/server.pem; ssl_certificate_key {folder}/server.key;
    ssl_client_certificate {folder}/ca.pem; ssl_verify_client on; ssl_verify_depth 4;
    location / {{ return 200 "{body}"; }}
  }}
}}
"""
    )
    started = subprocess.Popen(
        [
            binary,
            "-p",
            folder,
            "-c",
            folder / "nginx.conf",
            *early_log(binary, f"{folder}/error.log"),
        ],
        stderr=subprocess.DEVNULL,
    )
    try:
        yield folder / "socket"
    finally:
        started.terminate()
        started.wait(10)


def ask(path: Path, client: pki.Pair, folder: Path) -> list[str]:
    certificate, key = client.write(folder, "client")
    context = ssl.create_default_context(cafile=folder / "ca.pem")
    context.check_hostname = False
    context.load_cert_chain(certificate, key)
    for _ in range(100):
        try:
            plain = socket.socket(socket.AF_UNIX)
            plain.settimeout(10)
            plain.connect(str(path))
            break
        except OSError:
            plain.close()
            time.sleep(0.05)
    with plain, context.wrap_socket(plain) as wrapped:
        wrapped.sendall(b"GET / HTTP/1.0\r\n\r\n")
        answer = b""
        while part := wrapped.recv(65536):
            answer += part
    return answer.partition(b"\r\n\r\n")[2].decode("ascii").split("\n")


@pytest.mark.parametrize("case", CALLERS)
def test_x_client_cert_is_what_nginx_itself_would_send(
    nginx_build: Path, place: Path, case: str
) -> None:
    folder = place / f"{nginx_build.parent.name}-{case}"
    folder.mkdir()
    with answering(nginx_build, folder) as path:
        said = dict(zip(VARIABLES, ask(path, CALLERS[case], folder), strict=True))
    shutil.rmtree(folder)
    headers = dict(encode("x-client-cert", read_caller(CALLERS[case].certificate)))
    names = DIALECTS["x-client-cert"].fields
    assert {field: headers[names[field]] for field in VARIABLES} == said
