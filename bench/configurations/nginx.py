"""The outer file around every nginx of the benchmark: one worker, no access log, own temp paths.

Used for the proxies under test and for the servers and tunnels around them alike.
"""

from __future__ import annotations

TEMPORARY_FOLDERS = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")

# Bodies are never spooled to disk, and no keep-alive connection ends in the middle of a sample.
_COMMON = """
access_log off;
keepalive_requests 1000000000;
keepalive_timeout 75s;
client_max_body_size 0;
"""


def outer(folder: str, http: str, *, user: str | None, main: str = "") -> str:
    """A whole nginx.conf around the `http` text. `user` is given when started as root."""
    temporary = "\n".join(f"{name}_temp_path {folder}/{name};" for name in TEMPORARY_FOLDERS)
    return f"""
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log error;
{f"user {user};" if user else ""}
{main}
events {{ worker_connections 16384; }}
http {{
{temporary}
{_COMMON}
{http}
}}
"""
