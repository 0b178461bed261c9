"""The shelf: which files and tables a mapping names, what each is called, and the digest of what it holds."""

import gzip
import hashlib
import json
import zlib
from dataclasses import replace
from pathlib import Path

from deltalake import DeltaTable

from data.errors import ConfigError
from data.sources.base import Piece, digest_of
from data.sources.database import database_piece
from data.sources.mapping import Files, Table
from data.sources.text import readable

_HEADER_BYTES = 65_536
"""Size above which a file is no header alone."""


class Shelf:
    """Where the files of a configuration lie.

    Parameters
    ----------
    folder
        Folder of the configuration; a relative path stays below it.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def pieces(self, contract: str, table: Table) -> list[Piece]:
        """Return one piece per file, or one for a database table, sorted by name.

        The digest of a piece covers the files that are joined to it: where a price list changes, its lines do too.

        Raises
        ------
        ConfigError
            A file is not there, or lies where it may not.
        ContractError
            A file cannot be read.
        """
        joined = [one.digest for join in table.join for one in self._parts(contract, join)]
        return [replace(one, digest=together(one.digest, *joined)) for one in self._parts(contract, table)]

    def name(self, path: Path) -> str:
        """Return a file's name below the configuration's folder, or its whole one elsewhere."""
        folder = self._folder.absolute()
        return str(path.relative_to(folder) if path.is_relative_to(folder) else path)

    def paths(self, files: Files) -> list[Path]:
        """Return the files that a path names, sorted.

        Raises
        ------
        ConfigError
            None is there, or one lies outside of the configuration's folder without an absolute path to it.
        """
        if files.path is None:
            return []
        pattern = Path(files.path)
        root = Path(pattern.anchor) if pattern.is_absolute() else self._folder
        relative = str(pattern.relative_to(root)) if pattern.is_absolute() else files.path
        exact = root / relative
        try:
            found = [exact] if exact.exists() else sorted(path for path in root.glob(relative) if path.is_file())
        except (ValueError, NotImplementedError, OSError):
            found = []
        if not found:
            raise ConfigError(f"no file {files.path!r} in {root}", "a file or a pattern of files", "correct path")
        for path in found:
            is_below = path.resolve().is_relative_to(self._folder.resolve())
            if not pattern.is_absolute() and not is_below:
                raise ConfigError(
                    f"{files.path!r} leaves {self._folder}", "files below the configuration", "give an absolute path"
                )
        return [path.absolute() for path in found]

    def _parts(self, contract: str, files: Files) -> list[Piece]:
        """Return the files of a table or a join by themselves, each with the digest of its own bytes."""
        if isinstance(files, Table) and files.rows:
            rows = [{key: str(value) for key, value in row.items()} for row in files.rows]
            return [Piece(contract, "rows of the configuration", together(json.dumps(rows)))]
        if files.connection is not None:
            digest, watermark = database_piece(files, None)
            return [Piece(contract, files.table or "query", digest, watermark)]
        return [Piece(contract, self.name(path), self._digest(path)) for path in self.paths(files)]

    def _digest(self, path: Path) -> str:
        """Return a file's digest; files without a line, from days when a shop is closed, differ by their names."""
        digest = _digest(path)
        return together(digest, self.name(path)) if path.is_file() and _is_a_header(path) else digest


def together(*parts: str) -> str:
    """Return one digest of several texts."""
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _is_a_header(path: Path) -> bool:
    """Say whether a file of text has one line at most."""
    if path.stat().st_size > _HEADER_BYTES or path.suffix not in {".csv", ".txt", ".tsv", ".gz"}:
        return False
    try:
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError, zlib.error):
        return False  # whoever reads the file says what is wrong with it
    return len(content.split()) > 0 and len(content.strip().splitlines()) <= 1


def _digest(path: Path) -> str:
    """Return a digest of a file, or of the version of a Delta table."""
    with readable(path):
        if path.is_dir():
            table = DeltaTable(str(path))
            return f"{table.version()}:{together(*sorted(table.file_uris()))}"
        return digest_of(path)
