"""Feeds the kernel: learns which keys lines have, keeps the dictionaries, and gathers rows of many sources in arrays.

One scanner serves a whole ingest. Keys are learnt once and never forgotten, whatever their order in a line; texts of
coded columns stay codes from here to Parquet. What it holds leaves as `Scanned`, which another thread may turn into
Arrow while the next rows are being scanned.
"""

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson
import pyarrow as pa

from pipeline.ingest import kernel
from pipeline.ingest.fields import (
    CODE,
    FLAGS,
    FORWARDED_LAST,
    PARSED,
    SAME_LOCAL_IP,
    TEXTS,
    TIME,
    WHOLE_NUMBERS,
    FieldMap,
)
from pipeline.ingest.shapes import Odd
from pipeline.lake.schema import ACCESS_LOGS, TIMESTAMP

CHUNK_ROWS = 3 << 15
TEXT_BYTES = 5 << 20
"""Rows, and bytes of each plain column, after which new arrays are begun; a line must fit into the latter. All plain
columns together stay below 32 MB: larger memory glibc gives back at once, to be cleared again for the next batch."""

_STRIDE = CHUNK_ROWS + 192
"""Rows from one column to the next: there is one offset more than rows, and columns shall not all begin with a page."""

_MISSING = -1
"""What stands in a column that a line does not have."""

_SPARE_CHUNKS = 3
"""Chunks kept for the next rows: as many as there are batches on their way."""

MOST_KEYS = 128
MOST_DISTINCT = 1 << 14
DISTINCT_BYTES = 32 << 20
_ODD_LINES = 1 << 16

CODED_TEXTS = tuple(name for name in TEXTS if pa.types.is_dictionary(ACCESS_LOGS.field(name).type))
PLAIN_TEXTS = (*(name for name in TEXTS if name not in CODED_TEXTS), "extra")
NUMBERS = (TIME, *WHOLE_NUMBERS)


@dataclass(frozen=True)
class Scan:
    """What a scan made of so many lines: how many rows, when they started, and the lines that are not plain.

    `is_partial` says that one of them began a record of CRI pieces, and so may not be the last of its record.
    """

    rows: int = 0
    earliest_us: int = 2**62
    latest_us: int = -1
    odd: Odd = ()
    is_partial: bool = False
    lines: int = 0


@dataclass(frozen=True)
class Chunk:
    """The arrays of some rows, as `kernel.Rows` describes them."""

    codes: npt.NDArray[np.int32]
    numbers: npt.NDArray[np.int64]
    offsets: npt.NDArray[np.int32]
    text: npt.NDArray[np.uint8]
    line_number: npt.NDArray[np.int64]
    context: npt.NDArray[np.int32]
    compared: npt.NDArray[np.int8]
    rows: int = 0

    def places(self) -> kernel.Rows:
        """Return the arrays' addresses."""
        coded, number, plain = len(self.codes), len(self.numbers), len(self.offsets)
        return kernel.Rows(
            _at(self.codes), coded, _at(self.numbers), number, _at(self.offsets), _at(self.text), plain, TEXT_BYTES,
            _at(self.line_number), _at(self.context), CHUNK_ROWS, _STRIDE, _at(self.compared),
            CODED_TEXTS.index("downstream_local_address"),
            PLAIN_TEXTS.index("upstream_local_address"),
            PLAIN_TEXTS.index("x_forwarded_for"),
            PLAIN_TEXTS.index("downstream_remote_address"),
        )  # fmt: skip


def _new_chunk() -> Chunk:
    coded, number, plain = len(CODED_TEXTS), len(NUMBERS), len(PLAIN_TEXTS)
    offsets = np.empty((plain, _STRIDE), np.int32)
    offsets[:, 0] = 0
    return Chunk(
        np.full((coded, _STRIDE), _MISSING, np.int32),
        np.full((number, _STRIDE), _MISSING, np.int64),
        offsets,
        np.empty((plain, TEXT_BYTES), np.uint8),
        np.empty(CHUNK_ROWS, np.int64),
        np.empty(CHUNK_ROWS, np.int32),
        np.empty((2, _STRIDE), np.int8),
    )


def _emptied(chunk: Chunk) -> Chunk:
    """Return a chunk's arrays as those of a new one."""
    touched = chunk.rows + 1  # the line that no longer fitted had been begun
    chunk.codes[:, :touched] = _MISSING
    chunk.numbers[:, :touched] = _MISSING
    return replace(chunk, rows=0)


