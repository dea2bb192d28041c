"""Compares the addresses of one line, as `pipeline.ingest.addresses` does, which says what for."""

from numba import njit

from pipeline.ingest.kernel.words import byte, same


@njit(nogil=True)
def same_local_ip(arrived, arrived_length, went, went_length):
    """Return 1 for yes, 0 for no, -1 where it cannot be told."""
    ip = arrived_length - 1
    while ip >= 0 and byte(arrived + ip) != 58:
        ip -= 1
    if ip < 0:
        return -1
    return 1 if went_length > ip and same(went, arrived, ip + 1) else 0


@njit(nogil=True)
def _is_blank(p):
    return byte(p) == 32 or byte(p) == 9


@njit(nogil=True)
def forwarded_last(forwarded, forwarded_length, sender, sender_length):
    """Return 1 for yes, 0 for no."""
    end = forwarded + forwarded_length
    while end > forwarded and _is_blank(end - 1):
        end -= 1
    begin = end
    brackets = 0
    while begin > forwarded and byte(begin - 1) != 44:
        begin -= 1
        brackets |= byte(begin) == 58
    while begin < end and _is_blank(begin):
        begin += 1
    length = end - begin
    port = sender + length + 2 * brackets
    port_length = sender_length - length - 2 * brackets
    if length == 0 or port_length < 2 or port_length > 6 or byte(port) != 58:
        return 0
    if brackets and (byte(sender) != 91 or byte(port - 1) != 93):
        return 0
    ends_in_0 = byte(port + port_length - 2) == 58 and byte(port + port_length - 1) == 48
    return 1 if same(sender + brackets, begin, length) and not ends_in_0 else 0
