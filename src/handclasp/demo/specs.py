"""The two spec files. Written as a person would write them: they are shown."""

from __future__ import annotations

from dataclasses import dataclass

from handclasp.demo.cast import CLIENT, SERVER_NAME

IMPOSTOR_PATH = "/impostor/"
INGRESS_LINK = "api"
EGRESS_LINK = "orders"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """Loopback ports: the listeners of A (TLS) and B (plain), the backend, the impostor."""

    a: int
    b: int
    backend: int
    impostor: int


def spec_a(ports: Ports) -> str:
    """The ingress."""
    return f"""\
identities:
  server-a: {{certificate: certs/server-a.pem, key: certs/server-a.key}}
trust:
  company: {{certificates: [certs/ca.pem]}}
ingress:
  - name: {INGRESS_LINK}
    listen: 127.0.0.1:{ports.a}
    server_names: [{SERVER_NAME}]
    identity: server-a
    clients: {{trust: company, allow: ["cn:{CLIENT}"]}}
    backend: http://127.0.0.1:{ports.backend}
    forward: [x-client-cert]       # tell the backend who called
log: {{access: all}}
nginx: {{workers: 1}}
"""


def spec_b(ports: Ports) -> str:
    """The egress, with a route to a server that cannot prove its name."""
    return f"""\
identities:
  {CLIENT}: {{certificate: certs/{CLIENT}.pem, key: certs/{CLIENT}.key}}
trust:
  company: {{certificates: [certs/ca.pem]}}
egress:
  - name: {EGRESS_LINK}
    listen: 127.0.0.1:{ports.b}
    upstream: https://127.0.0.1:{ports.a}
    verify: {{name: {SERVER_NAME}}}
    identity: {CLIENT}
    trust: company
    routes:                        # to a server with another name
      - path: {IMPOSTOR_PATH}
        upstream: https://127.0.0.1:{ports.impostor}
        verify: {{name: {SERVER_NAME}}}
log: {{access: all}}
nginx: {{workers: 1}}
"""
