"""Reads memory in words and vectors: loads, searches, comparisons, hashes of text at an address.

Addresses are plain numbers: arrays handed from function to function cost a reference count each time, which took half
of the kernel's time. Vectors of 32 bytes are LLVM's, which makes of them what the processor has. Whatever is read or
compared here may be read up to `layout.SLACK` bytes beyond its end, so that much must be there.
"""

from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

_VECTOR = ir.VectorType(ir.IntType(8), 32)
_LONG = ir.IntType(64)


def _place(builder: Any, address: Any, kind: Any) -> Any:
    return builder.inttoptr(address, kind.as_pointer())


def _load(builder: Any, address: Any, kind: Any) -> Any:
    return builder.load(_place(builder, address, kind), align=1, typ=kind)


def _bits(builder: Any, holds: Any) -> Any:
    """Make a number of 32 truths, one bit each."""
    return builder.zext(builder.bitcast(holds, ir.IntType(32)), _LONG)


def _loader(bits: int, kind: Any) -> Any:
    """Make an intrinsic that loads a number of so many bits from any address."""

    @intrinsic
    def load(typingctx: Any, address: Any) -> Any:
        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            return _load(builder, args[0], ir.IntType(bits))

        return kind(types.int64), codegen

    return load


def _storer(bits: int, kind: Any) -> Any:
    """Make an intrinsic that stores a number of so many bits at any address."""

    @intrinsic
    def store(typingctx: Any, address: Any, value: Any) -> Any:
        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            builder.store(args[1], _place(builder, args[0], ir.IntType(bits)), align=1)
            return context.get_dummy_value()

        return types.void(types.int64, kind), codegen

    return store


byte, word = _loader(8, types.uint8), _loader(64, types.uint64)
get_long = _loader(64, types.int64)
put_byte = _storer(8, types.int8)
get_int, put_int = _loader(32, types.int32), _storer(32, types.int32)
put_word, put_long = _storer(64, types.uint64), _storer(64, types.int64)


@intrinsic
def trailing_zeros(typingctx: Any, value: Any) -> Any:
    """Count the zero bits below the lowest one; the value may not be 0."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.cttz(args[0], ir.Constant(ir.IntType(1), 1))

    return types.uint64(types.uint64), codegen


@intrinsic
def _stops(typingctx: Any, address: Any) -> Any:
    """Of 32 bytes: low, a bit for each quote, backslash and control character; high, one for each above 127."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        data = _load(builder, args[0], _VECTOR)
        quote, backslash, space, zero = (ir.Constant(_VECTOR, [value] * 32) for value in (34, 92, 32, 0))
        stops = builder.or_(builder.icmp_unsigned("==", data, quote), builder.icmp_unsigned("==", data, backslash))
        stops = _bits(builder, builder.or_(stops, builder.icmp_unsigned("<", data, space)))
        high = _bits(builder, builder.icmp_signed("<", data, zero))
        return builder.or_(stops, builder.shl(high, ir.Constant(_LONG, 32)))

    return types.uint64(types.int64), codegen


@intrinsic
def _newlines(typingctx: Any, address: Any) -> Any:
    """Of 32 bytes: a bit for each newline."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        newline = ir.Constant(_VECTOR, [10] * 32)
        return _bits(builder, builder.icmp_unsigned("==", _load(builder, args[0], _VECTOR), newline))

    return types.uint64(types.int64), codegen


@intrinsic
def _differences(typingctx: Any, first: Any, second: Any) -> Any:
    """Of 32 bytes at each address: a bit for each that is not the same."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        one, other = (_load(builder, address, _VECTOR) for address in args)
        return _bits(builder, builder.icmp_unsigned("!=", one, other))

    return types.uint64(types.int64, types.int64), codegen


@intrinsic
def _copy_vector(typingctx: Any, source: Any, target: Any) -> Any:
    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        builder.store(_load(builder, args[0], _VECTOR), _place(builder, args[1], _VECTOR), align=1)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64), codegen


@intrinsic
def _folded_product(typingctx: Any, first: Any, second: Any) -> Any:
    """Multiply two words to 128 bits, and fold these to one word: every bit of both counts in all of it."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        wide = ir.IntType(128)
        product = builder.mul(*(builder.zext(factor, wide) for factor in args))
        upper = builder.lshr(product, ir.Constant(wide, 64))
        return builder.xor(builder.trunc(product, _LONG), builder.trunc(upper, _LONG))

    return types.uint64(types.uint64, types.uint64), codegen


_LOW = np.uint64(0xFFFFFFFF)
_K1, _K2 = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xC2B2AE3D27D4EB4F)


@njit(nogil=True, inline="always")
def text_end(p):
    """Find the quote that ends a text; a backslash or a control character before it ends the search as well.

    Returns its address, and whether a byte above 127 stands before it.
    """
    high = np.uint64(0)
    found = _stops(p)
    while found & _LOW == 0:
        high |= found
        p += 32
        found = _stops(p)
    place = trailing_zeros(found)
    high |= (found >> np.uint64(32)) & ((np.uint64(1) << place) - np.uint64(1))
    return p + np.int64(place), high != 0


@njit(nogil=True)
def line_end(p, end):
    """Find the newline at or after p; `end` where there is none."""
    found = _newlines(p)
    while found == 0 and p < end:
        p += 32
        found = _newlines(p)
    return end if found == 0 else min(end, p + np.int64(trailing_zeros(found)))


@njit(nogil=True, inline="always")
def same(first, second, length):
    """Say whether two stretches of at least one byte are the same."""
    while length > 32:
        if _differences(first, second):
            return False
        first += 32
        second += 32
        length -= 32
    return _differences(first, second) << np.uint64(64 - length) == 0


@njit(nogil=True, inline="always")
def copy(source, target, length):
    """Copy a stretch; up to 31 bytes behind the target are overwritten."""
    done = 0
    while done < length:
        _copy_vector(source + done, target + done)
        done += 32


@njit(nogil=True, inline="always")
def hash_text(p, length):
    """Hash a stretch of at least one byte."""
    h = np.uint64(length) * _K1
    while length > 16:
        h = _folded_product(word(p) ^ _K1, word(p + 8) ^ h)
        p += 16
        length -= 16
    # what stands behind the text is shifted out
    if length > 8:
        return _folded_product(word(p) ^ _K1, (word(p + 8) << np.uint64(128 - 8 * length)) ^ h)
    return _folded_product((word(p) << np.uint64(64 - 8 * length)) ^ _K2, h ^ _K1)


@njit(nogil=True)
def is_utf8(p, length):
    """Check text as Python's decoder does: no overlong forms, no surrogates, nothing beyond U+10FFFF."""
    end = p + length
    while p < end:
        first = byte(p)
        if first < 0x80:
            p += 1
            continue
        if 0xC2 <= first <= 0xDF:
            more = 1
        elif 0xE0 <= first <= 0xEF:
            more = 2
        elif 0xF0 <= first <= 0xF4:
            more = 3
        else:
            return False
        if p + more >= end:
            return False
        second = byte(p + 1)
        if (first == 0xE0 and second < 0xA0) or (first == 0xED and second > 0x9F):
            return False
        if (first == 0xF0 and second < 0x90) or (first == 0xF4 and second > 0x8F):
            return False
        for k in range(1, more + 1):
            if byte(p + k) & 0xC0 != 0x80:
                return False
        p += more + 1
    return True
