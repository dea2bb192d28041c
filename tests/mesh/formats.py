"""The access-log formats and the cluster and address style that belong to each Istio age."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tests.mesh.world import Service

_OPERATORS = {
    "start_time": "%START_TIME%",
    "method": "%REQ(:METHOD)%",
    "path": "%REQ(X-ENVOY-ORIGINAL-PATH?:PATH)%",
    "protocol": "%PROTOCOL%",
    "response_code": "%RESPONSE_CODE%",
    "response_flags": "%RESPONSE_FLAGS%",
    "response_code_details": "%RESPONSE_CODE_DETAILS%",
    "connection_termination_details": "%CONNECTION_TERMINATION_DETAILS%",
    "upstream_transport_failure_reason": "%UPSTREAM_TRANSPORT_FAILURE_REASON%",
    "bytes_received": "%BYTES_RECEIVED%",
    "bytes_sent": "%BYTES_SENT%",
    "duration": "%DURATION%",
    "upstream_service_time": "%RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)%",
    "x_forwarded_for": "%REQ(X-FORWARDED-FOR)%",
    "user_agent": "%REQ(USER-AGENT)%",
    "request_id": "%REQ(X-REQUEST-ID)%",
    "authority": "%REQ(:AUTHORITY)%",
    "upstream_host": "%UPSTREAM_HOST%",
    "upstream_cluster": "%UPSTREAM_CLUSTER_RAW%",
    "upstream_local_address": "%UPSTREAM_LOCAL_ADDRESS%",
    "downstream_local_address": "%DOWNSTREAM_LOCAL_ADDRESS%",
    "downstream_remote_address": "%DOWNSTREAM_REMOTE_ADDRESS%",
    "requested_server_name": "%REQUESTED_SERVER_NAME%",
    "route_name": "%ROUTE_NAME%",
}

ISTIO_KEYS = frozenset(_OPERATORS)
"""The 24 keys of Istio's default JSON since 1.9."""

TRUTH_KEY = "truth_span"
"""The key under which a proxy tells the recorder whose call a line is; it is cut out of every log that is kept."""

_OLD_ORDER = (
    "upstream_local_address",
    "duration",
    "upstream_transport_failure_reason",
    "route_name",
    "downstream_local_address",
    "user_agent",
    "response_code",
    "response_flags",
    "start_time",
    "method",
    "request_id",
    "upstream_host",
    "x_forwarded_for",
    "requested_server_name",
    "bytes_received",
    "istio_policy_status",
    "bytes_sent",
    "upstream_cluster",
    "downstream_remote_address",
    "authority",
    "path",
    "protocol",
    "upstream_service_time",
)
"""The 23 keys of Istio 1.3 to 1.7 in the order of the example that the samples follow."""


@dataclass(frozen=True)
class Style:
    """How proxies of one Istio age log: the format, their inbound cluster's name, the address they call from."""

    log_format: dict[str, Any]
    inbound_source: str
    names_inbound: bool

    def inbound_cluster(self, service: Service) -> str:
        """Name the server side's cluster: with port name and host until Istio 1.7, bare since."""
        tail = f"{service.port_name}|{service.host}" if self.names_inbound else "|"
        return f"inbound|{service.port}|{tail}"


def _all_strings_template() -> str:
    operators = {**_OPERATORS, "istio_policy_status": "-"}
    pairs = ",".join(f'"{key}":"{operators[key]}"' for key in _OLD_ORDER)
    return "{" + pairs + "}\n"


TYPED = Style({"json_format": _OPERATORS}, inbound_source="127.0.0.6", names_inbound=False)
"""Istio 1.10 and later: numbers are numbers, absent is null."""

ALL_STRINGS = Style(
    {"text_format_source": {"inline_string": _all_strings_template()}}, inbound_source="127.0.0.1", names_inbound=True
)
"""Istio 1.3 to 1.7: every value quoted, absent is "-"."""

TRACKED = Style(
    {"json_format": {**_OPERATORS, TRUTH_KEY: "%REQ(X-TRUTH-SPAN)%", "grpc_status_number": "%GRPC_STATUS_NUMBER%"}},
    inbound_source="127.0.0.6",
    names_inbound=False,
)
"""Istio's keys, grpc-status as users may add it, and the span that the recorder cuts out again."""
