"""A file system that lacks hard links, locks or room: a directory under another name, for a host of the box.

    python3 poor_disk.py links|locks DIRECTORY
    python3 poor_disk.py quota DIRECTORY BYTES

From then on the host sees the directory so; all others see it as it is.  It runs as root, with `mfusepy`
beside it.
"""

import errno
import os
import sys
from typing import Any

import mfusepy

KEPT = ("st_mode", "st_nlink", "st_uid", "st_gid", "st_size", "st_blocks")
FACTS = (
    "f_bavail",
    "f_bfree",
    "f_blocks",
    "f_bsize",
    "f_favail",
    "f_ffree",
    "f_files",
    "f_frsize",
    "f_namemax",
)


class PoorDisk(mfusepy.Operations):
    """Passes all on to a directory, but for what it lacks."""

    use_ns = True

    def __init__(self, directory: str) -> None:
        self.directory = os.open(directory, os.O_PATH)

    def init(self, path: str) -> None:
        """It is mounted: from now on paths of the file system are paths of ours."""
        os.fchdir(self.directory)
        os.chroot(".")

    def getattr(self, path: str, fh: int | None = None) -> dict[str, Any]:
        found = os.lstat(path)
        times = {name: getattr(found, f"{name}_ns") for name in ("st_atime", "st_mtime", "st_ctime")}
        return {name: getattr(found, name) for name in KEPT} | times

    def create(self, path: str, mode: int, fi: Any = None) -> int:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, mode)
        return self._own(path, descriptor)

    def mkdir(self, path: str, mode: int) -> int:
        os.mkdir(path, mode)
        return self._own(path, 0)

    def symlink(self, target: str, source: str) -> int:
        os.symlink(source, target)
        return self._own(target, 0)

    def _own(self, path: str, result: int) -> int:
        user, group, _ = mfusepy.fuse_get_context()
        os.lchown(path, user, group)
        return result

    def open(self, path: str, flags: int) -> int:
        return os.open(path, flags & ~os.O_EXCL)

    def read(self, path: str, size: int, offset: int, fh: int) -> bytes:
        return os.pread(fh, size, offset)

    def write(self, path: str, data: bytes, offset: int, fh: int) -> int:
        return os.pwrite(fh, data, offset)

    def truncate(self, path: str, length: int, fh: int | None = None) -> int:
        return os.truncate(path, length) or 0

    def fsync(self, path: str, datasync: int, fh: int) -> int:
        return os.fsync(fh) or 0

    def release(self, path: str, fh: int) -> int:
        return os.close(fh) or 0

    def readdir(self, path: str, fh: int) -> list[str]:
        return [".", "..", *os.listdir(path)]

    def rename(self, old: str, new: str) -> int:
        return os.rename(old, new) or 0

    def statfs(self, path: str) -> dict[str, int]:
        found = os.statvfs(path)
        return {name: getattr(found, name) for name in FACTS}

    def utimens(self, path: str, times: tuple[int, int] | None = None) -> int:
        return os.utime(path, ns=times) or 0

    def chmod(self, path: str, mode: int) -> int:
        return os.chmod(path, mode) or 0

    def unlink(self, path: str) -> int:
        return os.unlink(path) or 0

    def rmdir(self, path: str) -> int:
        return os.rmdir(path) or 0

    def readlink(self, path: str) -> str:
        return os.readlink(path)


class WithoutLocks(PoorDisk):
    """As Lustre that is mounted without `flock`."""

    def link(self, target: str, source: str) -> int:
        return os.link(source, target) or 0

    def lock(self, path: str, fh: int, cmd: int, lock: Any) -> int:
        raise OSError(errno.ENOSYS, "Function not implemented")


class WithoutLinks(WithoutLocks):
    """It lacks locks as well: as many a file system in user space."""

    def link(self, target: str, source: str) -> int:
        raise OSError(errno.EPERM, "Operation not permitted")


class WithQuota(PoorDisk):
    """The user may have so many bytes of files and no more, whatever `df` says."""

    def __init__(self, directory: str, most_bytes: str) -> None:
        super().__init__(directory)
        self.most_bytes, self.used_bytes = int(most_bytes), 0

    def init(self, path: str) -> None:
        super().init(path)
        self.used_bytes = used_bytes()

    def link(self, target: str, source: str) -> int:
        return os.link(source, target) or 0

    def write(self, path: str, data: bytes, offset: int, fh: int) -> int:
        growth = max(0, offset + len(data) - os.fstat(fh).st_size)
        if growth and self.used_bytes + growth > self.most_bytes:
            self.used_bytes = used_bytes()  # some may have been removed
            if self.used_bytes + growth > self.most_bytes:
                raise OSError(errno.EDQUOT, "Disk quota exceeded")
        self.used_bytes += growth
        return super().write(path, data, offset, fh)


def used_bytes() -> int:
    """The size of all files of the file system."""
    return sum(
        os.lstat(os.path.join(directory, name)).st_size
        for directory, _, names in os.walk(".")
        for name in names
    )


KINDS = {"links": WithoutLinks, "locks": WithoutLocks, "quota": WithQuota}

if __name__ == "__main__":
    lacks, place, *more = sys.argv[1:]
    kind = KINDS[lacks](place, *more)
    mfusepy.FUSE(kind, place, foreground=True, allow_other=True, default_permissions=True)
