"""The recorder's mesh as the Kubernetes and Istio objects that would configure it so."""

from __future__ import annotations

from typing import Any

from tests.mesh.access import guards
from tests.mesh.world import GATEWAY_PORT, SHOP_HOST, Mesh, Pod, Policy, Route, Service

Json = dict[str, Any]

_GATEWAY_SERVICE = Service("istio-ingressgateway", "10.96.0.10", port=GATEWAY_PORT, namespace="istio-system")


def objects(mesh: Mesh) -> list[Json]:
    """Describe the mesh by objects, as `kubectl get -A` would list them."""
    found = [_service(mesh, service) for service in (*mesh.services.values(), _GATEWAY_SERVICE)]
    found += [_pod(pod) for pod in (*mesh.pods.values(), *_unreachable(mesh), mesh.gateway)]
    found += [_endpoint_slice(mesh, service) for service in mesh.services.values()]
    found += [_virtual_service(name, mesh.routes[name]) for name in mesh.routes]
    found += [_ports_rule(mesh, name) for name in sorted({name for name, _ in mesh.tcp_ports.values()})]
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
    found += [rule for service in mesh.services.values() if (rule := _destination_rule(mesh, service))]
    return found + guards(mesh)


def _head(kind: str, name: str, namespace: str, group: str = "networking.istio.io/v1") -> Json:
    return {"apiVersion": group, "kind": kind, "metadata": {"name": name, "namespace": namespace}}


def _service(mesh: Mesh, service: Service) -> Json:
    ports = [{"name": service.port_name, "port": service.port, "targetPort": service.port}]
    ports += [
        {"name": f"tcp-{port}", "port": port, "targetPort": service.port}
        for port, (name, _) in mesh.tcp_ports.items()
        if name == service.name
    ]
    return {
        **_head("Service", service.name, service.namespace, "v1"),
        "spec": {"clusterIP": service.cluster_ip, "selector": {"app": service.name}, "ports": ports},
    }


def _unreachable(mesh: Mesh) -> list[Pod]:
    """Give the pods that stand where a subset's policy puts addresses in place of the service's own pods."""
    return [
        Pod(f"{service}-{subset}", f"{service}-{subset}-0", ip, service, subset)
        for (service, subset), policy in mesh.policies.items()
        for ip, _ in policy.hosts or ()
    ]


def _pod(pod: Pod) -> Json:
    head = _head("Pod", pod.name, pod.namespace, "v1")
    head["metadata"]["labels"] = {"app": pod.service, "version": pod.subset or "v1"}
    return {
        **head,
        "spec": {"containers": [{"name": pod.service}, *([{"name": "istio-proxy"}] if pod.has_sidecar else [])]},
        "status": {"phase": "Running", "podIP": pod.ip, "conditions": [{"type": "Ready", "status": "True"}]},
    }


def _endpoint_slice(mesh: Mesh, service: Service) -> Json:
    head = _head("EndpointSlice", f"{service.name}-x7k2p", service.namespace, "discovery.k8s.io/v1")
    head["metadata"]["labels"] = {"kubernetes.io/service-name": service.name}
    endpoints = [
        {"addresses": [pod.ip], "conditions": {"ready": True}, "targetRef": {"kind": "Pod", "name": pod.name}}
        for pod in (
            *mesh.endpoints(service.name),
            *(each for each in _unreachable(mesh) if each.service == service.name),
        )
    ]
    return {**head, "addressType": "IPv4", "endpoints": endpoints, "ports": [{"port": service.port}]}


def _virtual_service(name: str, routes: tuple[Route, ...]) -> Json:
    return {
        **_head("VirtualService", name, "shop"),
        "spec": {"hosts": [name], "http": [_rule(route) for route in routes]},
    }


def _ports_rule(mesh: Mesh, name: str) -> Json:
    """Lead the further ports of a TCP service to its subsets."""
    service = mesh.services[name]
    rules = [
        {
            "match": [{"port": port}],
            "route": [{"destination": {"host": service.host, "subset": subset, "port": {"number": service.port}}}],
        }
        for port, (of, subset) in mesh.tcp_ports.items()
        if of == name
    ]
    return {**_head("VirtualService", name, service.namespace), "spec": {"hosts": [name], "tcp": rules}}


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
        if route.retries.per_try_ms:
            rule["retries"]["perTryTimeout"] = f"{route.retries.per_try_ms}ms"
    if route.mirror:
        rule["mirrors"] = [{"destination": {"host": f"{route.mirror}.shop.svc.cluster.local"}}]
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
    policy = _traffic_policy(own)
    if service.is_upgraded:
        policy.setdefault("connectionPool", {})["http"] = {"h2UpgradePolicy": "UPGRADE"}
    if policy == {} and not routed:
        return None
    spec: Json = {"host": service.name}
    if policy:
        spec["trafficPolicy"] = policy
    if routed:
        spec["subsets"] = [_subset(mesh, service, subset) for subset in routed]
    return {**_head("DestinationRule", service.name, service.namespace), "spec": spec}


def _subset(mesh: Mesh, service: Service, name: str) -> Json:
    policy = mesh.policies.get((service.name, name))
    has_pods = any(
        pod.subset == name for pod in (*mesh.pods.values(), *_unreachable(mesh)) if pod.service == service.name
    )
    is_void = policy is not None and policy.hosts == ()
    subset: Json = {"name": name, "labels": {"version": name if has_pods or is_void else "v1"}}
    own = _traffic_policy(policy) if policy else {}
    if policy and policy.tls == "mutual" and mesh.policy(service.name).tls != "mutual":
        own["tls"] = {"mode": "ISTIO_MUTUAL"}
    if policy and policy.tls == "stranger":
        renamed = f"spiffe://cluster.local/ns/{service.namespace}/sa/{service.name}-renamed"
        own["tls"] = {"mode": "ISTIO_MUTUAL", "subjectAltNames": [renamed]}
    return {**subset, "trafficPolicy": own} if own else subset


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
        found["outlierDetection"] = {
            "consecutive5xxErrors": policy.ejects_after,
            "interval": "200ms",
            "baseEjectionTime": ejected,
            "maxEjectionPercent": 100,
        }
    if policy.tls == "plain":
        found["tls"] = {"mode": "DISABLE"}
    return found
