"""Says of each row which side of a call logged it (`direction`) and what kind of proxy did (`reporter`).

Only what the line itself says counts, so the answer does not depend on what else was read or in which order. A line
that does not tell, such as a sidecar's `NR` without a cluster, is `unknown` here: a guess would be paired and blamed.
Rules that need other lines (8, 9 and 11 of envoy-facts 5.3) are applied by `sql/staging/access_logs_around.sql`; the
others, in their order, here.
"""

import re
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.ingest.fields import FORWARDED_LAST, SAME_LOCAL_IP

Mask = npt.NDArray[np.bool_]

GATEWAY_PORTS = ("80", "443", "8080", "8443", "15443")
"""Ports on which gateways listen; on a sidecar's own address an outbound call never arrives at one."""

_CLIENT_CLUSTERS = ("outbound|", "PassthroughCluster", "BlackHoleCluster", "AllowAny")
_OTHER_GATEWAYS = re.compile(r"(?:http|grpc|tls|tcp|udp)route/.*|[a-z0-9-]+/[a-z0-9-]+/[a-z0-9-]+/[0-9a-f]{10}")
"""Cluster names of Envoy Gateway and of Contour: every line of these is a gateway's."""

_SERVER_NAME = re.compile(r"outbound_\.\d+_\.")


def decide(rows: pa.Table, parsed: pa.Table) -> pa.Table:
    """Return the lake's rows with `direction` and `reporter` filled in; `parsed` is what they were made of."""
    facts = _Facts(rows, parsed)
    gateway = facts.is_gateway()
    inbound, outbound = facts.is_inbound(), facts.is_outbound()
    direction = np.where(inbound, 0, np.where(outbound | (gateway & ~facts.is_tunnel), 1, 2)).astype(np.int32)
    reporter = np.where(direction == 1, np.where(gateway, 1, 0), np.where(direction == 2, 3, 0)).astype(np.int32)
    reporter[facts.is_waypoint] = 2
    directions = ["inbound", "outbound", "unknown"]
    reporters = ["sidecar", "gateway", "waypoint", "unknown"]
    for name, codes, names in (("direction", direction, directions), ("reporter", reporter, reporters)):
        coded = pa.DictionaryArray.from_arrays(pa.array(codes), pa.array(names))
        rows = rows.set_column(rows.schema.get_field_index(name), rows.schema.field(name), coded)
    return rows


class _Facts:
    """What single columns say, one mask over the rows a fact."""

    def __init__(self, rows: pa.Table, parsed: pa.Table) -> None:
        self._rows = rows
        self._goes_on_from_there = _mask(parsed[SAME_LOCAL_IP])
        self._goes_on_from_elsewhere = _mask(pc.invert(parsed[SAME_LOCAL_IP]))
        self._is_forwarded_last = _mask(parsed[FORWARDED_LAST])
        cluster, route, sni = (self._each(name) for name in ("upstream_cluster", "route_name", "requested_server_name"))
        self.has_cluster = cluster(lambda _: True)
        self.is_waypoint = cluster(lambda name: name.startswith("inbound-vip|"))
        self._server_cluster = cluster(lambda name: name.startswith(("inbound|", "inbound-vip|", "InboundPassthrough")))
        self._client_cluster = cluster(lambda name: name.startswith(_CLIENT_CLUSTERS))
        self._east_west = cluster(lambda name: name.startswith("outbound_."))
        self._other_gateway = cluster(lambda name: _OTHER_GATEWAYS.fullmatch(name) is not None)
        known = self._server_cluster | self._client_cluster | self._east_west | self._other_gateway
        self.is_tunnel = self.has_cluster & ~known
        self._client_route = route(lambda name: name in ("allow_any", "block_all", "allow_any_dynamic_dns"))
        self._server_sni = sni(lambda name: _SERVER_NAME.match(name) is not None)
        self._no_chain = self._each("response_code_details")(lambda text: text == "filter_chain_not_found")
        self._local_port = self._each("downstream_local_address")
        self._loops_back = (
            self._each("upstream_host")(lambda host: host.startswith("127.0.0.1:")) | self._local_starts()
        )

    def _each(self, column: str) -> Callable[[Callable[[str], bool]], Mask]:
        encoded = self._rows[column].combine_chunks()
        values = encoded.dictionary.to_pylist()
        codes = pc.fill_null(encoded.indices, pa.scalar(len(values), pa.int32())).to_numpy(zero_copy_only=False)

        def mask(holds: Callable[[str], bool]) -> Mask:
            found: Mask = np.array([*(holds(value) for value in values), False], dtype=np.bool_)[codes]
            return found

        return mask

    def _local_starts(self) -> Mask:
        local = self._rows["upstream_local_address"]
        return _mask(pc.or_(pc.starts_with(local, "127.0.0.6:"), pc.starts_with(local, "[::6]:")))

    def is_inbound(self) -> Mask:
        no_chain = self._no_chain & ~self._local_port(lambda at: _port(at) in ("443", "8443", "15443"))
        captured = self._local_port(lambda at: _port(at) == "15006")
        by_line = ~self._client_route & (self._loops_back | self._server_sni | no_chain | captured)
        return self._server_cluster | (~self.has_cluster & by_line)

    def is_outbound(self) -> Mask:
        captured = self._local_port(lambda at: _port(at) == "15001")
        no_chain = self._no_chain & self._local_port(lambda at: _port(at) in ("443", "8443", "15443"))
        named = self._client_cluster | self._east_west | self._other_gateway
        return named | (~self.has_cluster & (self._client_route | captured | no_chain))

    def is_gateway(self) -> Mask:
        """Find gateways' lines: by cluster or pod name, an own listening address, or the peer that they appended."""
        by_cluster = self._east_west | self._other_gateway
        in_name = self._each("pod")(lambda pod: "gateway" in pod)
        by_pod = in_name & ~self._goes_on_from_elsewhere
        no_chain = self._no_chain & self._local_port(lambda at: _port(at) in ("443", "8443", "15443"))
        at_port = self._local_port(lambda at: _port(at) in GATEWAY_PORTS) & ~self._server_cluster
        at_own = at_port & self._goes_on_from_there
        return by_cluster | by_pod | no_chain | at_own | (self._is_forwarded_last & ~self._server_cluster)


def _mask(values: pa.ChunkedArray) -> Mask:
    found: Mask = pc.fill_null(values, pa.scalar(False, pa.bool_())).to_numpy()
    return found


def _port(address: str) -> str:
    return address.rpartition(":")[2]
