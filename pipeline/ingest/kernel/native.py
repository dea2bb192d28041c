"""The kernel as functions of this process; numba is started only where this machine has not compiled them yet.

Numba takes 0.7 s to start, even to load from a cache of its own what it compiled before: as long as scanning a
gigabyte. So the machine code is kept in an object file, named by all that it depends on, which LLVM loads at once. The
functions take and return whole numbers and raise nothing, so nothing else of numba is needed to call them.
"""

import ctypes
import hashlib
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import llvmlite
import llvmlite.binding as llvm

from pipeline.ingest.kernel.layout import Distinct, Keys, Lines, Rows

Native = Callable[..., Any]
"""Takes numbers, returns as many as `_RETURNED` says; runs without the GIL."""


class Kernel(NamedTuple):
    """The compiled functions, by their names in `scan` and `words`."""

    scan: Native
    hash_text: Native


_ARGUMENTS: dict[str, tuple[type, ...]] = {
    "scan": (int, Lines, Keys, Distinct, Rows, int, int, int, int),
    "hash_text": (int, int),
}
_RETURNED = {"scan": 8, "hash_text": 1}


@cache
def kernel() -> Kernel:
    """Load the compiled functions; compile them where they are not, which takes some ten seconds once a machine."""
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), _machine())
    engine.add_object_file(llvm.ObjectFileRef.from_data(_machine_code()))
    engine.finalize_object()
    return Kernel(*(_function(engine, name) for name in Kernel._fields))


def _function(engine: Any, name: str) -> Native:
    """Wrap a function as numba compiles them: addresses for what it returns and raises, then every number by itself."""
    taken = sum(1 if kind is int else len(kind._fields) for kind in _ARGUMENTS[name])  # type: ignore[attr-defined]
    kind = ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.c_void_p, ctypes.c_void_p, *[ctypes.c_int64] * taken)
    compiled = kind(engine.get_function_address(name))
    answer = ctypes.c_int64 * _RETURNED[name]

    def call(*numbers: int) -> tuple[int, ...]:
        returned, raised = answer(), ctypes.c_void_p()
        if compiled(returned, ctypes.byref(raised), *numbers):
            raise AssertionError(f"{name}: the kernel raises nothing")
        return tuple(returned)

    call.engine = engine  # type: ignore[attr-defined] # it owns the machine code
    return call


def _machine() -> Any:
    return llvm.Target.from_default_triple().create_target_machine(
        cpu=llvm.get_host_cpu_name(), features=_features(), opt=3, reloc="pic", codemodel="default"
    )


def _features() -> str:
    return str(llvm.get_host_cpu_features().flatten())


def _machine_code() -> bytes:
    """Return the object file, from the first folder that has it; else compile it and keep it where that can be."""
    name = f"kernel-{_fingerprint()}.o"
    for folder in _folders():
        with suppress(OSError):
            return (folder / name).read_bytes()
    code = _compiled()
    for folder in _folders():
        with suppress(OSError):
            _keep(folder / name, code)
            break
    return code


def _fingerprint() -> str:
    """Digest what the object file depends on: the kernel's text, the compiler (numba goes with LLVM), the processor."""
    texts = [path.read_bytes() for path in sorted(Path(__file__).parent.glob("*.py"))]
    others = [llvmlite.__version__, llvm.get_host_cpu_name(), _features()]
    return hashlib.sha256(b"\0".join([*texts, *(other.encode() for other in others)])).hexdigest()[:16]


def _folders() -> Iterator[Path]:
    """Name where the object file may be: where numba is told to keep such, beside the bytecode, with the user's own."""
    if told := os.environ.get("NUMBA_CACHE_DIR"):
        yield Path(told)
    yield Path(__file__).parent / "__pycache__"
    with suppress(RuntimeError):  # a container's user may have no home
        yield Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "meshlog"


def _keep(path: Path, code: bytes) -> None:
    """Write a file that another process sees whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
        file.write(code)
    Path(file.name).chmod(0o644)
    Path(file.name).replace(path)


def _compiled() -> bytes:
    """Compile the functions and what they call, without the wrappers by which Python would call them through numba."""
    from numba import types

    from pipeline.ingest.kernel import scan, words

    def numba_type(kind: type) -> Any:
        fields = getattr(kind, "_fields", None)
        return types.NamedUniTuple(types.int64, len(fields), kind) if fields else types.int64

    module = llvm.parse_assembly("")
    for function in (scan.scan, words.hash_text):
        signature = tuple(numba_type(kind) for kind in _ARGUMENTS[function.__name__])
        function.compile(signature)
        compiled = llvm.parse_assembly(function.inspect_llvm(signature))
        compiled.get_function(function.overloads[signature].fndesc.mangled_name).name = function.__name__
        for other in compiled.functions:
            if not other.is_declaration and other.name not in Kernel._fields:
                other.linkage = "internal"
        module.link_in(compiled)
    machine = _machine()
    builder = llvm.create_pass_builder(machine, llvm.create_pipeline_tuning_options(3))
    builder.getModulePassManager().run(module, builder)
    return bytes(machine.emit_object(module))
