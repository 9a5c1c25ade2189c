"""One JSON document and named arrays in one file, in which no changed byte goes unseen.

The file is a NumPy archive (`numpy.load` reads it) without pickles, so that reading it runs no code. Its members are
stored as they are: none unfolds into more than it takes on the disk. The comment at its end holds the format's version
and the SHA-256 of every byte before the digest.
"""

import hashlib
import json
import math
import os
import re
import zipfile
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

VERSION = 8
DOCUMENT = "header"
SUFFIX = ".npy"
DIGEST_LENGTH = 64
SEAL = re.compile(rb"exact-estimators fit, version ([0-9]+), sha256 ([0-9a-f]{64})\Z")
LONGEST_SEAL = 128
BLOCK = 1 << 20
NUMBERS = "biuf"

Arrays = dict[str, np.ndarray]


class VersionError(ValueError):
    """A whole file of another version of the format."""


def packed(document: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> memoryview:
    """Return the bytes of an archive."""
    buffer = BytesIO()
    encoded = np.frombuffer(json.dumps(document).encode(), dtype=np.uint8)
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, array in {DOCUMENT: encoded, **arrays}.items():
            with archive.open(name + SUFFIX, "w", force_zip64=True) as member:
                np.lib.format.write_array(member, array, allow_pickle=False)
        archive.comment = b"exact-estimators fit, version %d, sha256 " % VERSION + b"0" * DIGEST_LENGTH
    digest = hashlib.sha256(buffer.getbuffer()[:-DIGEST_LENGTH]).hexdigest()
    buffer.seek(-DIGEST_LENGTH, os.SEEK_END)
    buffer.write(digest.encode())
    return buffer.getbuffer()


def unpacked(path: Path) -> tuple[Any, Arrays]:
    """Return the document and the arrays of a file.

    Raises ValueError where a byte is not as it was written, VersionError for a whole file of another version, and
    OSError where the file cannot be read. Never takes more memory than the size of the file.
    """
    with path.open("rb") as file:
        size = _check_seal(file)
        with zipfile.ZipFile(file) as archive:
            members = archive.infolist()
            names = [member.filename for member in members]
            if len(set(names)) < len(names) or not all(name.endswith(SUFFIX) for name in names):
                raise ValueError(f"expected arrays of different names, found {names}")
            if sum(member.file_size for member in members) > size or any(map(_is_compressed, members)):
                raise ValueError("its arrays are larger than the file")
            arrays = {member.filename.removesuffix(SUFFIX): _array(archive, member) for member in members}
    return json.loads(bytes(arrays.pop(DOCUMENT))), arrays


def _check_seal(file: BinaryIO) -> int:
    """The size of the file, if its digest is that of its content."""
    size = file.seek(0, os.SEEK_END)
    file.seek(max(size - LONGEST_SEAL, 0))
    seal = SEAL.search(file.read())
    if seal is None:
        raise ValueError("it does not end with the checksum of a fit")
    file.seek(0)
    digest, left = hashlib.sha256(), size - DIGEST_LENGTH
    while left:
        block = file.read(min(BLOCK, left))
        if not block:
            raise ValueError("it became shorter while it was read")
        digest.update(block)
        left -= len(block)
    if digest.hexdigest().encode() != seal[2]:
        raise ValueError("its content does not have the checksum that it ends with")
    if int(seal[1]) != VERSION:
        raise VersionError(int(seal[1]))
    return size


def _is_compressed(member: zipfile.ZipInfo) -> bool:
    return member.compress_type != zipfile.ZIP_STORED or member.compress_size != member.file_size


def _array(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> np.ndarray:
    """An array of numbers, whose own header says that it is as large as the member."""
    with archive.open(member) as file:
        if np.lib.format.read_magic(file) != (1, 0):
            raise ValueError(f"{member.filename}: not an array as it is written here")
        shape, _, dtype = np.lib.format.read_array_header_1_0(file)
        if dtype.kind not in NUMBERS or math.prod(shape) * dtype.itemsize != member.file_size - file.tell():
            raise ValueError(f"{member.filename}: {dtype} of shape {shape} in {member.file_size} bytes")
        file.seek(0)
        return np.asarray(np.lib.format.read_array(file, allow_pickle=False))
