"""What a Hub of tests keeps: repositories, and the index of a Xet store."""

import dataclasses
import hashlib
import pathlib
import struct


@dataclasses.dataclass
class Blob:
    """A file at some commit; the content of a large one may be in the Xet store."""

    content: bytes | None
    sha256: str
    size: int
    large: bool

    @property
    def git_id(self):
        content = self.content if not self.large else self.sha256.encode()
        return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


class Repository:
    """Branches and tags that point to commits, which are dicts of path -> `Blob`."""

    def __init__(self, private=False):
        self.private, self.gated = private, False
        self.commits, self.parents, self.heads, self.tags = {}, {}, {}, {}
        self.commit("main", {}, None)

    def commit(self, branch, files, parent):
        listing = [(path, blob.sha256) for path, blob in sorted(files.items())]
        seed = repr((len(self.commits), parent, listing))
        oid = hashlib.sha1(seed.encode()).hexdigest()
        self.commits[oid], self.parents[oid], self.heads[branch] = files, parent, oid
        return oid

    def resolve(self, revision):
        return self.heads.get(revision) or self.tags.get(
            revision, revision if revision in self.commits else None
        )


def xet_hash(store, sha256):
    """The hash under which the Xet store has a file, from the store's index.

    A shard holds, behind a header of 48 bytes, one record a file: hash, flags,
    number of segments; then the segments, their checks if bit 31 of the flags is
    set, and if bit 30 is, the file's SHA-256. All in entries of 48 bytes.
    """
    for shard in pathlib.Path(store).rglob("*.mdb"):
        data = shard.read_bytes()
        position = 48
        while data[position : position + 32] != b"\xff" * 32:
            flags, segments = struct.unpack_from("<II", data, position + 32)
            entry = position
            position += 48 * (1 + segments * (2 if flags >> 31 else 1))
            if flags >> 30 & 1:
                if _xet_hex(data[position : position + 32]) == sha256:
                    return _xet_hex(data[entry : entry + 32])
                position += 48
    return None


def _xet_hex(data):
    """Xet spells a hash as four little-endian words."""
    return "".join(f"{word:016x}" for word in struct.unpack("<4Q", data))
