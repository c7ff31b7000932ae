"""Files, include graph, roots and look-up tables; patched by block difference."""

from __future__ import annotations


class ParsedFile: ...


class Root: ...


class Project: ...
