"""The one handshake client: connect, handshake, first read, one request; the result is a value.

``observation``  what was seen, as plain values; no opinion about causes
``offer``        what the client brings: certificate and key, trust anchors, the request
``alerts``       TLS alert numbers and their names, also from OpenSSL's reason names
``messages``     handshake messages, recorded: chain as sent, certificate request, alerts
``names``        does a certificate carry a name (for names that differ from the SNI)
``context``      edge to OpenSSL: settings and files become an SSLContext
``session``      edge to OpenSSL: TLS over memory buffers, no socket
``exchange``     one HTTP/1.1 request and its answer over bytes
``stream``       edge: a non-blocking socket that never loses received bytes
``connect``      edge: addresses tried one by one, PROXY header
``failures``     exceptions of ssl and socket become a Failure
``conversation`` the stages of one connection
``client``       the door: ``observe``

The order matters: under TLS 1.3 a server refuses a client certificate only after the client's
handshake is complete (RFC 8446 section 4.4.2.4), and nginx refuses it in HTTP. A client that stops
at the handshake calls a refused one "fine".
"""
