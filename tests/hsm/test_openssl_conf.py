"""The ways to a token, and the files that lead OpenSSL there."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path, PurePath

import pytest

from handclasp.hsm.openssl_conf import Leading, Way, choose, key_directive, openssl_conf, uri_pem
from handclasp.hsm.support import Support
from handclasp.spec.pkcs11_uri import parse_pkcs11_uri

ENGINE, PROVIDER = Path("/e/pkcs11.so"), Path("/p/pkcs11.so")
URI = parse_pkcs11_uri("pkcs11:token=prod;object=svc%20b")


@pytest.mark.parametrize(
    ("support", "store", "engines", "way"),
    [
        (Support(provider=PROVIDER, engine=ENGINE), False, True, Way.ENGINE),
        (Support(provider=PROVIDER, engine=ENGINE), False, False, Way.URI_FILE),
        (Support(provider=PROVIDER), True, True, Way.STORE),
        (Support(provider=PROVIDER), False, True, Way.URI_FILE),
        (Support(engine=ENGINE), True, True, Way.ENGINE),
        (Support(engine=ENGINE), True, False, None),
        (Support(), True, True, None),
    ],
)
def test_the_way_follows_from_what_is_installed_and_what_nginx_can_do(
    support: Support, store: bool, engines: bool, way: Way | None
) -> None:
    chosen = choose(support, store=store, engines=engines)
    assert (chosen.way if chosen else None) is way
    if chosen is not None:
        assert chosen.library == (ENGINE if way is Way.ENGINE else PROVIDER)


def test_each_way_names_the_key_as_nginx_wants_it() -> None:
    named = {
        way: key_directive(way, URI, key_file=PurePath("/k.pem"), pin_file=PurePath("/pin"))
        for way in Way
    }
    assert named == {
        Way.URI_FILE: "/k.pem",
        Way.STORE: "store:pkcs11:token=prod;object=svc%20b;type=private",
        Way.ENGINE: "engine:pkcs11:pkcs11:token=prod;object=svc%20b;type=private?pin-source=file:/pin",
    }


def test_the_engine_is_initialised_after_its_module_is_named() -> None:
    text = openssl_conf(
        Leading(way=Way.ENGINE, library=ENGINE), module=PurePath("/m.so"), pin_file=PurePath("/pin")
    )
    assert text.index("dynamic_path = /e/pkcs11.so") < text.index("MODULE_PATH = /m.so")
    assert text.index("MODULE_PATH") < text.index("init = 1")
    assert "/pin" not in text  # it stands in the directive


@pytest.mark.parametrize("way", [Way.URI_FILE, Way.STORE])
def test_the_provider_keeps_the_module_and_reads_the_pin_from_its_file(way: Way) -> None:
    text = openssl_conf(
        Leading(way=way, library=PROVIDER), module=PurePath("/m.so"), pin_file=PurePath("/pin")
    )
    assert "pkcs11-module-quirks = no-deinit\n" in text
    assert "pkcs11-module-token-pin = file:/pin\n" in text
    assert "pkcs11-module-path = /m.so\n" in text
    assert "[default_section]\nactivate = 1\n" in text
    without = openssl_conf(
        Leading(way=way, library=PROVIDER), module=PurePath("/m.so"), pin_file=None
    )
    assert "token-pin" not in without


@pytest.mark.parametrize("length", [1, 40, 90, 300])
def test_the_file_that_stands_for_a_key_is_what_openssl_reads_as_the_provider_s(
    length: int,
) -> None:
    """Both lengths of DER: below 128 bytes and above."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("openssl is not installed")
    uri = parse_pkcs11_uri(f"pkcs11:object={'x' * length}")
    read = subprocess.run(
        [openssl, "asn1parse", "-i"], input=uri_pem(uri), capture_output=True, check=True
    ).stdout.decode()
    assert "VISIBLESTRING     :PKCS#11 Provider URI v1.0" in read
    assert f"UTF8STRING        :{uri.for_openssl()}" in read
