"""openssl.cnf: what lets nginx's OpenSSL use keys in tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING

from handclasp.hsm.openssl_conf import openssl_conf
from handclasp.nginx.render.context import pin_file
from handclasp.nginx.render.text import directive

if TYPE_CHECKING:
    from collections.abc import Iterator

    from handclasp.nginx.parts import Tokens
    from handclasp.nginx.render.context import Context

OPENSSL_FILE = "openssl.cnf"


def openssl_fragment(tokens: Tokens, context: Context) -> list[str]:
    """openssl.cnf, which $OPENSSL_CONF of nginx has to name."""
    pin = context.pin_folder / pin_file(tokens.single_pin) if tokens.single_pin else None
    return openssl_conf(tokens.leading, module=tokens.module, pin_file=pin).splitlines()


def token_variables(context: Context) -> Iterator[str]:
    """Main context: the workers open the module anew, and nginx hands down only variables it is told to."""
    if (tokens := context.plan.tokens) is not None:
        yield directive("env", "OPENSSL_CONF")
        for name, _ in tokens.environment:
            yield directive("env", name)