@dataclass(frozen=True)
class Scanned:
    """Rows that left the scanner: array chunks, and the dictionaries that their codes mean."""

    chunks: tuple[Chunk, ...]
    texts: tuple[pa.Array, ...]

    def table(self) -> pa.Table:
        """Return the rows as they were read, `PARSED` with coded columns as dictionaries, and `context` beside them."""
        columns: dict[str, pa.Array] = {}
        for slot, name in enumerate(NUMBERS):
            values = _joined([chunk.numbers[slot, : chunk.rows] for chunk in self.chunks])
            columns[name] = _known(values, TIMESTAMP if name == TIME else pa.int64())
        for slot, (name, texts) in enumerate(zip(CODED_TEXTS, self.texts, strict=True)):
            codes = _joined([chunk.codes[slot, : chunk.rows] for chunk in self.chunks])
            columns[name] = pa.DictionaryArray.from_arrays(_known(codes, pa.int32()), texts, safe=False)
        for slot, name in enumerate(PLAIN_TEXTS):
            columns[name] = pa.chunked_array([_plain(chunk, slot) for chunk in self.chunks], pa.string())
        for slot, name in enumerate((SAME_LOCAL_IP, FORWARDED_LAST)):
            compared = _joined([chunk.compared[slot, : chunk.rows] for chunk in self.chunks])
            columns[name] = pa.array(compared == 1, mask=compared < 0)
        columns["line_number"] = pa.array(_joined([chunk.line_number[: chunk.rows] for chunk in self.chunks]))
        columns["context"] = pa.array(_joined([chunk.context[: chunk.rows] for chunk in self.chunks]))
        return pa.table({name: columns[name] for name in (*PARSED.names, "context")})


def _joined(parts: Sequence[npt.NDArray[Any]]) -> npt.NDArray[Any]:
    """Put arrays into one; a batch mostly has a single chunk, which is not copied."""
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def _known(values: npt.NDArray[Any], kind: pa.DataType) -> pa.Array:
    """Make an array in which what is below 0, so missing, is null."""
    return pa.Array.from_buffers(kind, len(values), [_valid(values >= 0), pa.py_buffer(np.ascontiguousarray(values))])


def _valid(is_there: npt.NDArray[np.bool_]) -> pa.Buffer | None:
    return None if is_there.all() else pa.py_buffer(np.packbits(is_there, bitorder="little"))


def _plain(chunk: Chunk, slot: int) -> pa.StringArray:
    offsets = chunk.offsets[slot, : chunk.rows + 1]
    data = pa.py_buffer(chunk.text[slot, : max(1, int(offsets[-1]))])
    return pa.StringArray.from_buffers(chunk.rows, pa.py_buffer(offsets), data, _valid(offsets[1:] > offsets[:-1]))


def _at(array: npt.NDArray[Any]) -> int:
    return array.ctypes.data


