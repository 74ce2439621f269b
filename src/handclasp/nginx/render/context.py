"""What every fragment needs beside its part of the plan: the build, the places, and identity paths."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from handclasp.hsm.openssl_conf import key_directive
from handclasp.nginx.render.text import directive, identifier

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import PurePosixPath

    from handclasp.nginx.facts import Facts
    from handclasp.nginx.layout import Layout
    from handclasp.nginx.parts import Plan, Upstream


@dataclass(frozen=True, slots=True)
class Context:
    """Handed to every fragment. With `pins`, files are named by version and read at load time.

    A configuration under test is pinned: `nginx -t` then really loads each key and certificate that
    the running one would look up per handshake, and sees the new version before any link points at it.
    """

    plan: Plan
    facts: Facts
    layout: Layout
    identity_pins: Mapping[str, str] = field(default_factory=dict)
    trust_pins: Mapping[str, str] = field(default_factory=dict)
    include_base: PurePosixPath | None = None
    pins_in: PurePosixPath | None = None
    upstreams: Mapping[str, Upstream] = field(init=False)

    def __post_init__(self) -> None:
        by_name = {upstream.name: upstream for upstream in self.plan.upstreams}
        object.__setattr__(self, "upstreams", by_name)

    def include(self, file: str) -> str:
        """An include of one of our fragments. nginx resolves a relative one against the directory of its
        main file, which is ours only when nginx is."""
        return directive("include", self.include_base / file if self.include_base else file)

    def looks_up(self, name: str, *, wanted: bool) -> bool:
        """Whether this identity's files are found anew in every handshake."""
        return wanted and name not in self.identity_pins

    def identity_folder(self, name: str) -> PurePosixPath:
        """Directory of an identity's files."""
        return self.layout.identity(name, self.identity_pins.get(name, "current"))

    def identity_root(self, name: str) -> str:
        """`root` for a context that looks an identity up.

        It is the empty directory inside the version: should a request ever reach nginx's static file
        handler in that context, there is nothing to serve; the key lies above it.
        """
        return str(self.layout.identity(name) / "root")

    def identity_files(self, name: str, *, wanted: bool) -> tuple[str, str]:
        """Certificate and key, as nginx is to name them."""
        if self.looks_up(name, wanted=wanted):
            folder = f"{identity_variable(name)}/.."
            return f"{folder}/cert.pem", f"{folder}/key.pem"
        folder_path = self.identity_folder(name)
        return str(folder_path / "cert.pem"), self._key(name, folder_path / "key.pem")

    def _key(self, name: str, file: PurePosixPath) -> str:
        tokens = self.plan.tokens
        if tokens is None or name not in tokens.uris:
            return str(file)
        pin = self.pin_folder / pin_file(name) if name in tokens.pins else None
        return key_directive(tokens.leading.way, tokens.uris[name], key_file=file, pin_file=pin)

    @property
    def pin_folder(self) -> PurePosixPath:
        """Directory of the files with PINs; nginx's master reads them when it loads."""
        return self.pins_in or self.layout.generations / "current"

    def trust_file(self, name: str, file: str) -> str:
        """`ca.pem` or `crl.pem` of a trust."""
        return str(self.layout.trust(name, self.trust_pins.get(name, "current")) / file)


def pin_file(identity: str) -> str:
    """Name of the file with the PIN of an identity's token."""
    return f"pin-{identity}"


def identity_variable(name: str) -> str:
    """One map variable per identity: a map's value lives for the whole request, so a shared one would
    carry one identity's directory into another identity's location after an internal redirect."""
    return f"$hc_id_{identifier(name)}"
