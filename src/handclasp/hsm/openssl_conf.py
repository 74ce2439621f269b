"""How nginx's OpenSSL is led to a token: the way, the file that stands for the key, and openssl.cnf. Pure.

The settings are those that were seen to work (docs/decisions/0012): the provider without `no-deinit`
crashes at nginx's exit, and without a PIN file some handshakes of forked workers fail; the engine without
`init = 1` is not initialised when nginx loads the key.
"""

from __future__ import annotations

import base64
import re
import textwrap
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING
from urllib.parse import quote

if TYPE_CHECKING:
    from pathlib import PurePath

    from handclasp.hsm.support import Support
    from handclasp.spec.pkcs11_uri import Pkcs11Uri


class Way(StrEnum):
    """How nginx names a key of a token."""

    URI_FILE = "provider"  # a PEM file with the URI, decoded by the provider
    STORE = "store"  # store:pkcs11:…, nginx 1.29 and newer, by the provider
    ENGINE = "engine"  # engine:pkcs11:pkcs11:…


@dataclass(frozen=True, slots=True, kw_only=True)
class Leading:
    """Which way, with the shared library that goes it."""

    way: Way
    library: PurePath


def choose(support: Support, *, store: bool, engines: bool) -> Leading | None:
    """The engine where it is installed, else the provider; None when neither is, or neither will do.

    Measured: the engine lost none of 4,800 handshakes; with pkcs11-provider 1.0 and SoftHSM in 4 of 10 starts
    one worker or another refused every handshake ("the specified key handle is not valid") until nginx was
    started anew, whatever its cache settings.
    `store`: this nginx takes `store:`. `engines`: its OpenSSL still has engines.
    """
    if support.engine is not None and engines:
        return Leading(way=Way.ENGINE, library=support.engine)
    if support.provider is not None and (store or support.uri_files):
        return Leading(way=Way.STORE if store else Way.URI_FILE, library=support.provider)
    return None


def key_directive(
    way: Way, uri: Pkcs11Uri, *, key_file: PurePath, pin_file: PurePath | None
) -> str:
    """What `ssl_certificate_key` is given."""
    match way:
        case Way.URI_FILE:
            return str(key_file)
        case Way.STORE:
            return f"store:{uri.for_openssl()}"
        case Way.ENGINE:
            pin = f"?pin-source={pin_source(pin_file)}" if pin_file else ""
            return f"engine:pkcs11:{uri.for_openssl()}{pin}"


def openssl_conf(leading: Leading, *, module: PurePath, pin_file: PurePath | None) -> str:
    """The configuration file for $OPENSSL_CONF (config(5) of OpenSSL)."""
    lines = ["# Written by handclasp: lets nginx's OpenSSL use a key in a PKCS#11 token.", ""]
    lines += ["openssl_conf = openssl_init", "", "[openssl_init]"]
    if leading.way is Way.ENGINE:
        lines += ["engines = engine_section", "", "[engine_section]", "pkcs11 = pkcs11_section"]
        lines += ["", "[pkcs11_section]", "engine_id = pkcs11"]
        lines += [f"dynamic_path = {_value(leading.library)}", f"MODULE_PATH = {_value(module)}"]
        lines += ["init = 1"]  # the last: it takes what was set before
        return "\n".join([*lines, ""])
    lines += ["providers = provider_section", "", "[provider_section]"]
    lines += ["default = default_section", "pkcs11 = pkcs11_section", ""]
    lines += ["[default_section]", "activate = 1", "", "[pkcs11_section]"]
    lines += [f"module = {_value(leading.library)}", f"pkcs11-module-path = {_value(module)}"]
    if pin_file is not None:
        lines += [f"pkcs11-module-token-pin = {_value(pin_source(pin_file))}"]
    lines += ["pkcs11-module-quirks = no-deinit", "activate = 1"]
    return "\n".join([*lines, ""])


# What stands for itself in a value of openssl.cnf (config(5), "Settings").
_BARE = re.compile(r"[A-Za-z0-9_./:%+-]+\Z")


def pin_source(pin_file: PurePath) -> str:
    """The file of a PIN as engine and provider read it (RFC 7512, pin-source): both decode percent signs
    (libp11, parse_pkcs11_uri; pkcs11-provider, get_pin_file), and libp11 ends it at `;`, `?` and `&`."""
    return "file:" + quote(str(pin_file), safe="/", errors="surrogateescape")


def _value(value: object) -> str:
    """A value of openssl.cnf, quoted when it has to be: `#` begins a comment and `$` a variable, blanks at
    the end go. Inside quotes a backslash makes the next character stand for itself."""
    text = str(value)
    if _BARE.match(text):
        return text
    if any(character < " " or character == "\x7f" for character in text):
        raise ValueError(f"a control character in {text!r}")  # find_module and the spec refuse it
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def uri_pem(uri: Pkcs11Uri) -> bytes:
    """The file that stands for the key (pkcs11-provider, docs/provider-pkcs11.7, "PKCS#11 URIs in PEM")."""
    described = _der(0x1A, b"PKCS#11 Provider URI v1.0")  # VisibleString
    body = base64.b64encode(_der(0x30, described + _der(0x0C, uri.for_openssl().encode())))
    lines = textwrap.wrap(body.decode("ascii"), 64)
    label = "PKCS#11 PROVIDER URI"
    return "\n".join([f"-----BEGIN {label}-----", *lines, f"-----END {label}-----", ""]).encode()


def _der(tag: int, content: bytes) -> bytes:
    length = len(content)
    if length < 0x80:
        return bytes([tag, length]) + content
    size = (length.bit_length() + 7) // 8
    return bytes([tag, 0x80 | size]) + length.to_bytes(size, "big") + content
