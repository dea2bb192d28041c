"""Keeps memory that was freed for what comes next, instead of giving it back to the system and asking for it again.

An ingest takes and frees tens of megabytes for every batch. Fresh pages have to be cleared by the kernel: that was a
quarter of all processor time. The memory held does not grow by it, for every batch needs as much as the last one.
"""

import ctypes
import os

import pyarrow as pa

_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8
"""The names that glibc's malloc.h gives these settings: M_TRIM_THRESHOLD and so on."""

_NEVER = 1 << 30


def keep_freed_memory() -> None:
    """Let the C library hold on to freed memory, for this process; without glibc nothing changes."""
    if os.name != "posix":
        return
    try:
        set_option = ctypes.CDLL(None).mallopt
    except AttributeError:
        return
    # one arena for all threads: another one's heap has room for 64 MB, and what is larger is mapped anew each time
    for option, value in ((_TRIM_THRESHOLD, _NEVER), (_MMAP_THRESHOLD, _NEVER), (_ARENA_MAX, 1)):
        set_option(option, value)
    pa.set_memory_pool(pa.system_memory_pool())
