"""Envoy with one worker thread (`--concurrency 1`), as a bootstrap document in JSON."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bench.model import Site

_TYPE = "type.googleapis.com/envoy.extensions"


def egress(site: Site) -> str:
    """Plain HTTP in, mutual TLS out, the server's certificate verified by its DNS name."""
    document = {
        "static_resources": {
            "listeners": [
                {
                    "name": "in",
                    "address": _address(site.listen),
                    "filter_chains": [{"filters": [_connection_manager(site)]}],
                }
            ],
            "clusters": [
                {
                    "name": "out",
                    "type": "STATIC",
                    "connect_timeout": "5s",
                    "load_assignment": {
                        "cluster_name": "out",
                        "endpoints": [
                            {
                                "lb_endpoints": [
                                    {"endpoint": {"address": _address(site.target)}},
                                ]
                            }
                        ],
                    },
                    "transport_socket": _upstream_tls(site),
                }
            ],
        }
    }
    return json.dumps(document, indent=1)


def _address(port: int) -> dict[str, Any]:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


def _connection_manager(site: Site) -> dict[str, Any]:
    return {
        "name": "envoy.filters.network.http_connection_manager",
        "typed_config": {
            "@type": f"{_TYPE}.filters.network.http_connection_manager.v3.HttpConnectionManager",
            "stat_prefix": "in",
            "codec_type": "HTTP1",
            "use_remote_address": True,
            "generate_request_id": True,
            "route_config": {
                "virtual_hosts": [
                    {
                        "name": "all",
                        "domains": ["*"],
                        "request_headers_to_add": [
                            _header("X-Real-IP", "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%"),
                            _header("X-Forwarded-Host", "%REQ(:AUTHORITY)%"),
                            _header("X-Forwarded-Port", "%DOWNSTREAM_LOCAL_PORT%"),
                        ],
                        "routes": [
                            {
                                "match": {"prefix": "/"},
                                "route": {
                                    "cluster": "out",
                                    "host_rewrite_literal": site.name,
                                    "timeout": "60s",
                                },
                            }
                        ],
                    }
                ]
            },
            "http_filters": [
                {
                    "name": "envoy.filters.http.router",
                    "typed_config": {"@type": f"{_TYPE}.filters.http.router.v3.Router"},
                }
            ],
        },
    }


def _header(name: str, value: str) -> dict[str, Any]:
    return {
        "header": {"key": name, "value": value},
        "append_action": "OVERWRITE_IF_EXISTS_OR_ADD",
    }


def _upstream_tls(site: Site) -> dict[str, Any]:
    return {
        "name": "envoy.transport_sockets.tls",
        "typed_config": {
            "@type": f"{_TYPE}.transport_sockets.tls.v3.UpstreamTlsContext",
            "sni": site.name,
            "common_tls_context": {
                "tls_params": {
                    "tls_minimum_protocol_version": "TLSv1_2",
                    "tls_maximum_protocol_version": "TLSv1_3",
                },
                "tls_certificates": [
                    {
                        "certificate_chain": {"filename": site.certificate("client")},
                        "private_key": {"filename": site.key("client")},
                    }
                ],
                "validation_context": {
                    "trusted_ca": {"filename": site.ca},
                    "match_typed_subject_alt_names": [
                        {"san_type": "DNS", "matcher": {"exact": site.name}}
                    ],
                },
            },
        },
    }
