"""What istiod adds to a proxy's configuration for mTLS and access policies: contexts, filters, and where they apply.

Which inbound path meets which policy is fixed here: /secret is denied by RBAC, /token needs a token, /guarded asks an
external service that answers, /orphaned one that does not, /limited has a token bucket, /scripted meets a script.
"""

from __future__ import annotations

import json
from typing import Any

from tests.mesh.certs import Files
from tests.mesh.world import Policy, Service

Json = dict[str, Any]

AUTHZ_PORT = 18090
NO_PORT = 18091
"""Nothing listens there."""

LIMIT_TOKENS = 3
DENIED_SUBSET = "denied"
"""The subset whose server name a TCP policy refuses."""

_HTTP = "type.googleapis.com/envoy.extensions.filters.http"
_TLS = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3"
_GUARDS = {"ext_authz": "/guarded", "ext_authz.orphaned": "/orphaned"}


def server_name(service: Service, subset: str) -> str:
    """Name what a client asks for in its TLS hello, as Istio does."""
    return f"outbound_.{service.port}_.{subset or ''}_.{service.host}"


def client_socket(files: Files, service: Service, subset: str, policy: Policy) -> Json:
    """Make a client's cluster speak TLS with its own certificate, and accept none but the server's."""
    expected = f"spiffe://cluster.local/ns/{service.namespace}/sa/{service.name}"
    if policy.tls == "stranger":
        expected += "-renamed"
    matcher = {"san_type": "URI", "matcher": {"exact": expected}}
    context = {
        "@type": f"{_TLS}.UpstreamTlsContext",
        "common_tls_context": _common(files, [matcher]),
        "sni": server_name(service, subset),
    }
    return {"name": "envoy.transport_sockets.tls", "typed_config": context}


def server_socket(files: Files) -> Json:
    """Make a listener demand a certificate of the mesh's authority."""
    context = {
        "@type": f"{_TLS}.DownstreamTlsContext",
        "common_tls_context": _common(files, []),
        "require_client_certificate": True,
    }
    return {"name": "envoy.transport_sockets.tls", "typed_config": context}


def _common(files: Files, matchers: list[Json]) -> Json:
    pair = {"certificate_chain": {"filename": str(files.certificate)}, "private_key": {"filename": str(files.key)}}
    validation: Json = {"trusted_ca": {"filename": str(files.root)}}
    if matchers:
        validation["match_typed_subject_alt_names"] = matchers
    return {"tls_certificates": [pair], "validation_context": validation}


def tls_inspector() -> Json:
    """Let a listener tell TLS from plain text."""
    kind = "type.googleapis.com/envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector"
    return {"name": "envoy.filters.listener.tls_inspector", "typed_config": {"@type": kind}}


def inbound_filters() -> list[Json]:
    """Give the HTTP filters of access policies; routes say where those of `route_settings` apply."""
    path = {"url_path": {"path": {"prefix": "/secret"}}}
    rules = {
        "action": "DENY",
        "policies": {"ns[shop]-policy[secret]-rule[0]": {"permissions": [path], "principals": [{"any": True}]}},
    }
    limit = {"@type": f"{_HTTP}.local_ratelimit.v3.LocalRateLimit", "stat_prefix": "http_local_rate_limiter"}
    return [
        {
            "name": "envoy.filters.http.rbac",
            "typed_config": {"@type": f"{_HTTP}.rbac.v3.RBAC", "rules": rules},
        },
        {"name": "envoy.filters.http.jwt_authn", "typed_config": _tokens()},
        *(_authz(name) for name in _GUARDS),
        {"name": "envoy.filters.http.local_ratelimit", "typed_config": limit},
        {"name": "envoy.filters.http.lua", "typed_config": _script()},
    ]


def _tokens() -> Json:
    """Demand a token of an issuer whose key nobody holds, as RequestAuthentication with AuthorizationPolicy does."""
    key = {"kty": "oct", "kid": "meshlog", "alg": "HS256", "k": "bm9ib2R5IHNoYWxsIHNpZ24gd2l0aCB0aGlz"}
    provider = {"issuer": "https://issuer.example.com", "local_jwks": {"inline_string": json.dumps({"keys": [key]})}}
    return {
        "@type": f"{_HTTP}.jwt_authn.v3.JwtAuthentication",
        "providers": {"issuer": provider},
        "rules": [{"match": {"prefix": "/token"}, "requires": {"provider_name": "issuer"}}],
    }


def _script() -> Json:
    """Answer one path from a script that fails, as an EnvoyFilter with Lua may."""
    return {
        "@type": f"{_HTTP}.lua.v3.Lua",
        "default_source_code": {
            "inline_string": """
            function envoy_on_request(handle)
              if handle:headers():get(":path") == "/scripted" then
                handle:respond({[":status"] = "500"}, "the script has no answer")
              end
            end
            """
        },
    }


def _authz(name: str) -> Json:
    config = {
        "@type": f"{_HTTP}.ext_authz.v3.ExtAuthz",
        "http_service": {"server_uri": {"uri": "http://authz.shop", "cluster": name, "timeout": "0.25s"}},
        "allowed_headers": {"patterns": [{"exact": "x-plan"}]},
    }
    return {"name": f"envoy.filters.http.{name}", "typed_config": config}


def route_settings(path: str) -> Json:
    """Say which policies apply to an inbound path."""
    off = {"@type": f"{_HTTP}.ext_authz.v3.ExtAuthzPerRoute", "disabled": True}
    settings: Json = {f"envoy.filters.http.{name}": off for name, prefix in _GUARDS.items() if prefix != path}
    if path == "/limited":
        always = {"default_value": {"numerator": 100, "denominator": "HUNDRED"}}
        settings["envoy.filters.http.local_ratelimit"] = {
            "@type": f"{_HTTP}.local_ratelimit.v3.LocalRateLimit",
            "stat_prefix": "limited",
            "token_bucket": {"max_tokens": LIMIT_TOKENS, "tokens_per_fill": LIMIT_TOKENS, "fill_interval": "600s"},
            "filter_enabled": always,
            "filter_enforced": always,
        }
    return settings


GUARDED_PATHS = ("/guarded", "/orphaned", "/limited", "/")
"""The inbound routes' prefixes, in the order in which they are tried."""


def authz_clusters() -> list[Json]:
    """Give the clusters of the authorization service, and of the one that is not there."""
    return [
        {
            "name": name,
            "type": "STATIC",
            "connect_timeout": "1s",
            "load_assignment": {
                "cluster_name": name,
                "endpoints": [{"lb_endpoints": [{"endpoint": {"address": _loopback(port)}}]}],
            },
        }
        for name, port in zip(_GUARDS, (AUTHZ_PORT, NO_PORT), strict=True)
    ]


def tcp_guard() -> Json:
    """Give the network filter that refuses connections asked for under one subset's name."""
    wanted = {"requested_server_name": {"contains": f"_.{DENIED_SUBSET}_."}}
    rules = {
        "action": "DENY",
        "policies": {"ns[shop]-policy[no-tcp]-rule[0]": {"permissions": [wanted], "principals": [{"any": True}]}},
    }
    kind = "type.googleapis.com/envoy.extensions.filters.network.rbac.v3.RBAC"
    return {
        "name": "envoy.filters.network.rbac",
        "typed_config": {"@type": kind, "rules": rules, "stat_prefix": "tcp."},
    }


def _loopback(port: int) -> Json:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}
