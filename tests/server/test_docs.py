"""docs/settings.md agrees with the Structs, docs/commands.md with what the server announces and the command line
takes. ``python -m tests.server.test_docs`` writes the tables of docs/settings.md anew."""

from __future__ import annotations

import re
from pathlib import Path

from nayru_lsp import __main__ as command_line
from nayru_lsp.config import settings_page

DOCS = Path(__file__).resolve().parents[2] / "docs"
_MADE = re.compile(r"(?<=<!-- settings: begin -->\n\n).*(?=\n<!-- settings: end -->)", re.DOTALL)


def test_settings_page() -> None:
    text = (DOCS / "settings.md").read_text(encoding="utf-8")
    found = _MADE.search(text)
    assert found is not None and found.group() == settings_page(), "run python -m tests.server.test_docs"


def test_commands_page() -> None:
    from nayru_lsp.server import COMMANDS, STATUS

    text = (DOCS / "commands.md").read_text(encoding="utf-8")
    for name in (*COMMANDS, STATUS):
        assert f"`{name}`" in text, f"docs/commands.md does not name {name}"
    actions = command_line._parser()._subparsers
    assert actions is not None
    for name in actions._group_actions[0].choices or ():
        assert f"`nayru {name}" in text, f"docs/commands.md does not name nayru {name}"


if __name__ == "__main__":
    page = DOCS / "settings.md"
    page.write_text(_MADE.sub(lambda _: settings_page(), page.read_text(encoding="utf-8")), encoding="utf-8")
