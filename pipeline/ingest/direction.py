"""Says of each row which side of a call logged it (`direction`) and what kind of proxy did (`reporter`).

Only what the line itself says counts, so the answer does not depend on what else was read or in which order. A line
that does not tell, such as a sidecar's `NR` without a cluster, is `unknown` here: a guess would be paired and blamed.
Rules that need other lines (8, 9 and 11 of envoy-facts 5.3) are applied by `sql/staging/access_logs_around.sql`; the
others, in their order, here.
"""

import re
from collections.abc import Callable
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.ingest.columns import whole
from pipeline.ingest.fields import FORWARDED_LAST, SAME_LOCAL_IP

Mask = npt.NDArray[np.bool_]

GATEWAY_PORTS = ("80", "443", "8080", "8443", "15443")
"""Ports on which gateways listen; on a sidecar's own address an outbound call never arrives at one."""

_PORTS = (("15001",), ("15006",), ("443", "8443", "15443"), GATEWAY_PORTS)
"""Of a sidecar's two listeners, of gateways that speak TLS, of all gateways."""

_CLIENT_CLUSTERS = ("outbound|", "PassthroughCluster", "BlackHoleCluster", "AllowAny")
_OTHER_GATEWAYS = re.compile(r"(?:http|grpc|tls|tcp|udp)route/.*|[a-z0-9-]+/[a-z0-9-]+/[a-z0-9-]+/[0-9a-f]{10}")
"""Cluster names of Envoy Gateway and of Contour: every line of these is a gateway's."""

_SERVER_NAME = re.compile(r"outbound_\.\d+_\.")


_SIDES = ("inbound", "outbound", "unknown")
_REPORTERS = ("sidecar", "gateway", "waypoint", "unknown")


def _told(is_inbound: bool, is_outbound: bool, is_gateway: bool, is_waypoint: bool) -> tuple[str, str]:
    """Say direction and reporter of a line by what is known of it."""
    direction = "inbound" if is_inbound else "outbound" if is_outbound else "unknown"
    if is_waypoint:
        return direction, "waypoint"
    return direction, {"inbound": "sidecar", "outbound": "gateway" if is_gateway else "sidecar"}.get(
        direction, "unknown"
    )


_VERDICTS = [_told(*(bool(facts >> place & 1) for place in range(4))) for facts in range(16)]
"""What every combination of those facts, one bit each, tells."""


def decide(rows: pa.Table, parsed: pa.Table) -> pa.Table:
    """Return the lake's rows with `direction` and `reporter` filled in; `parsed` is what they were made of."""
    known = _Facts(rows, parsed)
    gateway = known.is_gateway()
    is_outbound = known.is_outbound() | (gateway & ~known.is_tunnel)
    facts = np.zeros(rows.num_rows, np.uint8)
    for place, mask in enumerate((known.is_inbound(), is_outbound, gateway, known.is_waypoint)):
        facts |= mask.view(np.uint8) << place
    for which, (name, values) in enumerate((("direction", _SIDES), ("reporter", _REPORTERS))):
        codes = np.array([values.index(verdict[which]) for verdict in _VERDICTS], np.int32).take(facts)
        coded = pa.DictionaryArray.from_arrays(codes, values, safe=False)
        rows = rows.set_column(rows.schema.get_field_index(name), rows.schema.field(name), coded)
    return rows


