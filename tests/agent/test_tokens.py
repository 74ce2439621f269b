"""What is said of tokens to those who run nginx themselves."""

from __future__ import annotations

import shlex
from pathlib import PurePosixPath

from handclasp.agent.tokens import service_environment
from handclasp.hsm.openssl_conf import Leading, Way
from handclasp.nginx.layout import Layout
from handclasp.nginx.parts import Tokens


def environment(state: str, **variables: str) -> str:
    """What is told to be put behind `Environment=`."""
    tokens = Tokens(
        leading=Leading(way=Way.ENGINE, library=PurePosixPath("/e/pkcs11.so")),
        module=PurePosixPath("/m.so"),
        environment=tuple(variables.items()),
        keys=(),
        pins=(),
        single_pin=None,
    )
    finding = service_environment(tokens, Layout(PurePosixPath(state)))
    assert f"{state}/" in finding.seen
    return finding.fix.partition("`Environment=")[2].partition("`")[0]


def test_a_unit_is_given_paths_with_blanks_quotes_and_percent_signs_as_systemd_reads_them() -> None:
    """Its quoting is that of a shell but for `$`; a percent sign begins a specifier unless doubled."""
    written = environment('/var/a b%20"c\\d', SOFTHSM2_CONF="/etc/100%.conf")
    openssl, softhsm = (word.replace("%%", "%") for word in shlex.split(written))
    assert "%" not in written.replace("%%", "")
    assert openssl.startswith('OPENSSL_CONF=/var/a b%20"c\\d/')
    assert softhsm == "SOFTHSM2_CONF=/etc/100%.conf"