@dataclass
class Scanner:
    """The kernel's arrays; see the module."""

    fields: FieldMap
    _keys: dict[str, None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._kernel = kernel.kernel()
        self._odd = np.empty((_ODD_LINES, 3), np.int64)
        self._full: list[Chunk] = []
        self._scanned: list[Scanned] = []
        self._spare: deque[Chunk] = deque(maxlen=_SPARE_CHUNKS)
        self._distinct = self._make_distinct()
        self._lay_out()
        self._begin_rows()
        self._begin_distinct()

    # ---------- keys

    @property
    def knows_keys(self) -> bool:
        """Say whether any key is known: without one, every line is odd."""
        return bool(self._keys)

    def learn(self, lines: Iterable[bytes]) -> bool:
        """Add the keys of lines that are flat access logs; says whether there was anything new."""
        known = len(self._keys)
        for line in lines:
            found = _flat(line)
            if not found or "" in found or not self.fields.is_access_log(found):
                continue
            if len(self._keys.keys() | found.keys()) <= MOST_KEYS:
                self._keys.update(dict.fromkeys(found))
        if len(self._keys) > known:
            self._lay_out()
        return len(self._keys) > known

    def _lay_out(self) -> None:
        """Write the keys down as the kernel wants them, see `kernel.Keys`."""
        names = list(self._keys)
        written = [orjson.dumps(name) + b":" for name in names]
        extras = sorted(name for name in names if self.fields.column(name) is None)
        text = np.frombuffer(b"".join(written) + bytes(kernel.SLACK), np.uint8)
        records = np.zeros((len(names) + 1, kernel.RECORD), np.int64)
        table = np.zeros(4 * MOST_KEYS, np.int64)
        start = _at(text)
        for number, (name, key) in enumerate(zip(names, written, strict=True)):
            column = self.fields.column(name)
            is_log = column in (CODE, FLAGS)
            records[number, :5] = start, len(key), _kind(column), _slot(column, name, extras), is_log
            place = self._kernel.hash_text(start + 1, len(key) - 3)[0] & (len(table) - 1)
            while table[place]:
                place = (place + 1) & (len(table) - 1)
            table[place] = _at(records[number])
            start += len(key)
        described = np.zeros((len(extras), 3), np.int64)
        described[:, 0] = [_at(records[names.index(name)]) for name in extras]
        lines = np.zeros(1, np.int64)
        self._key_arrays = text, records, table, described, lines
        self._key_places = kernel.Keys(
            _at(records[-1]), _at(table), len(table) - 1, _at(lines), _at(described), len(extras)
        )

    # ---------- rows

    def _begin_rows(self) -> None:
        self._chunk = _emptied(self._spare.pop()) if self._spare else _new_chunk()
        self._places = self._chunk.places()
        self._row = 0

    def _make_distinct(self) -> kernel.Distinct:
        columns = len(CODED_TEXTS)
        self._table = np.empty((columns, 2 * MOST_DISTINCT), np.int64)
        self._spans = np.empty((columns, MOST_DISTINCT, 2), np.int64)
        self._text = np.empty(DISTINCT_BYTES, np.uint8)
        self._used = np.empty(columns + 1, np.int64)
        return kernel.Distinct(
            _at(self._table), 2 * MOST_DISTINCT, _at(self._spans), MOST_DISTINCT, _at(self._text), DISTINCT_BYTES,
            _at(self._used), columns,
        )  # fmt: skip

    def _begin_distinct(self) -> None:
        self._table.fill(-1)
        self._used.fill(0)

    def scan(self, data: bytes, numbers: int | Sequence[int], context: int) -> Scan:
        """Scan whole lines: the first one's number, or each one's, is given. `context` is stored with each row."""
        # the kernel reads a little beyond a line, so the last lines are scanned from a copy with room behind it
        cut = data.rfind(b"\n", 0, max(0, len(data) - kernel.SLACK)) + 1
        whole, rest = np.frombuffer(data, np.uint8), np.frombuffer(data[cut:] + bytes(kernel.SLACK), np.uint8)
        scan = self._scan(whole[:cut], 0, numbers, context, Scan())
        return self._scan(rest[: len(data) - cut], cut, numbers, context, scan)

    def _scan(
        self,
        block: npt.NDArray[np.uint8],
        offset: int,
        numbers: int | Sequence[int],
        context: int,
        before: Scan,
    ) -> Scan:
        """Scan a part that stands at `offset`; returns what was found so far."""
        rows, earliest, latest, odd = before.rows, before.earliest_us, before.latest_us, [*before.odd]
        place = _at(block)
        lines = kernel.Lines(place, place + len(block), _at(self._odd), _ODD_LINES)
        is_partial, line, why = before.is_partial, before.lines, kernel.ROWS_FULL
        while why != kernel.DONE:
            held = self._row
            why, place, self._row, line, odd_count, first, last, is_partial = self._kernel.scan(
                place, *lines, *self._key_places, *self._distinct, *self._places, held, line, context, is_partial
            )
            fresh = self._chunk.line_number[held : self._row]
            fresh[:] = fresh + numbers if isinstance(numbers, int) else np.asarray(numbers, np.int64)[fresh]
            rows, earliest, latest = rows + len(fresh), min(earliest, first), max(latest, last)
            odd += [(a + offset, b + offset, line_) for a, b, line_ in self._odd[:odd_count].tolist()]
            if why == kernel.DICTIONARY_FULL:
                self._close_dictionaries()
            elif why == kernel.ROWS_FULL and odd_count < _ODD_LINES:
                self._close_rows()
        return Scan(rows, earliest, latest, odd, bool(is_partial), line)

    def take(self) -> list[Scanned]:
        """Hand over the rows so far; what belongs together has one set of dictionaries."""
        self._close_dictionaries()
        scanned, self._scanned = self._scanned, []
        return scanned

    def reuse(self, scanned: Iterable[Scanned]) -> None:
        """Take back arrays that nothing refers to any more: the kernel clears each page of memory that is new.

        May be called by another thread than the one that scans.
        """
        for each in scanned:
            self._spare.extend(each.chunks)

    def _close_rows(self) -> None:
        if self._row:
            self._full.append(replace(self._chunk, rows=self._row))
            self._begin_rows()

    def _close_dictionaries(self) -> None:
        self._close_rows()
        if self._full:
            texts = tuple(self._distinct_texts(slot) for slot in range(len(CODED_TEXTS)))
            self._scanned.append(Scanned(tuple(self._full), texts))
            self._full = []
        self._begin_distinct()

    def _distinct_texts(self, slot: int) -> pa.Array:
        places = self._spans[slot, : self._used[slot]].tolist()
        return pa.array([self._text[at : at + size].tobytes().decode() for at, size in places], pa.string())


def _flat(line: bytes) -> dict[str, object] | None:
    """Return a line's object if it holds no other; what stands before it is a collector's."""
    try:
        found = orjson.loads(line[line.index(b"{") :])
    except ValueError:
        return None
    is_flat = isinstance(found, dict) and not any(isinstance(value, dict | list) for value in found.values())
    return found if is_flat else None


def _kind(column: str | None) -> int:
    kinds = {None: kernel.EXTRA, TIME: kernel.TIME, CODE: kernel.CODE}
    if column in kinds:
        return kinds[column]
    return kernel.NUMBER if column in NUMBERS else kernel.CODED if column in CODED_TEXTS else kernel.PLAIN


def _slot(column: str | None, key: str, extras: Sequence[str]) -> int:
    if column is None:
        return extras.index(key)
    return next(names.index(column) for names in (NUMBERS, CODED_TEXTS, PLAIN_TEXTS) if column in names)
