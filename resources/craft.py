"""Which craft decides: the digest of every file under trading/ and of what runs them.

A rule that is edited gives another digest, so that nothing made by the old one passes for the new one's.
"""

from __future__ import annotations

import hashlib
import platform
from functools import lru_cache
from pathlib import Path

import numpy as np

import trading


@lru_cache(maxsize=1)
def craft_sha() -> str:
    """Return the SHA-256 (hex) of the craft as this process has it: it reads the files once."""
    return sources_sha(f"{np.__version__} {platform.python_version()}")


def sources_sha(versions: str, *others: Path) -> str:
    """Return the SHA-256 (hex) of every file under trading/ as it stands now, of others, and of versions."""
    package = Path(trading.__file__).parent
    sha = hashlib.sha256(versions.encode())
    for path in sorted(package.rglob("*.py")):
        content = path.read_bytes()
        sha.update(f"\n{path.relative_to(package).as_posix()} {len(content)}\n".encode())
        sha.update(content)
    for path in others:
        sha.update(f"\n{path.name}\n".encode() + path.read_bytes())
    return sha.hexdigest()
