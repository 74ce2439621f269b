"""Writes golden/CASE.json anew: `python -m tests.backend.record_golden`. Look at the difference."""

from __future__ import annotations

import json
from pathlib import Path

from cryptography import x509

from tests.backend.callers import CASES, WRITERS, facts, intermediate, root, sans

FOLDER = Path(__file__).with_name("golden")


def main() -> None:
    for case in CASES:
        of = facts(case)
        content = {
            "certificate": of.pem.decode(),
            "chain": [intermediate().pem.decode(), root().pem.decode()],
            "subject": of.subject,
            "issuer": of.issuer,
            "serial": of.serial,
            "sha256": of.sha256,
            "not_before": of.certificate.not_valid_before_utc.isoformat(),
            "not_after": of.certificate.not_valid_after_utc.isoformat(),
            "sans": {
                "dns": sans(of, x509.DNSName),
                "ip": sans(of, x509.IPAddress),
                "uri": sans(of, x509.UniformResourceIdentifier),
                "email": sans(of, x509.RFC822Name),
            },
            "headers": {dialect: write(of) for dialect, write in WRITERS.items()},
        }
        (FOLDER / f"{case}.json").write_text(json.dumps(content, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
