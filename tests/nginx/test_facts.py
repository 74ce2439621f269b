"""Facts are read right from real answers to `nginx -V`, and everything else is refused by name."""

from __future__ import annotations

import dataclasses
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handclasp.errors import EnvironmentFault
from handclasp.nginx.facts import MINIMUM_VERSION, NEEDS, Facts, Feature, parse_facts
from tests.conftest import absent
from tests.nginx.recorded_builds import NAMES, USABLE, facts_of, version_output

VERSIONS = {
    "alpine-1.28.0": (1, 28, 0),
    "aws-lc-1.27.0": (1, 27, 0),
    "boringssl-1.23.1": (1, 23, 1),
    "debian-11-1.18.0": (1, 18, 0),
    "debian-12-1.22.1": (1, 22, 1),
    "debian-13-1.26.3": (1, 26, 3),
    "redhat-1.18.0": (1, 18, 0),
    "self-built-1.20.1": (1, 20, 1),
    "ubuntu-22.04-1.18.0": (1, 18, 0),
    "ubuntu-24.04-1.24.0": (1, 24, 0),
    "wheel-1.31.3": (1, 31, 3),
}
TLS = {
    "aws-lc-1.27.0": ("AWS-LC", "1.29.0", "1.29.0"),
    "boringssl-1.23.1": ("BoringSSL", "", ""),
    "debian-11-1.18.0": ("OpenSSL", "1.1.1n", "1.1.1w"),
    "debian-12-1.22.1": ("OpenSSL", "3.0.22", "3.0.19"),
    "self-built-1.20.1": ("OpenSSL", "1.1.1l", "1.1.1l"),
    "redhat-1.18.0": ("OpenSSL", "1.0.2k-fips", "1.0.2k-fips"),
    "wheel-1.31.3": ("OpenSSL", "3.3.7", "3.3.7"),
}
# Feature by feature: the first version that has it, as nginx's documentation and change log say.
FIRST = {
    Feature.ESCAPED_CERT: "1.13.5",
    Feature.SERVER_CERTIFICATE_VARIABLES: "1.15.9",
    Feature.REJECT_HANDSHAKE: "1.19.4",
    Feature.SSL_CONF_COMMAND: "1.19.4",
    Feature.PROXY_SSL_CONF_COMMAND: "1.19.4",
    Feature.EARLY_LOG: "1.19.5",
    Feature.CLIENT_KEEPALIVE_TIME: "1.19.10",
    Feature.UPSTREAM_KEEPALIVE_TIME: "1.19.10",
    Feature.UPSTREAM_CERTIFICATE_VARIABLES: "1.21.0",
    Feature.SSL_ALPN: "1.21.4",
    Feature.ALPN_VARIABLE: "1.21.4",
    Feature.SSL_CURVE_VARIABLE: "1.21.5",
    Feature.TLS13_SESSION_TIMEOUT: "1.23.2",
    Feature.TLS13_BY_DEFAULT: "1.23.4",
    Feature.JOINED_HEADERS: "1.23.0",
    Feature.HTTP2_DIRECTIVE: "1.25.1",
    Feature.TRUSTED_CERTIFICATE_ALONE: "1.27.2",
    Feature.UPSTREAM_RESOLVE: "1.27.3",
    Feature.CERTIFICATE_CACHE: "1.27.4",
    Feature.OBJECT_CACHE_INHERITABLE: "1.27.4",
    Feature.KEEPALIVE_MIN_TIMEOUT: "1.27.4",
    Feature.STORE_KEYS: "1.29.0",
    Feature.PER_SERVER_PROTOCOLS: "1.29.2",
    Feature.PROXY_HTTP2: "1.29.4",
    Feature.KEEPALIVE_LOCAL: "1.29.7",
    Feature.KEEPALIVE_ZERO: "1.29.7",
}


def able(version: tuple[int, int, int]) -> Facts:
    """The wheel's build, which has every module, as that version and linked dynamically."""
    return dataclasses.replace(facts_of("wheel-1.31.3"), version=version, static=False)


