"""Who may tell the application who is calling."""

from __future__ import annotations

import pytest

from handclasp.backend.peers import trusted_peers


@pytest.mark.parametrize(
    ("trusted", "peer", "believed"),
    [
        (["unix"], "unix", True),
        (["unix"], None, False),
        (["unix"], "127.0.0.1", False),
        (["loopback"], "127.0.0.1", True),
        (["loopback"], "127.255.255.254", True),
        (["loopback"], "::1", True),
        (["loopback"], "unix", False),
        (["loopback"], "128.0.0.1", False),
        (["127.0.0.1"], "127.0.0.2", False),
        (["10.0.0.0/24"], "10.0.0.255", True),
        (["10.0.0.0/24"], "10.0.1.0", False),
        (["10.0.0.5"], "::ffff:10.0.0.5", True),
        (["10.0.0.5"], "::ffff:10.0.0.6", False),
        (["2001:db8::/32"], "2001:db8::1", True),
        (["2001:db8::/32", "unix"], "2001:db9::1", False),
        (["10.0.0.5"], "localhost", False),
        (["10.0.0.5"], "", False),
        (["10.0.0.5"], "10.0.0.5, 10.0.0.6", False),
    ],
)
def test_only_named_peers_are_believed(
    trusted: list[str], peer: str | None, believed: bool
) -> None:
    peers = trusted_peers(trusted)
    assert (peer in peers) is believed
    assert (peer in peers) is believed  # remembered


@pytest.mark.parametrize(
    ("trusted", "message"),
    [
        ([], "is empty"),
        ("unix", "not one text"),
        (["0.0.0.0/0"], "everybody"),
        (["::/0"], "everybody"),
        (["proxy.internal"], "neither"),
        (["10.0.0.1/24"], "host bits"),
        (["*"], "neither"),
        ([""], "neither"),
    ],
)
def test_what_cannot_be_meant_is_refused(trusted: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        trusted_peers(trusted)
