"""`handclasp expiry`, the installed command, over files, directories and a spec."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import re
import subprocess
import tempfile
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, pkcs12
from prometheus_client.parser import text_string_to_metric_families

from handclasp.agent.issued import write_issued
from handclasp.certs.secret import Secret
from handclasp.cli.expiry.files import entries_below
from handclasp.cli.expiry.textfile import check_textfile
from handclasp.errors import EnvironmentFault, UsageError
from handclasp.issuers.judge import Given
from handclasp.keys import files
from tests import pki
from tests.cli.test_documents import validate
from tests.integration.running import COMMAND, Material, egress_spec, handclasp, write_spec

if TYPE_CHECKING:
    from collections.abc import Iterator

    from handclasp.monitor.expiry import Entry

DAY = timedelta(days=1)
HOUR = timedelta(hours=1)
BEGUN = pki.NOW - 365 * DAY
ROOT = pki.authority("Root")
MIDDLE = pki.authority("Middle", issuer=ROOT, not_before=BEGUN, not_after=pki.NOW + 5 * DAY + HOUR)
STATES = {
    "ok": pki.leaf(ROOT, "ok", not_after=pki.NOW + 90 * DAY + HOUR),
    "warn": pki.leaf(ROOT, "warn", not_before=BEGUN, not_after=pki.NOW + 20 * DAY + HOUR),
    "critical": pki.leaf(ROOT, "critical", not_before=BEGUN, not_after=pki.NOW + 3 * DAY + HOUR),
    "expired": pki.leaf(ROOT, "expired", not_after=pki.NOW - HOUR / 2),
    "not-yet-valid": pki.leaf(
        ROOT, "not-yet-valid", not_before=pki.NOW + DAY, not_after=pki.NOW + 90 * DAY + HOUR
    ),
}
DAYS = {"ok": 90, "warn": 20, "critical": 3, "expired": -1, "not-yet-valid": 90}
BROKEN = b"-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Nobody writes to it; tests that do have their own."""
    folder = tmp_path_factory.mktemp("expiry")
    for name, pair in STATES.items():
        (folder / f"{name}.pem").write_bytes(pair.pem)
    (folder / "unreadable.pem").write_bytes(BROKEN)
    (folder / "chain.pem").write_bytes(pki.leaf(MIDDLE).chain_pem)
    (folder / "root.crl").write_bytes(pki.crl(ROOT, next_update=pki.NOW + 40 * DAY + HOUR))
    (folder / "only.key").write_bytes(STATES["ok"].key_pem)
    short = pki.leaf(ROOT, "short", not_after=pki.NOW + 23 * HOUR)
    (folder / "short.pem").write_bytes(short.pem)
    return folder


def records(
    cwd: Path, *arguments: str | Path, rc: int = 1, form: str = "certificates"
) -> list[dict[str, Any]]:
    done = handclasp("expiry", *arguments, "--format", "json", cwd=cwd)
    assert done.returncode == rc, done.stdout + done.stderr
    document = validate("expiry", done.stdout)
    found: list[dict[str, Any]] = document[form]
    return found


def lines(text: str) -> list[str]:
    """Without what differs from row to row in width."""
    return [re.sub(r"  +", "  ", line) for line in text.splitlines()]


@pytest.mark.parametrize("state", [*STATES, "unreadable"])
def test_each_state_is_told_and_only_ok_ends_with_0(folder: Path, state: str) -> None:
    code = {"ok": 0, "unreadable": 2}.get(state, 1)
    (one,) = records(folder, f"{state}.pem", rc=code)
    assert one["state"] == state
    assert one["days_left"] == DAYS.get(state)
    assert (one["reason"] is None) == (state == "ok")


def test_the_worst_stands_first(folder: Path) -> None:
    told = records(folder, *(f"{state}.pem" for state in (*STATES, "unreadable")))
    assert [one["state"] for one in told] == [
        *("expired", "not-yet-valid", "critical", "unreadable", "warn", "ok")
    ]


