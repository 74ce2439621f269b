"""One module per proxy, each a pure function from a Site to the text that proxy reads.

They do the same job. Egress: Host, X-Real-IP, X-Forwarded-* and a new X-Request-ID set, client certificate
presented, upstream verified by name, SNI sent, HTTP/1.1 with a connection pool where the proxy has
one. Ingress: client certificate required, inbound identity headers removed, the certificate
forwarded in `X-Client-Cert` in the encoding that proxy can write, with subject, issuer, serial,
fingerprint and end (Caddy has no end) in headers beside it. One worker or thread each.
"""
