"""Every error that meshlog raises on purpose; the command line turns each into one message and an exit code.

    MeshlogError              exit 1: something failed
     ├── UsageError           exit 2: the call itself cannot be carried out as written
     ├── InputError           exit 1: a source cannot be read (missing, no rights, not a log)
     ├── LakeError            exit 1: the lake cannot be read or written (no lake, newer version, damaged)
     │    └── LockedError     exit 1: another process is writing to the lake
     ├── QueryError           exit 1: DuckDB refused the SQL
     └── NoDataError          exit 5: the lake holds nothing in the window

A bad line is never an exception: it becomes a row in `quarantine`.
"""


class MeshlogError(Exception):
    """The base of all: a message that says what, where (`access.log.gz:118`) and what to do."""

    exit_code = 1


def why(error: OSError) -> str:
    """Say what the system, or a library that raises its errors, has against it."""
    return error.strerror or " ".join(str(error).split())


class UsageError(MeshlogError):
    """The call cannot be carried out as written: a time that is none, two flags that contradict each other."""

    exit_code = 2


class InputError(MeshlogError):
    """A source cannot be read; its message names the path."""


class LakeError(MeshlogError):
    """The lake cannot be read or written."""


class LockedError(LakeError):
    """Another process holds the lake's write lock; its message says which."""


class QueryError(MeshlogError):
    """DuckDB refused a query; the message is DuckDB's own, with the place."""


class NoDataError(MeshlogError):
    """The window holds no row, so there is nothing to answer with."""

    exit_code = 5
