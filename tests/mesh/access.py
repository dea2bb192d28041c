"""What guards the town's services, as the Istio objects that would configure it so: mTLS, access policies, filters."""

from __future__ import annotations

from typing import Any

from tests.mesh.policies import DENIED_SUBSET, LIMIT_TOKENS
from tests.mesh.world import Mesh

Json = dict[str, Any]

_SECURITY = "security.istio.io/v1"
_FILTERS = "networking.istio.io/v1alpha3"
_HTTP = "type.googleapis.com/envoy.extensions.filters.http"


def guards(mesh: Mesh) -> list[Json]:
    """Describe mTLS by PeerAuthentications, and where the mesh is guarded what `policies` puts into its proxies."""
    return [*(_modes(mesh) if mesh.has_mtls else ()), *(_policies(mesh) if mesh.is_guarded else ())]


def _object(kind: str, name: str, spec: Json, group: str = _SECURITY) -> Json:
    return {"apiVersion": group, "kind": kind, "metadata": {"name": name, "namespace": "shop"}, "spec": spec}


def _modes(mesh: Mesh) -> list[Json]:
    each = [
        _object("PeerAuthentication", name, {"selector": _of(name), "mtls": {"mode": "PERMISSIVE"}})
        for name in sorted(mesh.permissive)
    ]
    return [_object("PeerAuthentication", "default", {"mtls": {"mode": "STRICT"}}), *each]


def _policies(mesh: Mesh) -> list[Json]:
    denied = {"key": "connection.sni", "values": [f"*_.{DENIED_SUBSET}_.*"]}
    issuer = {"issuer": "https://issuer.example.com", "jwksUri": "https://issuer.example.com/keys"}
    guarded = [
        {"action": "CUSTOM", "provider": {"name": provider}, "rules": [_to(path)]}
        for provider, path in (("authz", "/guarded*"), ("authz-orphaned", "/orphaned*"))
    ]
    return [
        _object("AuthorizationPolicy", "secret", {"action": "DENY", "rules": [_to("/secret*")]}),
        _object("AuthorizationPolicy", "no-tcp", {"action": "DENY", "rules": [{"when": [denied]}]}),
        _object("AuthorizationPolicy", "guarded", guarded[0]),
        _object("AuthorizationPolicy", "orphaned", guarded[1]),
        _object("RequestAuthentication", "tokens", {"jwtRules": [issuer]}),
        _object("Sidecar", "default", {"outboundTrafficPolicy": {"mode": "REGISTRY_ONLY"}}, "networking.istio.io/v1"),
        _filter("rate-limit", "HTTP_FILTER", "SIDECAR_INBOUND", _limit()),
        _filter("script", "HTTP_FILTER", "SIDECAR_INBOUND", _script()),
        *(
            _filter(f"{service}-{route.name}", "HTTP_ROUTE", "SIDECAR_OUTBOUND", {"route": limits})
            for service, routes in mesh.routes.items()
            for route in routes
            if (limits := _limits(route.idle_ms, route.lasts_ms))
        ),
    ]


def _of(app: str) -> Json:
    return {"matchLabels": {"app": app}}


def _to(path: str) -> Json:
    return {"to": [{"operation": {"paths": [path]}}]}


def _filter(name: str, kind: str, context: str, value: Json) -> Json:
    operation = "INSERT_BEFORE" if kind == "HTTP_FILTER" else "MERGE"
    patch = {"applyTo": kind, "match": {"context": context}, "patch": {"operation": operation, "value": value}}
    return _object("EnvoyFilter", name, {"configPatches": [patch]}, _FILTERS)


def _limits(idle_ms: int, lasts_ms: int) -> Json:
    lasting = {"max_stream_duration": {"max_stream_duration": f"{lasts_ms / 1000:.3f}s"}} if lasts_ms else {}
    return {**({"idle_timeout": f"{idle_ms / 1000:.3f}s"} if idle_ms else {}), **lasting}


def _limit() -> Json:
    bucket = {"max_tokens": LIMIT_TOKENS, "tokens_per_fill": LIMIT_TOKENS, "fill_interval": "600s"}
    config = {"@type": f"{_HTTP}.local_ratelimit.v3.LocalRateLimit", "token_bucket": bucket}
    return {"name": "envoy.filters.http.local_ratelimit", "typed_config": config}


def _script() -> Json:
    code = "function envoy_on_request(handle) end"
    config = {"@type": f"{_HTTP}.lua.v3.Lua", "default_source_code": {"inline_string": code}}
    return {"name": "envoy.filters.http.lua", "typed_config": config}