def test_the_table_has_a_bar_that_reads_without_colour(folder: Path) -> None:
    names = ("ok.pem", "expired.pem", "unreadable.pem", "short.pem")
    done = handclasp("expiry", *names, cwd=folder)
    head, expired, unreadable, short, ok, *_, last = lines(done.stdout)
    assert head == "STATE  DAYS  LIFE LEFT  ENDS  KIND  SUBJECT  SOURCE"
    assert expired.startswith("expired  -1  [..........]  ")
    assert unreadable.startswith("unreadable  -  [??????????]  -  ")
    assert re.fullmatch(r"ok  90  \[#{10}\]  \S+ \S+  certificate  CN=ok,.*  ok\.pem", ok)
    # A certificate of a day in its first hours: no alarm, and not without any days left.
    assert short.startswith("ok  0.9  [##########]  ")
    assert last == "4 looked at: 2 ok, 1 expired, 1 unreadable"
    assert "\x1b" not in done.stdout


def test_colour_is_for_terminals(folder: Path) -> None:
    ours, theirs = pty.openpty()
    with os.fdopen(ours, "rb", buffering=0) as screen:
        subprocess.run(
            [str(COMMAND), "expiry", "expired.pem"],
            cwd=folder,
            stdout=theirs,
            timeout=30,
            check=False,
        )
        os.close(theirs)
        assert b"\x1b[31m\x1b[1mexpired\x1b[0m  -1" in screen.read(65536)


def test_the_member_that_decides_is_named(folder: Path) -> None:
    (one,) = records(folder, "chain.pem")
    assert one["subject"].startswith("CN=svc-b,")
    assert (one["state"], one["days_left"]) == ("critical", 5)
    assert one["decided_by"].startswith("CN=Middle,")
    assert [member["kind"] for member in one["chain"]] == ["certificate", "ca"]
    shown = handclasp("expiry", "chain.pem", cwd=folder).stdout
    assert "chain.pem: CN=Middle,O=Example Org, of the same chain, expires on " in shown


def test_standard_input_is_a_source() -> None:
    done = subprocess.run(
        [str(COMMAND), "expiry", "-"],
        input=STATES["expired"].pem,
        capture_output=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 1
    assert done.stdout.splitlines()[1].endswith(b"  standard input")


def test_a_list_ends_with_its_next_update(folder: Path) -> None:
    (one,) = records(folder, "root.crl", rc=0)
    assert (one["kind"], one["state"], one["days_left"]) == ("crl", "ok", 40)
    records(folder, "root.crl", "--warn", "41d", rc=1)


def test_a_store_opens_with_its_password_and_is_unreadable_without(tmp_path: Path) -> None:
    locked = BestAvailableEncryption(b"open sesame")
    pair = STATES["warn"]
    store = pkcs12.serialize_key_and_certificates(
        *(b"x", pair.private_key, pair.certificate, None, locked)  # type: ignore[arg-type]
    )
    (tmp_path / "client.p12").write_bytes(store)
    (tmp_path / "password").write_bytes(b"open sesame\n")
    (tmp_path / "wrong").write_bytes(b"sesame\n")
    (one,) = records(tmp_path, "client.p12", "--password-file", "password")
    assert one["state"] == "warn"
    for more in ([], ["--password-file", "wrong"]):
        (one,) = records(tmp_path, "client.p12", *more, rc=2)
        assert one["state"] == "unreadable"


@pytest.mark.parametrize(
    ("arguments", "state"),
    [
        (["--warn", "91d"], "warn"),
        (["--critical", "91d"], "critical"),
        (["--warn", "120d", "--critical", "2h"], "warn"),
        (["--at", "2100-01-01"], "expired"),
        (["--at", "2000-01-01"], "not-yet-valid"),
    ],
)
def test_thresholds_and_the_moment_can_be_chosen(
    folder: Path, arguments: list[str], state: str
) -> None:
    (one,) = records(folder, "ok.pem", *arguments)
    assert one["state"] == state


def test_one_limit_alone_is_never_in_the_way_of_the_other(folder: Path) -> None:
    records(folder, "critical.pem", "--warn", "2d", rc=0)
    (one,) = records(folder, "warn.pem", "--critical", "60d", rc=1)
    assert one["state"] == "critical"


def test_a_directory_is_searched_and_what_is_no_certificate_left_out(tmp_path: Path) -> None:
    deep = tmp_path / "certs" / "a" / "b"
    deep.mkdir(parents=True)
    (deep / "ok.pem").write_bytes(STATES["ok"].pem)
    (deep / "twin.pem").symlink_to("ok.pem")
    (deep / "round").symlink_to(tmp_path / "certs")
    (deep / "lost.pem").symlink_to("nowhere")
    (deep / "broken.pem").write_bytes(BROKEN)
    (deep / "empty.crt").touch()
    (deep / "old.bak").write_bytes(STATES["expired"].pem)
    for name, data in {"README": b"hello", "empty.txt": b"", "x.key": STATES["ok"].key_pem}.items():
        (deep / name).write_bytes(data)
    done = handclasp("expiry", "certs", "--exclude", "*.bak", "--format", "json", cwd=tmp_path)
    told = validate("expiry", done.stdout)["certificates"]
    assert [(Path(one["source"]).name, one["state"]) for one in told] == [
        ("broken.pem", "unreadable"),
        ("empty.crt", "unreadable"),
        ("lost.pem", "unreadable"),
        ("ok.pem", "ok"),
    ]
    assert "3 other files hold no certificate" in done.stderr
    plugin = handclasp("expiry", "certs", "--nagios", cwd=tmp_path)
    assert (plugin.stderr, len(plugin.stdout.splitlines())) == ("", 1)
    excluded = records(tmp_path, "certs", "--exclude", "b", rc=2)
    assert [one["reason"] for one in excluded] == [
        "there is no certificate and no revocation list below it"
    ]


def test_what_may_not_be_read_is_listed_and_keys_are_not_missed() -> None:
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o777)
        with _nobody():
            told = _below_shut(Path(name, "certs"))
    reasons = {Path(one.source).name: one.problem for one in told}
    assert list(reasons) == ["shut", "secret.pem"]
    assert all("ermission denied" in (problem or "") for problem in reasons.values())


