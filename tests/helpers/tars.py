"""Tar files with given members."""

import io
import tarfile


def write_tar(path, members, tar_format=tarfile.USTAR_FORMAT):
    """Write members, given as (name, bytes), and return the path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w", format=tar_format) as tar:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path
