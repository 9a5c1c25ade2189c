"""Writing a file whole or not at all: an interrupt or a full disk leaves what was there."""

import os
import secrets
import stat
from contextlib import suppress
from pathlib import Path


def write_atomically(path: Path, content: str | bytes | memoryview) -> None:
    """Put content (text as UTF-8) in the place of a file.

    It is written beside the file under another name, and renamed when it is on the disk. As with `open`, links are
    followed, a new file has the permissions of the umask, one that was there keeps its own, and a device is written to.
    Raises OSError that names the path; what was there is then as it was.
    """
    target = Path(os.path.realpath(path))
    temporary = target.with_name(f".{secrets.token_hex(8)}.tmp")
    encoded = content.encode() if isinstance(content, str) else content
    before: os.stat_result | None = None
    try:
        with suppress(FileNotFoundError):
            before = target.stat()
        if before is not None and not stat.S_ISREG(before.st_mode):
            target.write_bytes(encoded)
            return
        if before is not None:
            target.open("r+b").close()  # renaming asks for no permission of the file's own
        with temporary.open("xb") as file:
            file.write(encoded)
            file.flush()
            os.fsync(file.fileno())
        if before is not None:
            _give(temporary, before)
        os.replace(temporary, target)
    except OSError as problem:
        kept = "" if before is None or not stat.S_ISREG(before.st_mode) else "; the file is as it was"
        raise OSError(problem.errno, f"{problem.strerror}{kept}", str(path)) from problem
    finally:
        with suppress(OSError):
            temporary.unlink()


def _give(temporary: Path, before: os.stat_result) -> None:
    """Set the owner, where this process may, and the permissions of a file that was there."""
    if hasattr(os, "chown"):
        with suppress(PermissionError):
            os.chown(temporary, before.st_uid, before.st_gid)
    temporary.chmod(stat.S_IMODE(before.st_mode))