@pytest.mark.parametrize("name", USABLE)
def test_version_of_every_recorded_build_is_read(name: str):
    facts = facts_of(name)
    assert facts.version == VERSIONS[name]
    assert facts.version_text == name.rpartition("-")[2]
    assert facts.binary == f"/opt/{name}/nginx"
    assert facts.product == "nginx"


@pytest.mark.parametrize("name", TLS)
def test_tls_library_is_named_with_the_version_built_and_the_one_running(name: str):
    library = facts_of(name).tls_library
    assert (library.name, library.built, library.running) == TLS[name]


def test_paths_account_and_switches_are_the_configured_ones():
    facts = facts_of("boringssl-1.23.1")
    assert facts.prefix == "/etc/nginx"
    assert facts.conf_path == "/etc/nginx/nginx.conf"
    assert facts.modules_path == "/usr/lib/nginx/modules"
    assert (facts.default_user, facts.default_group) == ("nginx", "nginx")
    assert (facts.with_compat, facts.debug, facts.static) == (True, False, False)
    wheel = facts_of("wheel-1.31.3")
    assert (wheel.default_user, wheel.default_group) == ("nobody", "users")
    assert (wheel.with_compat, wheel.debug, wheel.static) == (False, True, True)


def test_defaults_of_configure_are_filled_in_where_nothing_was_given():
    text = version_output("self-built-1.20.1")
    head = text.partition("configure arguments:")[0]
    facts = parse_facts(f"{head}configure arguments: --with-http_ssl_module", binary="nginx")
    assert facts.prefix == "/usr/local/nginx"
    assert facts.conf_path == "/usr/local/nginx/conf/nginx.conf"
    assert facts.modules_path == "/usr/local/nginx/modules"
    assert (facts.default_user, facts.default_group) == ("nobody", None)
    owned = parse_facts(f"{text.rstrip()} --user=carrier", binary="nginx")
    assert (owned.default_user, owned.default_group) == ("carrier", "nginx")
    alone = f"{head}configure arguments: --with-http_ssl_module --user=carrier"
    assert parse_facts(alone, binary="nginx").default_group == "carrier"


def test_modules_compiled_in_are_kept_apart_from_those_to_be_loaded():
    facts = facts_of("debian-12-1.22.1")
    assert {"http_ssl", "http_v2", "http_realip", "http_auth_request"} <= facts.modules
    assert {"http_grpc", "http_limit_req", "http_map", "http_upstream_zone"} <= facts.modules
    assert {"stream", "stream_ssl", "http_perl"} <= facts.dynamic_modules
    assert not facts.modules & facts.dynamic_modules
    assert "stream" in facts_of("wheel-1.31.3").modules


def test_a_module_switched_off_is_not_there_but_its_neighbours_are():
    text = version_output("debian-12-1.22.1").rstrip() + " --without-http_grpc_module"
    facts = parse_facts(text, binary="nginx")
    assert not facts.has(Feature.GRPC)
    assert facts.has(Feature.LIMIT_REQ)
    assert facts_of("debian-12-1.22.1").has(Feature.GRPC)


def test_grpc_is_not_there_without_the_http2_module_it_is_compiled_with():
    text = version_output("debian-12-1.22.1").replace("--with-http_v2_module", "")
    assert "http_v2" in parse_facts(text, binary="nginx").missing(Feature.GRPC)


def test_a_module_name_within_a_quoted_argument_is_no_module():
    text = version_output("debian-12-1.22.1").replace(
        "--with-cc-opt='", "--with-cc-opt='-I /src --with-http_stub2_module "
    )
    assert "http_stub2" not in parse_facts(text, binary="nginx").modules


