"""How an nginx build uses keys of PKCS#11 tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING

from handclasp.findings import Finding, Where, found
from handclasp.hsm.openssl_conf import Leading, choose
from handclasp.hsm.support import ENGINE_PACKAGE, PROVIDER_PACKAGE, find_support
from handclasp.nginx.features import Feature

if TYPE_CHECKING:
    from handclasp.nginx.facts import Facts


def leading_for(facts: Facts) -> tuple[Leading | None, tuple[Finding, ...]]:
    """The way this build goes with what is installed here, or the finding that says why there is none."""
    library = facts.tls_library
    where = Where(file=facts.binary)
    if facts.static:
        seen = (
            f"{facts.binary} (nginx {facts.version_text}) is linked statically and loads no "
            "PKCS#11 provider or engine"
        )
        return None, (found("pkcs11-not-with-this-nginx", seen, where=where),)
    if library.name != "OpenSSL":
        seen = f"{facts.binary} uses {library.name}, which loads no PKCS#11 provider or engine"
        return None, (found("pkcs11-not-with-this-nginx", seen, where=where),)
    major = library.number[0]
    support = find_support(min(major, 3))
    leading = choose(
        support,
        store=facts.has(Feature.STORE_KEYS),
        engines=major <= 3,
    )
    if leading is None:
        if support.provider is not None:
            seen = (
                f"{support.provider} is too old to read a file with the URI of a key, "
                f"nginx {facts.version_text} is too old to do without one, and the system has no "
                f"PKCS#11 engine for OpenSSL {library.running}"
            )
        else:
            seen = f"the system has neither a PKCS#11 provider nor an engine for OpenSSL {library.running}"
        fix = f"Install the package {ENGINE_PACKAGE}; where there is none, {PROVIDER_PACKAGE}."
        return None, (found("pkcs11-not-with-this-nginx", seen, where=where, fix=fix),)
    return leading, ()
