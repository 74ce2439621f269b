"""The ways to a token, and the files that lead OpenSSL there."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path, PurePath
from urllib.parse import unquote

import pytest

from handclasp.hsm.openssl_conf import Leading, Way, choose, key_directive, openssl_conf, uri_pem
from handclasp.hsm.support import Support
from handclasp.spec.pkcs11_uri import parse_pkcs11_uri
from tests.conftest import absent

ENGINE, PROVIDER = Path("/e/pkcs11.so"), Path("/p/pkcs11.so")
URI = parse_pkcs11_uri("pkcs11:token=prod;object=svc%20b")


@pytest.mark.parametrize(
    ("support", "store", "engines", "way"),
    [
        (Support(provider=PROVIDER, engine=ENGINE), False, True, Way.ENGINE),
        (Support(provider=PROVIDER, engine=ENGINE), False, False, Way.URI_FILE),
        (Support(provider=PROVIDER), True, True, Way.STORE),
        (Support(provider=PROVIDER), False, True, Way.URI_FILE),
        (Support(provider=PROVIDER, uri_files=False), False, True, None),
        (Support(provider=PROVIDER, uri_files=False), True, True, Way.STORE),
        (Support(provider=PROVIDER, engine=ENGINE, uri_files=False), False, True, Way.ENGINE),
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
        absent("openssl (apt install openssl)")
    uri = parse_pkcs11_uri(f"pkcs11:object={'x' * length}")
    read = subprocess.run(
        [openssl, "asn1parse", "-i"], input=uri_pem(uri), capture_output=True, check=True
    ).stdout.decode()
    assert "VISIBLESTRING     :PKCS#11 Provider URI v1.0" in read
    assert f"UTF8STRING        :{uri.for_openssl()}" in read


ODD = "/a b;c#d%20$e'f\"g&h?i{j}\\k"


def test_openssl_reads_a_path_as_it_is_whatever_is_in_it(tmp_path: Path) -> None:
    """By OpenSSL itself, which names the library it cannot load; of a provider it says nothing."""
    openssl = shutil.which("openssl")
    if openssl is None:
        absent("openssl (apt install openssl)")
    conf = tmp_path / "openssl.cnf"
    library = PurePath(f"/none{ODD} ")
    text = openssl_conf(
        Leading(way=Way.ENGINE, library=library), module=PurePath(f"{ODD}.so"), pin_file=None
    )
    conf.write_text(f"config_diagnostics = 1\n{text}")
    done = subprocess.run(
        [openssl, "dgst", "-sha256", "/dev/null"],
        env={"OPENSSL_CONF": str(conf), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert f"({library})" in done.stderr


def test_the_pin_s_file_is_named_as_rfc_7512_has_it() -> None:
    named = key_directive(
        Way.ENGINE, URI, key_file=PurePath("/k.pem"), pin_file=PurePath(f"{ODD}/pin")
    )
    source = named.partition("?pin-source=file:")[2]
    assert unquote(source) == f"{ODD}/pin"
    assert not set(source) & set(" ;#?&$\"'\\{}")
    text = openssl_conf(
        Leading(way=Way.STORE, library=PROVIDER),
        module=PurePath("/m.so"),
        pin_file=PurePath(f"{ODD}/pin"),
    )
    assert f"pkcs11-module-token-pin = file:{source}\n" in text


def test_a_line_s_end_in_a_value_would_be_another_setting() -> None:
    leading = Leading(way=Way.ENGINE, library=ENGINE)
    with pytest.raises(ValueError, match="control character"):
        openssl_conf(leading, module=PurePath("/m.so\nx = y"), pin_file=None)
