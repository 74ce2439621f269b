"""One module per proxy, each a pure function from a Site to the text that proxy reads.

They do the same job. Egress: Host and X-Real-IP and X-Forwarded-* set, client certificate
presented, upstream verified by name, SNI sent, HTTP/1.1 with a connection pool where the proxy has
one. Ingress: client certificate required, inbound identity headers removed, the certificate
forwarded in `X-Client-Cert` in the encoding that proxy can write. One worker or thread each.
"""
