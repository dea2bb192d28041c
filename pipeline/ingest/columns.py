"""Handles Arrow columns without copies that are not needed."""

import pyarrow as pa


def whole(column: pa.ChunkedArray) -> pa.Array:
    """Return a column as one array; mostly it is one already, which `combine_chunks` would copy."""
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()
