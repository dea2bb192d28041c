"""The recorder's mesh as the Kubernetes and Istio objects that would configure it so."""

from __future__ import annotations

from typing import Any

from tests.mesh.world import GATEWAY_PORT, SHOP_HOST, Mesh, Pod, Policy, Route, Service

Json = dict[str, Any]

_GATEWAY_SERVICE = Service("istio-ingressgateway", "10.96.0.10", port=GATEWAY_PORT, namespace="istio-system")


def objects(mesh: Mesh) -> list[Json]:
    """Describe the mesh by objects, as `kubectl get -A` would list them."""
    found = [_service(service) for service in (*mesh.services.values(), _GATEWAY_SERVICE)]
    found += [_pod(pod) for pod in (*mesh.pods.values(), mesh.gateway)]
    found += [_endpoint_slice(mesh, service) for service in mesh.services.values()]
    found += [_virtual_service(name, mesh.routes[name]) for name in mesh.routes]
    found.append(
        {
            **_head("VirtualService", "storefront", "istio-system"),
            "spec": {
                "hosts": [SHOP_HOST],
                "gateways": ["public"],
                "http": [_rule(route) for route in mesh.gateway_routes],
            },
        }
    )
    found.append(
        {
            **_head("Gateway", "public", "istio-system"),
            "spec": {
                "selector": {"istio": "ingressgateway"},
                "servers": [{"port": {"number": GATEWAY_PORT, "name": "http", "protocol": "HTTP"}, "hosts": ["*"]}],
            },
        }
    )
    return found + [rule for service in mesh.services.values() if (rule := _destination_rule(mesh, service))]


def _head(kind: str, name: str, namespace: str, group: str = "networking.istio.io/v1") -> Json:
    return {"apiVersion": group, "kind": kind, "metadata": {"name": name, "namespace": namespace}}


def _service(service: Service) -> Json:
    port = {"name": service.port_name, "port": service.port, "targetPort": service.port}
    return {
        **_head("Service", service.name, service.namespace, "v1"),
        "spec": {"clusterIP": service.cluster_ip, "selector": {"app": service.name}, "ports": [port]},
    }


def _pod(pod: Pod) -> Json:
    head = _head("Pod", pod.name, pod.namespace, "v1")
    head["metadata"]["labels"] = {"app": pod.service, "version": pod.subset or "v1"}
    return {
        **head,
        "spec": {"containers": [{"name": pod.service}, {"name": "istio-proxy"}]},
        "status": {"phase": "Running", "podIP": pod.ip, "conditions": [{"type": "Ready", "status": "True"}]},
    }


def _endpoint_slice(mesh: Mesh, service: Service) -> Json:
    head = _head("EndpointSlice", f"{service.name}-x7k2p", service.namespace, "discovery.k8s.io/v1")
    head["metadata"]["labels"] = {"kubernetes.io/service-name": service.name}
    endpoints = [
        {"addresses": [pod.ip], "conditions": {"ready": True}, "targetRef": {"kind": "Pod", "name": pod.name}}
        for pod in mesh.endpoints(service.name)
    ]
    return {**head, "addressType": "IPv4", "endpoints": endpoints, "ports": [{"port": service.port}]}


def _virtual_service(name: str, routes: tuple[Route, ...]) -> Json:
    return {
        **_head("VirtualService", name, "shop"),
        "spec": {"hosts": [name], "http": [_rule(route) for route in routes]},
    }


def _rule(route: Route) -> Json:
    service = f"{route.service}.shop.svc.cluster.local"
    rule: Json = {"name": route.name, "route": [{"destination": {"host": service}}]}
    if route.subset:
        rule["route"][0]["destination"]["subset"] = route.subset
    match: Json = {}
    if route.exact or route.prefix != "/":
        match["uri"] = {"exact": route.exact} if route.exact else {"prefix": route.prefix}
    if route.header:
        match["headers"] = {route.header[0]: {"exact": route.header[1]}}
    if match:
        rule["match"] = [match]
    if route.timeout_ms:
        rule["timeout"] = f"{route.timeout_ms}ms"
    if route.retries:
        rule["retries"] = {"attempts": route.retries.attempts, "retryOn": route.retries.retry_on}
    if route.fault:
        rule["fault"] = _fault(route)
    if route.answers:
        rule = {key: value for key, value in rule.items() if key != "route"}
        rule["directResponse"] = {"status": route.answers}
    return rule


def _fault(route: Route) -> Json:
    fault = route.fault
    share = {"percentage": {"value": 100}}
    if fault and fault.delay_ms:
        return {"delay": {"fixedDelay": f"{fault.delay_ms}ms", **share}}
    return {"abort": {"httpStatus": fault.abort_status if fault else 0, **share}}


def _destination_rule(mesh: Mesh, service: Service) -> Json | None:
    own = mesh.policy(service.name)
    subsets = sorted({pod.subset for pod in mesh.pods.values() if pod.service == service.name and pod.subset})
    named = sorted({subset for name, subset in mesh.policies if name == service.name and subset} | set(subsets))
    routed = [subset for subset in named if subset in mesh.subsets(service.name)]
    if _traffic_policy(own) == {} and not routed:
        return None
    spec: Json = {"host": service.name}
    if _traffic_policy(own):
        spec["trafficPolicy"] = _traffic_policy(own)
    if routed:
        spec["subsets"] = [_subset(mesh, service, subset) for subset in routed]
    return {**_head("DestinationRule", service.name, service.namespace), "spec": spec}


def _subset(mesh: Mesh, service: Service, name: str) -> Json:
    policy = mesh.policies.get((service.name, name))
    subset: Json = {"name": name, "labels": {"version": name}}
    return {**subset, "trafficPolicy": _traffic_policy(policy)} if policy and _traffic_policy(policy) else subset


def _traffic_policy(policy: Policy) -> Json:
    pool: Json = {}
    if policy.breaker:
        pool["tcp"] = {"maxConnections": policy.breaker.max_connections}
        pool["http"] = {
            "http1MaxPendingRequests": policy.breaker.max_pending,
            "http2MaxRequests": policy.breaker.max_requests,
        }
    if policy.connect_timeout_ms != 10_000:
        pool.setdefault("tcp", {})["connectTimeout"] = f"{policy.connect_timeout_ms}ms"
    found: Json = {"connectionPool": pool} if pool else {}
    if policy.ejects_after:
        ejected = f"{policy.ejected_ms}ms"
        found["outlierDetection"] = {"consecutive5xxErrors": policy.ejects_after, "baseEjectionTime": ejected}
    if policy.tls == "plain":
        found["tls"] = {"mode": "DISABLE"}
    return found
