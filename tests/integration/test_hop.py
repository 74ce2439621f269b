"""The main job: a plain request in, over mutual TLS, out to a backend that learns who called."""

from __future__ import annotations

import json
import urllib.request
from typing import TYPE_CHECKING
from urllib.parse import unquote

import pytest
from cryptography import x509

from tests.integration.running import Running, egress_spec, ingress_spec, write_spec
from tests.integration.servers import Backend

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.integration.running import Material

pytestmark = pytest.mark.integration


def test_a_request_crosses_both_ends_and_the_backend_learns_who_called(
    material: Material, nginx_build: Path, free_port: Callable[[], int]
) -> None:
    plain, tls = free_port(), free_port()
    with Backend() as backend:
        ingress = ingress_spec(material, f"127.0.0.1:{tls}", f"http://127.0.0.1:{backend.port}")
        egress = egress_spec(material, f"127.0.0.1:{plain}", f"https://127.0.0.1:{tls}")
        with (
            Running(write_spec(material.folder, f"a-{tls}", ingress), nginx_build) as a,
            Running(write_spec(material.folder, f"b-{tls}", egress), nginx_build) as b,
        ):
            request = urllib.request.Request(
                f"http://localhost:{plain}/orders?x=1",
                data=b"hello",
                headers={"X-Client-Cert": "forged", "X-Client-Verify": "SUCCESS"},
            )
            with urllib.request.urlopen(request, timeout=10) as answer:
                told = json.load(answer)
            assert (told["method"], told["path"], told["body_size"]) == ("POST", "/orders?x=1", 5)
            (certificate,) = backend.last.values("X-Client-Cert")
            sent = x509.load_pem_x509_certificate(unquote(certificate).encode())
            assert sent == material.client.certificate
            assert backend.last.values("X-Client-Verify") == ["SUCCESS"]
            assert backend.last.values("X-Client-Subject") == ["CN=svc-b,O=Example Org"]
            assert a.status()["ready"]
            assert b.status()["ready"]
        assert a.process.returncode == b.process.returncode == 0
