"""handclasp: mutual TLS between services, carried by nginx.

Nothing heavy is imported here: ``handclasp --version`` must stay quick and an application
that only wants :mod:`handclasp.backend` must not pull in the control plane.
"""

__version__ = "0.1.0.dev0"
