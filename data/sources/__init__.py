"""Sources: where raw contract tables come from, and the digest by which a run knows that they changed."""

from data.sources.base import DemoSource, Loaded, ParquetSource, Piece, Source, digest
from data.sources.mapping import Sources
from data.sources.source import FilesSource

__all__ = ["DemoSource", "FilesSource", "Loaded", "ParquetSource", "Piece", "Source", "Sources", "digest"]
