"""Feeds the kernel: learns which keys lines have, keeps the dictionaries, and gathers rows of many sources in arrays.

One scanner serves a whole ingest. Keys are learnt once and never forgotten, whatever their order in a line; texts of
coded columns stay codes from here to Parquet. What it holds leaves as `Scanned`, which another thread may turn into
Arrow while the next rows are being scanned.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson
import pyarrow as pa

from pipeline.ingest import kernel
from pipeline.ingest.fields import CODE, FLAGS, PARSED, TEXTS, TIME, WHOLE_NUMBERS, FieldMap
from pipeline.ingest.shapes import Odd
from pipeline.lake.schema import ACCESS_LOGS, TIMESTAMP

CHUNK_ROWS = 1 << 16
TEXT_BYTES = 8 << 20
"""Rows, and bytes of each plain column, after which new arrays are begun; a line must fit into the latter."""

MOST_KEYS = 128
MOST_DISTINCT = 1 << 15
DISTINCT_BYTES = 32 << 20
_ODD_LINES = 1 << 16

CODED_TEXTS = tuple(name for name in TEXTS if pa.types.is_dictionary(ACCESS_LOGS.field(name).type))
PLAIN_TEXTS = (*(name for name in TEXTS if name not in CODED_TEXTS), "extra")
NUMBERS = (TIME, *WHOLE_NUMBERS)


@dataclass(frozen=True)
class Scan:
    """What a scan made of lines: how many rows, when they started, and the lines that are not plain.

    `is_partial` says that one of them began a record of CRI pieces, and so may not be the last of its record.
    """

    rows: int = 0
    earliest_us: int = 2**62
    latest_us: int = -1
    odd: Odd = ()
    is_partial: bool = False


@dataclass(frozen=True)
class Scanned:
    """Rows that left the scanner: array chunks, and the dictionaries that their codes mean."""

    chunks: tuple[tuple[kernel.Rows, int], ...]
    texts: tuple[pa.Array, ...]

    def table(self) -> pa.Table:
        """Return the rows as they were read, `PARSED` with coded columns as dictionaries, and `context` beside them."""
        columns: dict[str, pa.Array] = {}
        for slot, name in enumerate(NUMBERS):
            has = self._joined("has_number", slot)
            kind = TIMESTAMP if name == TIME else pa.int64()
            columns[name] = pa.array(self._joined("numbers", slot), kind, mask=None if has.all() else has == 0)
        for slot, (name, texts) in enumerate(zip(CODED_TEXTS, self.texts, strict=True)):
            columns[name] = _coded(self._joined("codes", slot), texts)
        for slot, name in enumerate(PLAIN_TEXTS):
            columns[name] = _plain(self.chunks, slot)
        columns["line_number"] = pa.array(self._joined("line_number"))
        columns["context"] = pa.array(self._joined("context"))
        return pa.table({name: columns[name] for name in (*PARSED.names, "context")})

    def _joined(self, name: str, slot: int | None = None) -> npt.NDArray[Any]:
        parts = [getattr(arrays, name) if slot is None else getattr(arrays, name)[slot] for arrays, _ in self.chunks]
        return np.concatenate([part[:count] for part, (_, count) in zip(parts, self.chunks, strict=True)])


def _coded(codes: npt.NDArray[Any], texts: pa.Array) -> pa.DictionaryArray:
    if not len(texts):
        return pa.DictionaryArray.from_arrays(pa.nulls(len(codes), pa.int32()), texts)
    is_null = codes < 0
    return pa.DictionaryArray.from_arrays(pa.array(codes, mask=is_null if is_null.any() else None), texts)


def _plain(chunks: Sequence[tuple[kernel.Rows, int]], slot: int) -> pa.ChunkedArray:
    texts = []
    for arrays, count in chunks:
        offsets = arrays.offsets[slot, : count + 1]
        data = pa.py_buffer(arrays.text[slot, : max(1, int(offsets[-1]))])
        valid = np.packbits(arrays.has_text[slot, :count], bitorder="little")
        texts.append(pa.StringArray.from_buffers(count, pa.py_buffer(offsets), data, pa.py_buffer(valid)))
    return pa.chunked_array(texts, pa.string())


@dataclass
class Scanner:
    """The kernel's arrays; see the module."""

    fields: FieldMap
    _keys: dict[str, None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._odd = np.empty((_ODD_LINES, 3), np.int64)
        self._full: list[tuple[kernel.Rows, int]] = []
        self._scanned: list[Scanned] = []
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
            if found and self.fields.is_access_log(found) and len(self._keys.keys() | found.keys()) <= MOST_KEYS:
                self._keys.update(dict.fromkeys(found))
        if len(self._keys) > known:
            self._lay_out()
        return len(self._keys) > known

    def _lay_out(self) -> None:
        """Write the keys down as the kernel wants them."""
        names = list(self._keys)
        written = [orjson.dumps(name) + b":" for name in names]
        extras = sorted(name for name in names if self.fields.column(name) is None)
        text = np.frombuffer(b"".join(written) + bytes(kernel.SLACK), np.uint8).copy()
        length = np.array([len(w) for w in written], np.int64)
        start = np.cumsum(length) - length if names else length
        kinds = [_kind(self.fields.column(name)) for name in names]
        slots = [_slot(self.fields.column(name), name, extras) for name in names]
        is_flags = np.array([self.fields.column(name) == FLAGS for name in names], np.uint8)
        table = np.full(4 * MOST_KEYS, -1, np.int64)
        for number in range(len(names)):
            place = int(kernel.hash_text(text.ctypes.data + start[number] + 1, length[number] - 3)) & (len(table) - 1)
            while table[place] >= 0:
                place = (place + 1) & (len(table) - 1)
            table[place] = number
        follows = np.full(len(names) + 1, -1, np.int64)
        kind, slot = np.array(kinds, np.int64), np.array(slots, np.int64)
        self._layout = kernel.Keys(text, start, length, kind, slot, is_flags, table, follows)
        self._extras = np.zeros((3, len(extras)), np.int64)
        self._extras[0] = [names.index(name) for name in extras]
        self._extra_slot = PLAIN_TEXTS.index("extra") if extras else -1

    # ---------- rows

    def _begin_rows(self) -> None:
        rows, plain = CHUNK_ROWS, len(PLAIN_TEXTS)
        offsets = np.empty((plain, rows + 1), np.int32)
        offsets[:, 0] = 0
        self._rows = kernel.Rows(
            np.empty((len(CODED_TEXTS), rows), np.int32),
            np.empty((len(NUMBERS), rows), np.int64),
            np.empty((len(NUMBERS), rows), np.uint8),
            offsets,
            np.empty((plain, TEXT_BYTES), np.uint8),
            np.empty((plain, rows), np.uint8),
            np.empty(rows, np.int64),
            np.empty(rows, np.int32),
        )
        self._row = 0

    def _begin_distinct(self) -> None:
        columns = len(CODED_TEXTS)
        self._distinct = kernel.Distinct(
            np.full((columns, 2 * MOST_DISTINCT), -1, np.int32),
            np.empty((columns, MOST_DISTINCT), np.uint64),
            np.empty((columns, MOST_DISTINCT), np.int64),
            np.empty((columns, MOST_DISTINCT), np.int64),
            np.empty(DISTINCT_BYTES, np.uint8),
            np.zeros(columns + 1, np.int64),
        )

    def scan(self, data: bytes, numbers: Sequence[int], context: int) -> Scan:
        """Scan whole lines with these numbers; `context` is stored with each row."""
        # the kernel reads a little beyond a line, so the last lines are scanned from a copy with room behind it
        cut = data.rfind(b"\n", 0, max(0, len(data) - kernel.SLACK)) + 1
        number_of = np.asarray(numbers, np.int64)
        scan, line = Scan(), 0
        for part, at, end in ((data, 0, cut), (data[cut:] + bytes(kernel.SLACK), cut, len(data) - cut)):
            if end:
                line, scan = self._scan(np.frombuffer(part, np.uint8)[:end], at, line, number_of, context, scan)
        return scan

    def _scan(
        self,
        block: npt.NDArray[np.uint8],
        offset: int,
        line: int,
        number_of: npt.NDArray[np.int64],
        context: int,
        before: Scan,
    ) -> tuple[int, Scan]:
        """Scan a part that stands at `offset`; returns the next line, and what was found so far."""
        rows, earliest, latest, odd = before.rows, before.earliest_us, before.latest_us, [*before.odd]
        start = place = block.ctypes.data
        is_partial, why = before.is_partial, kernel.FULL
        while why != kernel.DONE:
            held = self._row
            why, place, self._row, line, odd_count, first, last, is_partial = kernel.scan(
                start, place, start + len(block), self._layout, self._distinct, self._rows, held,
                self._extra_slot, self._extras, self._odd, line, context, is_partial,
            )  # fmt: skip
            fresh = self._rows.line_number[held : self._row]
            fresh[:] = number_of[fresh]
            rows, earliest, latest = rows + len(fresh), min(earliest, first), max(latest, last)
            odd += [(a + offset, b + offset, line_) for a, b, line_ in self._odd[:odd_count].tolist()]
            if why == kernel.DISTINCT_FULL:
                self._close_dictionaries()
            elif why == kernel.FULL and odd_count < _ODD_LINES:
                self._close_rows()
        return line, Scan(rows, earliest, latest, odd, bool(is_partial))

    def take(self) -> list[Scanned]:
        """Hand over the rows so far; what belongs together has one set of dictionaries."""
        self._close_dictionaries()
        scanned, self._scanned = self._scanned, []
        return scanned

    def _close_rows(self) -> None:
        if self._row:
            self._full.append((self._rows, self._row))
            self._begin_rows()

    def _close_dictionaries(self) -> None:
        self._close_rows()
        if self._full:
            texts = tuple(self._distinct_texts(slot) for slot in range(len(CODED_TEXTS)))
            self._scanned.append(Scanned(tuple(self._full), texts))
            self._full = []
        self._begin_distinct()

    def _distinct_texts(self, slot: int) -> pa.Array:
        distinct, count = self._distinct, int(self._distinct.used[slot])
        places = zip(distinct.start[slot, :count].tolist(), distinct.length[slot, :count].tolist(), strict=True)
        return pa.array([distinct.text[at : at + size].tobytes().decode() for at, size in places], pa.string())


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
