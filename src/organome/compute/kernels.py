"""Compiled loops, and where their machine code is kept: a file for a function, types and processor.

numba's own cache is not used. Its folder must be writable to be read at all, and has an index for
each function: two processes that fill it at once can leave an entry that names code of other types,
which then fails until somebody deletes it (numba 4807, 10128). Here a name is a digest of all that
the code depends on, files come whole by a rename, and one that is damaged is compiled again.

Code is looked for in the package, where ``organome dev compile-kernels`` puts it at install time,
and then in NUMBA_CACHE_DIR or the user's cache folder. It is written to the first of them that can
be written; where none can, each process compiles what it needs.
"""

import hashlib
import pickle
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, Final, TypeVar
from uuid import uuid4

import numba
import platformdirs
from numba.core.caching import NullCache
from numba.core.compiler import CompileResult
from numba.core.dispatcher import Dispatcher
from numba.core.registry import cpu_target
from numba.core.runtime.nrt import rtsys
from numba.core.serialize import dumps

IN_PACKAGE: Final = Path(__file__).parent / "__pycache__" / "kernels"
_DIGEST_BYTES: Final = 32
_KERNELS: Final = list["_KernelCache"]()

Function = TypeVar("Function", bound=Callable[..., Any])


def kernel(**options: Any) -> Callable[[Function], Function]:
    """Have a function compiled for the types that it is called with; it runs without Python's lock.

    It may call other kernels of its own module, and those of others that call none elsewhere.

    Args:
        options: Further options of ``numba.njit``.
    """

    def decorate(function: Function) -> Function:
        dispatcher: Any = numba.njit(nogil=True, **options)(function)
        if "inline" not in options:  # it has no code of its own
            dispatcher._cache = _KernelCache(function)
        compiled: Function = dispatcher
        return compiled

    return decorate


def kernel_folders() -> tuple[Path, ...]:
    """Return where machine code is looked for, and written if it can be."""
    config: Any = numba.config
    chosen = config.CACHE_DIR  # NUMBA_CACHE_DIR
    of_user = Path(chosen) / "organome" if chosen else platformdirs.user_cache_path("organome")
    # Without a home it is a relative path, anywhere.
    return (IN_PACKAGE, *([of_user] if of_user.is_absolute() else []))


def compiled_kernels() -> tuple[int, int]:
    """Count the kernels of all imported modules that have code for this processor, and all."""
    found = {
        path.stem for folder in kernel_folders() if folder.is_dir() for path in folder.iterdir()
    }
    return sum(one.name in found for one in _KERNELS), len(_KERNELS)


class _KernelCache(NullCache):
    """The machine code of one function, behind the interface of numba's caches."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function
        _KERNELS.append(self)

    @property
    def name(self) -> str:
        """What the names of its files begin with: function, source, processor."""
        function = self._function
        called = (each for each in function.__globals__.values() if isinstance(each, Dispatcher))
        files = {each.py_func.__code__.co_filename for each in called}
        source = _source_digest(*sorted(files | {function.__code__.co_filename}))
        return f"{function.__module__}.{function.__qualname__}.{source}-{_processor()}"

    def load_overload(self, types: Any, target_context: Any) -> Any:
        """Return the code for some types, None where it is not there in full."""
        # What else numba would load here, all of its library, is needed for compiling only.
        runtime: Any = rtsys
        runtime.initialize(target_context)
        rebuild: Any = CompileResult._rebuild
        for folder in kernel_folders():
            with suppress(Exception):  # whatever a damaged file raises: it is compiled again
                content = (folder / self._file(types)).read_bytes()
                digest, code = content[:_DIGEST_BYTES], content[_DIGEST_BYTES:]
                if hashlib.sha256(code).digest() == digest:
                    return rebuild(target_context, *pickle.loads(code))
        return None

    def save_overload(self, types: Any, compiled: Any) -> None:
        """Write the code for some types where that can be done."""
        serialize: Any = dumps
        code = serialize(compiled._reduce())
        for folder in kernel_folders():
            temporary = folder / f".{uuid4().hex}"
            with suppress(OSError):
                folder.mkdir(parents=True, exist_ok=True)
                try:
                    temporary.write_bytes(hashlib.sha256(code).digest() + code)
                    temporary.replace(folder / self._file(types))
                finally:
                    temporary.unlink(missing_ok=True)
                if folder == IN_PACKAGE:
                    self._remove_outdated()
                return

    def _file(self, types: Any) -> str:
        return f"{self.name}.{_digest(types)}"

    def _remove_outdated(self) -> None:
        """Remove code of the function as it was before its file was changed."""
        function, _, current = self.name.rpartition(".")
        source = current.partition("-")[0]
        for path in IN_PACKAGE.glob(f"{function}.*-*.*"):
            if not path.name.startswith(f"{function}.{source}-"):
                path.unlink(missing_ok=True)


@cache
def _source_digest(*paths: str) -> str:
    return hashlib.sha256(b"".join(Path(path).read_bytes() for path in paths)).hexdigest()[:16]


@cache
def _processor() -> str:
    processor = cpu_target.target_context.codegen().magic_tuple()
    return _digest((processor, numba.__version__, sys.version_info[:2]))


def _digest(content: Any) -> str:
    return hashlib.sha256(repr(content).encode()).hexdigest()[:16]
