"""The commented files `handclasp init` writes: something to edit, already well formed."""

from __future__ import annotations

from typing import Literal

Kind = Literal["egress", "ingress", "both"]


def starter(kind: Kind) -> str:
    """A spec that `check` accepts once the files it names exist."""
    identities = {
        "egress": _CLIENT_IDENTITY,
        "ingress": _SERVER_IDENTITY,
        "both": _CLIENT_IDENTITY + _SERVER_IDENTITY,
    }
    links = {"egress": _EGRESS, "ingress": _INGRESS, "both": _EGRESS + _INGRESS}
    return _HEAD.format(identities=identities[kind]) + links[kind] + _TAIL


_HEAD = """\
# What handclasp carries on this machine. Paths are relative to this file.
#   handclasp check -c FILE    what will not work, before it is tried
#   handclasp run -c FILE      nginx carries it
# Every key: docs/reference/spec.md, or `handclasp schema` for your editor.

# Certificates with their keys: who we are. PEM, DER and PKCS#12 are told apart by themselves.
identities:
{identities}
# CA certificates: whom we believe.
trust:
  company:
    certificates: [certs/ca.pem]       # the root must be in it
    # crl: [certs/ca.crl]              # revoked certificates; one list for every CA of a chain
"""

_CLIENT_IDENTITY = """\
  client:
    certificate: certs/client.pem      # with intermediates after it, if there are any
    key: certs/client.key              # mode 0600
    # password: {file: secrets/client} # when the key is encrypted; or {env: NAME}
"""

_SERVER_IDENTITY = """\
  server:
    certificate: certs/server.pem      # must carry the server_names below
    key: certs/server.key              # mode 0600
    # password: {file: secrets/server} # when the key is encrypted; or {env: NAME}
"""

_EGRESS = """
# Out: the application speaks plain HTTP to us, we present the client certificate to the upstream.
egress:
  - name: partner
    listen: 127.0.0.1:8080             # every user and program of this machine may use it
    # Only one group may use it (curl --unix-socket partner.sock http://localhost/):
    # listen: unix:run/partner.sock
    # group: www-data
    upstream: https://server.example.com
    identity: client
    trust: company
    # verify: {name: server.example.com}   # when its certificate has another name than the URL
    # routes:                              # other upstreams or identities by path prefix
    #   - {path: /search/, upstream: https://search.example.com}
"""

_INGRESS = """
# In: callers must show a certificate of our CA; the application learns who they are.
ingress:
  - name: api
    listen: 0.0.0.0:8443
    server_names: [server.example.com] # callers that use another name are rejected
    identity: server
    clients:
      trust: company
      allow: ["cn:client"]             # who may enter; dn:SUBJECT for a whole subject, or `any`
    backend: http://127.0.0.1:8000
    # backend: http://unix:/run/api/http.sock  # keeps other local users away from the backend
    forward: [x-client-cert]           # headers X-Client-Cert, X-Client-Verify, X-Client-Subject …
"""

_TAIL = """
# status: {listen: 127.0.0.1:9180}     # GET /status.json, /healthz, /readyz
"""
