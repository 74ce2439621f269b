"""Greets the caller by SPIFFE ID.

    gunicorn --bind unix:/run/greeter/app.sock app:app

behind the link in ../greeter/ingress.yaml: `forward: [x-client-cert]`, `backend: http://unix:/run/greeter/app.sock`.
"""

from flask import Flask, Response, request

from handclasp.backend.wsgi import KEY, ClientIdentityMiddleware

app = Flask(__name__)
app.wsgi_app = ClientIdentityMiddleware(  # type: ignore[method-assign]
    app.wsgi_app, dialect="x-client-cert", trusted_peers=["unix"]
)


@app.get("/")
def greet() -> Response:
    caller = request.environ[KEY]
    return Response(f"Hello, {caller.spiffe_id or caller.subject}!\n", content_type="text/plain")
