"""The language: pure and total. Knows text, syntax, symbols, projects, widths; refuses to know disk, time, threads."""

from nayru_lsp.asm.checks import check_file
from nayru_lsp.asm.evaluate import evaluate
from nayru_lsp.asm.facts import BitField, Fact, FactTable
from nayru_lsp.asm.flow import WidthState, widths_after, widths_before
from nayru_lsp.asm.parser import parse_line, parse_text
from nayru_lsp.asm.problem import Fix, Problem, Related, Severity
from nayru_lsp.asm.project import ParsedFile, Project, Root
from nayru_lsp.asm.symbols import Include, Reference, Symbol
from nayru_lsp.asm.syntax import Dialect, Line
from nayru_lsp.asm.text import SourceText, Span

__all__ = [
    "BitField", "Dialect", "Fact", "FactTable", "Fix", "Include", "Line", "ParsedFile", "Problem", "Project",
    "Reference", "Related", "Root", "Severity", "SourceText", "Span", "Symbol", "WidthState", "check_file",
    "evaluate", "parse_line", "parse_text", "widths_after", "widths_before",
]
