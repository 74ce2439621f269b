"""How new certificates, keys and bundles take the place of those in effect."""

from datetime import timedelta
from typing import Annotated, Literal

from pydantic import Field

from handclasp.spec.policy import Section
from handclasp.spec.types import Duration

TRIAL_PATH_PATTERN = r"^/[\x21-\x7e]*$"


class Rotation(Section):
    """What happens when the files of identities and trust change."""

    watch: bool = True
    """Take what changed on disk by itself; false: only on HUP."""
    overlap: Duration = timedelta(days=7)
    """A CA that callers came under within this time is not dropped from a trust, unless by force."""
    trial: Literal["handshake", "request", "off"] = "handshake"
    """How a new identity is tried before traffic depends on it. handshake: it is served on a private
    listener, and upstreams are called with it, up to their first read. request: upstreams get a HEAD request
    too, for those that refuse a client only in HTTP, as nginx does."""
    trial_path: Annotated[str, Field(pattern=TRIAL_PATH_PATTERN, max_length=2000)] = "/"
    """The path of that request."""