@pytest.mark.parametrize(
    ("name", "distribution"),
    [
        ("debian-11-1.18.0", "Debian"),
        ("debian-12-1.22.1", "Debian"),
        ("debian-13-1.26.3", "Debian"),
        ("ubuntu-22.04-1.18.0", "Ubuntu"),
        ("ubuntu-24.04-1.24.0", "Ubuntu"),
        ("alpine-1.28.0", "Alpine"),
        ("redhat-1.18.0", "Red Hat"),
        ("self-built-1.20.1", None),
        ("aws-lc-1.27.0", None),
        ("wheel-1.31.3", None),
    ],
)
def test_a_distributions_package_is_told_from_other_builds(name: str, distribution: str | None):
    assert facts_of(name).distribution == distribution


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("openresty-1.15.8.1", "is openresty 1.15.8.1, not nginx"),
        ("angie-1.12.2", "is Angie 1.12.2, not nginx"),
        ("tengine-2.3.2", "is Tengine 2.3.2, not nginx"),
        ("freenginx-1.27.1", "is freenginx 1.27.1, not nginx"),
        ("too-old-1.16.1", "is nginx 1.16.1; handclasp needs 1.18.0 or newer"),
        ("too-old-libressl-1.13.9", "is nginx 1.13.9; handclasp needs 1.18.0 or newer"),
        ("without-tls-1.20.1", "was built without ngx_http_ssl_module"),
    ],
)
def test_a_build_that_will_not_do_is_refused_by_name(name: str, words: str):
    with pytest.raises(EnvironmentFault, match=words) as refusal:
        facts_of(name)
    assert refusal.value.message.startswith(f"/opt/{name}/nginx")
    assert "--nginx PATH" in (refusal.value.hint or "")


def test_a_build_without_http_is_refused():
    text = version_output("debian-12-1.22.1").rstrip() + " --without-http"
    with pytest.raises(EnvironmentFault, match="was built without ngx_http_ssl_module"):
        parse_facts(text, binary="nginx")


def test_nginx_plus_is_nginx_with_a_name_of_its_own():
    text = version_output("self-built-1.20.1").replace(
        "nginx/1.20.1", "nginx/1.27.4 (nginx-plus-r34-p1)"
    )
    facts = parse_facts(text, binary="nginx")
    assert (facts.product, facts.version) == ("nginx-plus", (1, 27, 4))


@pytest.mark.parametrize("module", ["http_rewrite", "http_map", "http_proxy"])
def test_a_build_without_a_module_every_link_needs_is_refused(module: str):
    text = version_output("debian-12-1.22.1").rstrip() + f" --without-{module}_module"
    with pytest.raises(EnvironmentFault, match=f"without ngx_{module}_module"):
        parse_facts(text, binary="nginx")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "it printed nothing"),
        ("GNU bash, version 5.2.15(1)-release", "does not answer -V as nginx does.*GNU bash"),
        ("nginx version:  (nginx-shadow)\nbuilt with OpenSSL 3.0.2", "does not answer -V"),
        ("nginx version: nginx/latest\n", "'latest' as its version"),
        (
            "nginx version: nginx/1.22.1\nconfigure arguments: --with-http_ssl_module",
            "names no TLS library",
        ),
    ],
)
def test_text_that_is_no_nginx_answer_is_refused_with_what_it_says(text: str, words: str):
    with pytest.raises(EnvironmentFault, match=words):
        parse_facts(text, binary="/usr/bin/thing")


@pytest.mark.parametrize("feature", FIRST)
def test_a_feature_begins_with_its_version_and_not_before(feature: Feature):
    major, minor, patch = map(int, FIRST[feature].split("."))
    first = able((major, minor, patch))
    assert first.missing(feature) == ""
    assert first.has(feature)
    before = able((major, minor, patch - 1) if patch else (major, minor - 2, 99))
    assert not before.has(feature)
    assert f"needs nginx {FIRST[feature]} or newer (this is {before.version_text})" in (
        before.missing(feature)
    )


def test_every_feature_that_has_a_version_of_its_own_is_checked_above():
    versioned = {feature for feature, need in NEEDS.items() if need.since != MINIMUM_VERSION}
    assert versioned - {Feature.PROXY_PASSWORD_FILE_WITH_VARIABLES} == set(FIRST)
    assert set(NEEDS) == set(Feature)