def _below_shut(folder: Path) -> list[Entry]:
    for place in ("shut", "open"):
        (folder / place).mkdir(parents=True)
    for file in ("secret.pem", "private.key"):
        (folder / "open" / file).write_bytes(STATES["ok"].pem)
        (folder / "open" / file).chmod(0)
    (folder / "shut").chmod(0)
    try:
        return entries_below([folder], password=None, exclude=())
    finally:
        (folder / "shut").chmod(0o700)


@contextlib.contextmanager
def _nobody() -> Iterator[None]:
    """Root may read everything: for so long this process is not root."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "no handclasp.yaml here"),
        (["ok.pem", "--critical", "31d", "--warn", "30d"], "longer than the warning time"),
        (["ok.pem", "--warn", "soon"], "is not a duration"),
        (["ok.pem", "--until", "2030-01-01"], "--until is for --timeline"),
        (["http://127.0.0.1:1"], "must begin with https://"),
        (["localhost:99999"], "port must be a number"),
        (["-c", "lost.yaml"], "does not exist"),
        (["ok.pem", "--key", "only.key"], "--key needs --cert"),
    ],
)
def test_wrong_use_is_2_and_to_nagios_unknown(
    folder: Path, arguments: list[str], said: str
) -> None:
    done = handclasp("expiry", *arguments, cwd=folder)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr
    plugin = handclasp("expiry", *arguments, "--nagios", cwd=folder)
    assert plugin.returncode == 3
    assert plugin.stdout.startswith("HANDCLASP UNKNOWN - ")
    assert len(plugin.stdout.splitlines()) == 1


def test_a_name_that_may_be_a_server_is_told_how_to_write_one() -> None:
    server, file = entries_below(
        [Path("api.partner.example"), Path("lost.pem")], password=None, exclude=()
    )
    assert (server.problem or "").endswith("if a server is meant: https://api.partner.example")
    assert "server" not in (file.problem or "")


def test_a_file_without_certificate_is_never_fine(folder: Path) -> None:
    (one,) = records(folder, "only.key", rc=2)
    assert one["reason"] == "it holds a private key, no certificate and no revocation list"
    _, beside = records(folder, "only.key", "ok.pem", rc=1)
    assert beside["state"] == "ok"


@pytest.mark.parametrize(
    ("names", "code", "word"),
    [
        (["ok"], 0, "OK"),
        (["ok", "warn"], 1, "WARNING"),
        (["ok", "warn", "critical"], 2, "CRITICAL"),
        (["ok", "expired"], 2, "CRITICAL"),
        (["ok", "unreadable"], 3, "UNKNOWN"),
    ],
)
def test_nagios_gets_its_line_and_status(
    folder: Path, names: list[str], code: int, word: str
) -> None:
    done = handclasp("expiry", "--nagios", *(f"{name}.pem" for name in names), cwd=folder)
    assert done.returncode == code
    assert re.fullmatch(rf"HANDCLASP {word} - [^|\n]+\|('\S+'=\S+ ?)+\n", done.stdout)


def test_the_textfile_is_what_prometheus_reads_and_is_replaced_whole(tmp_path: Path) -> None:
    (tmp_path / "a.pem").write_bytes(STATES["ok"].pem)
    target = tmp_path / "handclasp.prom"
    target.write_text("old")
    before = target.stat().st_ino
    done = handclasp("expiry", "a.pem", "--textfile", target, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert target.stat().st_ino != before
    assert target.stat().st_mode & 0o777 == 0o644
    families = {one.name: one.samples for one in text_string_to_metric_families(target.read_text())}
    (end,) = families["handclasp_certificate_not_after_timestamp_seconds"]
    assert end.value == STATES["ok"].certificate.not_valid_after_utc.timestamp()
    assert end.labels == {
        "source": "a.pem",
        "subject": "CN=ok,O=Example Org",
        "kind": "certificate",
    }
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_a_textfile_that_would_not_be_read_or_cannot_be_written_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentFault, match=r"there is no directory .*/lost"):
        check_textfile(tmp_path / "lost" / "x.prom")
    with pytest.raises(UsageError, match=r"reads only files whose names end in \.prom") as refused:
        check_textfile(tmp_path / "ends.txt")
    assert refused.value.hint == "Name it ends.prom."
    (tmp_path / "folder.prom").mkdir()
    with pytest.raises(UsageError, match="is no regular file, and is not replaced"):
        check_textfile(tmp_path / "folder.prom")
    check_textfile(tmp_path / "new.prom")
    done = handclasp("expiry", "ok.pem", "--textfile", "lost/x.prom", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (3, "")
    assert "there is no directory lost" in done.stderr


def test_a_pipe_that_nobody_writes_to_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.mkfifo(tmp_path / "fifo")
    monkeypatch.setattr(files, "PIPE_SILENCE_SECONDS", 0.05)
    (one,) = entries_below([tmp_path / "fifo"], password=None, exclude=())
    assert (one.problem or "").startswith("it is a pipe, and nothing came out of it for ")


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    """A link with an identity, a route with another, and a list."""
    material = Material(tmp_path)
    (tmp_path / "ca.crl").write_bytes(pki.crl(material.ca))
    made = egress_spec(
        material,
        "127.0.0.1:1",
        "https://127.0.0.1:1",
        routes=[{"path": "/p/", "identity": "svc-x"}],
    )
    made["trust"]["company"]["crl"] = ["ca.crl"]
    return write_spec(tmp_path, "handclasp", made)


def test_without_arguments_it_is_the_spec_that_is_there(spec: Path) -> None:
    told = records(spec.parent, rc=0)  # the week of a list is no alarm on its first day
    assert {(one["name"], one["kind"]) for one in told} == {
        ("identity svc-b", "certificate"),
        ("identity svc-x", "certificate"),
        ("trust company", "ca"),
        ("trust company", "crl"),
        ("trust others", "ca"),
    }
    assert told[0]["kind"] == "crl"
    assert told[0]["breaks"][0] == "egress orders refuses every upstream of that CA"
    assert told == records(spec.parent.parent, "-c", spec, rc=0)


def test_a_source_beside_a_spec_that_is_not_named_stands_alone(spec: Path) -> None:
    (one,) = records(spec.parent, "svc-b.pem", rc=0)
    assert one["name"] is None
    assert len(records(spec.parent, "svc-b.pem", "-c", spec, rc=0)) == 6


def test_an_identity_that_is_gone_is_listed(spec: Path) -> None:
    (spec.parent / "svc-b.pem").unlink()
    unread = [one for one in records(spec.parent) if one["state"] == "unreadable"]
    assert [(one["name"], one["subject"]) for one in unread] == [("identity svc-b", None)]


def test_the_limits_of_the_spec_count_unless_told_otherwise(spec: Path) -> None:
    (spec.parent / "svc-b.pem").write_bytes(STATES["warn"].pem)
    (spec.parent / "svc-b.key").write_bytes(STATES["warn"].key_pem)

    def state(*arguments: str, rc: int) -> str:
        told = {one["name"]: one["state"] for one in records(spec.parent, *arguments, rc=rc)}
        return str(told["identity svc-b"])

    assert state(rc=1) == "warn"
    spec.write_text(f"{spec.read_text()}\nexpiry: {{warn: 10d, critical: 5d}}\n")
    assert state(rc=0) == "ok"
    assert state("--warn", "80d", "--critical", "21d", rc=1) == "critical"


def test_what_handclasp_issues_is_its_version_in_use_and_ends_with_its_issuer(
    spec: Path, tmp_path: Path
) -> None:
    """A life of 30 days is not near its end on its first day: it is renewed."""
    written = yaml.safe_load(spec.read_text())
    written["identities"]["svc-b"] = {"issuer": "dev", "names": ["svc-b.internal"]}
    written["issuers"] = {"dev": {"type": "local", "directory": "dev"}}
    written["state"] = "state"
    spec.write_text(yaml.safe_dump(written))
    root = pki.authority("Dev", not_before=BEGUN, not_after=pki.NOW + 20 * DAY)
    (tmp_path / "dev").mkdir()
    for name in ("root", "issuing"):
        (tmp_path / "dev" / f"{name}.pem").write_bytes(root.pem)
    waits = {one["name"]: one for one in records(tmp_path)}
    assert waits["identity svc-b"]["reason"].startswith("nothing was issued so far")
    assert waits["issuer dev"]["state"] == "warn"
    assert waits["issuer dev"]["breaks"] == ["identity svc-b is no longer renewed"]

    for days, state in ((30, "ok"), (4, "warn")):
        begin = pki.NOW + (days - 30) * DAY - HOUR
        pair = pki.leaf(root, not_before=begin, not_after=pki.NOW + days * DAY)
        key = pair.private_key
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        given = Given(leaf=pair.certificate, chain=(), root=None, key=Secret(key))
        write_issued(tmp_path / "state", "svc-b", given, order={}, obtained=pki.NOW)
        told = {one["name"]: one for one in records(tmp_path)}
        assert told["identity svc-b"]["state"] == state
    timeline = handclasp("expiry", "--timeline", cwd=tmp_path).stdout
    assert ": identity svc-b expires unless it is renewed: egress orders cannot" in timeline


def test_the_timeline_says_what_breaks_when(spec: Path) -> None:
    done = handclasp("expiry", "--timeline", "--until", "2035-01-01", cwd=spec.parent)
    lapse = pki.NOW + 7 * DAY
    end = pki.NOW + 90 * DAY
    refuses = [f"egress orders{path} refuses every upstream of that CA" for path in ("", " /p/")]
    list_of = "CRL of 'CN=Test CA,O=Example Org' of trust company"
    assert done.stdout.splitlines() == [
        f"{lapse:%Y-%m-%d}: {list_of} lapses: {'; '.join(refuses)}",
        f"{end:%Y-%m-%d}: identity svc-b expires: egress orders cannot present it",
        f"{end:%Y-%m-%d}: identity svc-x expires: egress orders /p/ cannot present it",
    ]
    events = records(spec.parent, "--timeline", rc=0, form="timeline")
    assert [one["at"] for one in events] == sorted(one["at"] for one in events)
    assert len(events) == 5
    early = handclasp("expiry", "--timeline", "--until", "2020-01-01", cwd=spec.parent)
    assert (early.stdout, early.stderr) == (
        "",
        "nothing that could be read ends until 2020-01-01\n",
    )


def test_check_at_a_date_tells_what_the_timeline_tells(spec: Path, nginx_build: Path) -> None:
    """The day before the identity ends nothing is wrong with it; the day after, it is."""
    end = pki.NOW + 90 * DAY
    (spec.parent / "ca.crl").write_bytes(
        pki.crl(Material(spec.parent).ca, next_update=end + 30 * DAY)
    )
    slugs = []
    for moment in (end - DAY, end + DAY):
        done = handclasp(
            *("check", "--at", moment.isoformat(), "--no-nginx-test", "--format", "json"),
            *("--nginx", nginx_build),
            cwd=spec.parent,
        )
        found = json.loads(done.stdout)["findings"]
        slugs.append({one["slug"] for one in found if one["severity"] == "error"})
    assert slugs == [set(), {"cert-expired"}]
