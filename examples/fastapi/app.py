"""Greets the caller by SPIFFE ID.

    uvicorn app:app --uds /run/greeter/app.sock

behind the link in ../greeter/ingress.yaml: `forward: [x-client-cert]`, `backend: http://unix:/run/greeter/app.sock`.
"""

from typing import Annotated

from fastapi import Depends, FastAPI
from fastapi.responses import PlainTextResponse

from handclasp.backend import ClientIdentity
from handclasp.backend.asgi import ClientIdentityMiddleware
from handclasp.backend.starlette import client_identity

app = FastAPI()
app.add_middleware(ClientIdentityMiddleware, dialect="x-client-cert", trusted_peers=["unix"])


@app.get("/", response_class=PlainTextResponse)
def greet(caller: Annotated[ClientIdentity, Depends(client_identity)]) -> str:
    return f"Hello, {caller.spiffe_id or caller.subject}!\n"
