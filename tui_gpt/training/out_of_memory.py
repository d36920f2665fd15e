"""Lack of memory on any device: how it is recognized, and what to do about it.

PyTorch raises it in many forms: its own exception, RuntimeErrors of cuBLAS and other libraries, and errors of the
compiler that wrap one of these. Everything else is not caught here.
"""

from __future__ import annotations

import gc
import re
from collections.abc import Callable, Iterator
from typing import TypeVar

import torch

T = TypeVar("T")

MESSAGES = re.compile(
    r"CUDA out of memory|CUDA error: out of memory|cudaErrorMemoryAllocation|MPS backend out of memory"
    r"|(CUBLAS|CUDNN|CUSOLVER|CUSPARSE)_STATUS_ALLOC_FAILED"
    r"|CUBLAS_STATUS_NOT_INITIALIZED when calling .?cublasCreate"  # which allocates a workspace
    r"|can't allocate memory|not enough memory: you tried to allocate|Cannot allocate memory"
)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether `error`, or one that it wraps, is a lack of memory."""
    return any(
        isinstance(cause, torch.OutOfMemoryError | MemoryError)
        or (isinstance(cause, RuntimeError) and MESSAGES.search(str(cause)) is not None)
        for cause in _causes(error)
    )


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """Yield the error and those that it wraps: by `raise … from`, or as `inner_exception` of torch's compiler."""
    seen: set[int] = set()
    waiting = [error]
    while waiting:
        cause = waiting.pop()
        if cause is None or id(cause) in seen:
            continue
        seen.add(id(cause))
        yield cause
        waiting += [cause.__cause__, getattr(cause, "inner_exception", None)]


def free_cached_memory() -> None:
    """Free what nothing refers to, and return the allocator's cached blocks to the device."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    if torch.backends.mps.is_available():
        torch.mps.empty_cache()


def retry_on_oom(action: Callable[[], T], reduce: Callable[[], object]) -> T:
    """Return the result of `action`. Each time it runs out of memory, call `reduce` and repeat it."""
    while True:
        try:
            return action()
        except Exception as error:
            if not is_out_of_memory(error):
                raise
        reduce()  # outside of the except block, where the tensors of the failed pass are freed


def skip_on_oom(action: Callable[[], T], skipped: Callable[[], None] = lambda: None) -> T | None:
    """Return the result of `action`, or None if it runs out of memory, after calling `skipped`."""
    try:
        return action()
    except Exception as error:
        if not is_out_of_memory(error):
            raise
    free_cached_memory()
    skipped()
    return None
