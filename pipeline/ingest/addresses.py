"""Compares the addresses of one line with one another: what a line's side is told by where no cluster name tells it.

The compiled scanner does the same (`kernel/addresses.py`), and has to agree with this (a property test).
"""


def has_same_local_ip(arrived: str, went: str) -> bool | None:
    """Say whether a call went on from the IP at which it arrived; None where that is no address with a port.

    `arrived` is DOWNSTREAM_LOCAL_ADDRESS, `went` UPSTREAM_LOCAL_ADDRESS.
    """
    ip, colon, _ = arrived.rpartition(":")
    return went.startswith(ip + colon) if colon else None


def is_forwarded_last(forwarded: str, sender: str) -> bool:
    """Say whether the sender is the last X-Forwarded-For entry: only a proxy that uses the socket's address appends it.

    A sidecar reports that entry itself as the sender, with port 0 (envoy-facts 4.1).
    """
    last = forwarded.rpartition(",")[2].strip(" \t")
    host = f"[{last}]" if ":" in last else last
    port = sender[len(host) :].encode()
    return bool(last) and sender.startswith(host + ":") and 2 <= len(port) <= 6 and not sender.endswith(":0")
