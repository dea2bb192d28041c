"""Keeps the memory of one batch for the next: what is given back has to be cleared anew by the kernel, page by page."""

import ctypes

import pyarrow as pa

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
"""Of glibc's `mallopt`; other C libraries have none."""

_KEPT_BYTES = 1 << 30
"""More than an ingest ever holds."""

_LARGEST_BYTES = 32 << 20
"""Pieces larger than this are given back all the same; glibc takes no higher limit."""


def keep_freed_memory() -> None:
    """Have freed memory stay with this process, whoever asked for it.

    PyArrow's own allocator gives it back at once, so the C library's takes its place.
    """
    pa.set_memory_pool(pa.system_memory_pool())
    library = ctypes.CDLL(None)
    if hasattr(library, "mallopt"):
        library.mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES)
        library.mallopt(_M_MMAP_THRESHOLD, _LARGEST_BYTES)
