"""What each pattern of the model means in words, and how a value that misses it can be mended."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from handclasp.spec import (
    issuer,
    issuer_acme,
    issuer_vault,
    links,
    policy,
    rotation,
    trust_spiffe,
    types,
)
from handclasp.spec import model as spec_model
from handclasp.spec.names import fit_name

if TYPE_CHECKING:
    from collections.abc import Callable


def _unchanged(_text: str) -> str:
    return ""


@dataclass(frozen=True, slots=True)
class Form:
    """What a pattern stands for; `correct` returns a better value, or one that fits no better."""

    description: str
    correct: Callable[[str], str] = _unchanged


_FORMS = {
    links.NAME_PATTERN: Form(
        "a name (lower-case letters, digits and hyphens, at most 63)", fit_name
    ),
    links.HEADER_PATTERN: Form(
        "a header name (letters, digits and hyphens; nginx drops names with underscores)",
        lambda text: text.strip().rstrip(":").replace("_", "-").replace(" ", "-"),
    ),
    links.ROUTE_PATTERN: Form(
        "a path prefix (it begins with / and is written without %, ? and spaces)",
        lambda text: f"/{text}",
    ),
    types.METHOD_PATTERN: Form("an HTTP method in capitals", lambda text: text.strip().upper()),
    policy.ACCOUNT_PATTERN: Form("the name of an account or group", lambda text: text.lower()),
    policy.VARIABLE_PATTERN: Form("the name of an environment variable"),
    policy.OPENSSL_PATTERN: Form("one name of a cipher suite or group; a list has one item each"),
    types.ARGUMENT_PATTERN: Form("a word of a command line"),
    spec_model.MODULE_VARIABLE_PATTERN: Form(
        "the name of an environment variable in capitals", lambda text: text.upper()
    ),
    spec_model.MODULE_VALUE_PATTERN: Form("one line of text"),
    rotation.TRIAL_PATH_PATTERN: Form(
        "a path (it begins with / and has no blanks)", lambda text: f"/{text.strip()}"
    ),
    trust_spiffe.TRUST_DOMAIN_PATTERN: Form(
        "a SPIFFE trust domain (lower-case letters, digits, dots, hyphens and underscores)",
        lambda text: text.strip().removeprefix("spiffe://").partition("/")[0].lower(),
    ),
    issuer.WORD_PATTERN: Form("a word without blanks, in ASCII"),
    issuer_acme.EMAIL_PATTERN: Form(
        "an e-mail address", lambda text: text.strip().removeprefix("mailto:")
    ),
    issuer_vault.MOUNT_PATTERN: Form(
        "a path in Vault, such as pki or team/pki", lambda text: text.strip("/")
    ),
    issuer_vault.ROLE_PATTERN: Form("the name of a role in Vault"),
}


def form_of(pattern: str) -> Form:
    """The form a pattern of the model stands for."""
    return _FORMS.get(pattern, Form(f"of the form {pattern}"))


PATTERNS = frozenset(_FORMS)
"""The patterns that have words; a test compares them with those of the model."""