@pytest.mark.parametrize(
    ("version", "works"),
    [
        ((1, 20, 2), False),  # no variables yet
        ((1, 21, 0), True),
        ((1, 23, 0), True),
        ((1, 23, 1), False),
        ((1, 26, 3), False),
        ((1, 27, 4), False),
        ((1, 27, 5), True),
    ],
)
def test_password_file_with_variables_is_broken_between_two_versions(version, works: bool):
    facts = able(version)
    assert facts.has(Feature.PROXY_PASSWORD_FILE_WITH_VARIABLES) is works
    if (1, 23, 1) <= version < (1, 27, 5):
        assert "is broken from nginx 1.23.1 on and mended in 1.27.5" in facts.missing(
            Feature.PROXY_PASSWORD_FILE_WITH_VARIABLES
        )


def test_a_dynamic_module_does_not_count_and_its_file_is_named():
    debian = facts_of("debian-12-1.22.1")
    for feature in (Feature.STREAM, Feature.STREAM_SSL, Feature.SSL_ALPN):
        assert "/usr/lib/nginx/modules/ngx_stream_module.so" in debian.missing(feature)
    assert facts_of("wheel-1.31.3").has(Feature.STREAM_SSL)


def test_other_tls_libraries_lack_what_only_openssl_has():
    boring = dataclasses.replace(facts_of("boringssl-1.23.1"), version=(1, 31, 3))
    for feature in (Feature.SSL_CONF_COMMAND, Feature.STORE_KEYS, Feature.SSL_CURVE_VARIABLE):
        assert "is not to be had with BoringSSL" in boring.missing(feature)
    assert boring.has(Feature.TLS13)
    assert boring.has(Feature.PER_SERVER_PROTOCOLS)
    amazon = dataclasses.replace(facts_of("aws-lc-1.27.0"), version=(1, 31, 3))
    assert "is not to be had with AWS-LC" in amazon.missing(Feature.PER_SERVER_PROTOCOLS)


def test_an_old_openssl_lacks_what_came_later():
    old = dataclasses.replace(facts_of("debian-11-1.18.0"), version=(1, 31, 3))
    assert "built with OpenSSL 3.0.0 or newer (this one was built with 1.1.1n)" in old.missing(
        Feature.STORE_KEYS
    )
    assert old.has(Feature.TLS13)
    assert "OpenSSL 1.1.1 or newer" in facts_of("redhat-1.18.0").missing(Feature.TLS13)


def test_a_static_build_cannot_load_a_key_provider():
    assert "linked dynamically" in facts_of("wheel-1.31.3").missing(Feature.STORE_KEYS)


def test_the_parser_agrees_with_the_nginx_installed_here():
    binary = Path("/usr/sbin/nginx")
    if not binary.exists():
        absent("nginx of the distribution (apt install nginx)")
    done = subprocess.run([binary, "-V"], capture_output=True, text=True, timeout=10, check=True)
    facts = parse_facts(done.stderr, binary=str(binary))
    assert f"nginx/{facts.version_text}" in done.stderr
    assert facts.tls_library.name == "OpenSSL"


@given(st.text() | st.binary().map(lambda raw: raw.decode(errors="backslashreplace")))
def test_any_text_gives_facts_or_one_clear_fault(text: str):
    try:
        parse_facts(text, binary="nginx")
    except EnvironmentFault as fault:
        assert fault.message.startswith("nginx")  # noqa: PT017 - facts are as good an answer


@given(st.sampled_from(NAMES), st.data())
def test_a_cut_or_spoilt_answer_gives_facts_or_one_clear_fault(name: str, data: st.DataObject):
    text = version_output(name)
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, len(text)))
    spoilt = text[:start] + data.draw(st.text(max_size=10)) + text[end:]
    try:
        facts = parse_facts(spoilt, binary="nginx")
    except EnvironmentFault:
        return
    assert facts.version >= MINIMUM_VERSION
    for feature in Feature:
        assert facts.has(feature) is (facts.missing(feature) == "")
