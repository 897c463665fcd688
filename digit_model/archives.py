"""ZIP archives: the names in them, and all of one in a folder."""

import atexit
import shutil
import tempfile
import zipfile
from pathlib import Path


def name_of(member: zipfile.ZipInfo) -> str:
    """
    Many programs write UTF-8 and do not say so, which `zipfile` takes for the names of DOS; some of Windows write
    backslashes.
    """
    name, says_utf_8 = member.filename.replace("\\", "/"), member.flag_bits & 0x800
    try:
        return name if says_utf_8 else name.encode("cp437").decode()
    except UnicodeError:
        return name


def unpack(path: Path) -> Path:
    """
    All files of an archive, in a folder that is there until Python ends. A member that points outside lands inside.

    Raises:
        zipfile.BadZipFile, zlib.error, OSError, RuntimeError, EOFError: If it is damaged, encrypted or too large.
    """
    folder = tempfile.mkdtemp(prefix="digits-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            member.filename = name_of(member)
            archive.extract(member, folder)
    return Path(folder)