class _Facts:
    """What single columns say, one mask over the rows a fact."""

    def __init__(self, rows: pa.Table, parsed: pa.Table) -> None:
        self._rows = rows
        self._goes_on_from_there = _mask(parsed[SAME_LOCAL_IP])
        self._goes_on_from_elsewhere = _mask(pc.invert(parsed[SAME_LOCAL_IP]))
        self._is_forwarded_last = _mask(parsed[FORWARDED_LAST])
        self.has_cluster, self.is_waypoint, self._server_cluster, client, self._east_west, other = self._each(
            "upstream_cluster",
            lambda _: True,
            lambda name: name.startswith("inbound-vip|"),
            lambda name: name.startswith(("inbound|", "inbound-vip|", "InboundPassthrough")),
            lambda name: name.startswith(_CLIENT_CLUSTERS),
            lambda name: name.startswith("outbound_."),
            lambda name: _OTHER_GATEWAYS.fullmatch(name) is not None,
        )
        self._client_cluster, self._other_gateway = client, other
        self.is_tunnel = self.has_cluster & ~(self._server_cluster | client | self._east_west | other)
        names = ("allow_any", "block_all", "allow_any_dynamic_dns")
        (self._client_route,) = self._each("route_name", lambda name: name in names)
        (self._server_sni,) = self._each("requested_server_name", lambda name: _SERVER_NAME.match(name) is not None)
        (self._no_chain,) = self._each("response_code_details", lambda text: text == "filter_chain_not_found")
        (to_itself,) = self._each("upstream_host", lambda host: host.startswith("127.0.0.1:"))
        self._loops_back = to_itself | self._starts_locally()
        (self._in_name,) = self._each("pod", lambda pod: "gateway" in pod)
        self._at_15001, self._at_15006, self._at_tls, self._at_gateway = self._each(
            "downstream_local_address", *(lambda at, ports=ports: _port(at) in ports for ports in _PORTS)
        )

    def _each(self, column: str, *tests: Callable[[str], bool]) -> list[Mask]:
        """Say of each row what up to eight tests say of its value; each distinct value is looked at once."""
        encoded = whole(self._rows[column])
        values = encoded.dictionary.to_pylist()
        held = [sum(holds(value) << bit for bit, holds in enumerate(tests)) for value in values]
        if not any(held) or encoded.null_count == len(encoded):
            return [np.zeros(len(encoded), np.bool_) for _ in tests]
        codes = pc.fill_null(encoded.indices, pa.scalar(len(values), pa.int32())).to_numpy(zero_copy_only=False)
        found = np.array([*held, 0], np.uint8).take(codes)
        return [found & (1 << bit) != 0 for bit in range(len(tests))]

    def _starts_locally(self) -> Mask:
        """Find the connections that an inbound sidecar opens, where no cluster tells them."""
        starts = np.zeros(len(self.has_cluster), np.bool_)
        untold = np.flatnonzero(~self.has_cluster)
        if len(untold):
            local = self._rows["upstream_local_address"].take(pa.array(untold))
            starts[untold] = _mask(pc.or_(pc.starts_with(local, "127.0.0.6:"), pc.starts_with(local, "[::6]:")))
        return starts

    def is_inbound(self) -> Mask:
        by_line = self._loops_back | self._server_sni | (self._no_chain & ~self._at_tls) | self._at_15006
        return self._server_cluster | (~self.has_cluster & ~self._client_route & by_line)

    def is_outbound(self) -> Mask:
        named = self._client_cluster | self._east_west | self._other_gateway
        by_line = self._client_route | self._at_15001 | (self._no_chain & self._at_tls)
        return named | (~self.has_cluster & by_line)

    def is_gateway(self) -> Mask:
        """Find gateways' lines: by cluster or pod name, an own listening address, or the peer that they appended."""
        by_cluster = self._east_west | self._other_gateway
        by_pod = self._in_name & ~self._goes_on_from_elsewhere
        at_own = self._at_gateway & self._goes_on_from_there
        by_line = (at_own | self._is_forwarded_last) & ~self._server_cluster
        return by_cluster | by_pod | (self._no_chain & self._at_tls) | by_line


def _mask(values: pa.ChunkedArray) -> Mask:
    found: Mask = pc.fill_null(values, pa.scalar(False, pa.bool_())).to_numpy()
    return found


@lru_cache(maxsize=65536)
def _port(address: str) -> str:
    return address.rpartition(":")[2]
