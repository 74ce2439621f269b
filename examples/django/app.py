"""Greets the caller by SPIFFE ID: a Django project in one file.

    gunicorn --bind unix:/run/greeter/app.sock app:app

behind the link in ../greeter/ingress.yaml: `forward: [x-client-cert]`, `backend: http://unix:/run/greeter/app.sock`.
"""

from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, HttpResponse
from django.urls import path

settings.configure(
    ALLOWED_HOSTS=["*"],  # the ingress link lets no other name through
    ROOT_URLCONF=__name__,
    MIDDLEWARE=["handclasp.backend.django.ClientIdentityMiddleware"],
    HANDCLASP={"dialect": "x-client-cert", "trusted_peers": ["unix"]},
)


def greet(request: HttpRequest) -> HttpResponse:
    caller = request.client_identity
    return HttpResponse(
        f"Hello, {caller.spiffe_id or caller.subject}!\n", content_type="text/plain"
    )


urlpatterns = [path("", greet)]
app = get_wsgi_application()
