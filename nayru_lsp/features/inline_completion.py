"""``textDocument/inlineCompletion``: judged offers as ghost text."""

from __future__ import annotations

from collections.abc import Iterable

from lsprotocol import types

from nayru_lsp.asm.project import ParsedFile
from nayru_lsp.contract import Offer
from nayru_lsp.convert import to_range
from nayru_lsp.snapshot import Snapshot

ACCEPTED = "nayru.accepted"


def inline_completion(snapshot: Snapshot, file: ParsedFile, offers: Iterable[Offer]) -> types.InlineCompletionList:
    """The editor runs `nayru.accepted` with the offer's id when the user takes it whole."""
    return types.InlineCompletionList(items=[
        types.InlineCompletionItem(
            insert_text=offer.text, range=to_range(file.text, offer.span, snapshot.encoding),
            command=types.Command(title="Nayru: accepted", command=ACCEPTED, arguments=[{"id": offer.id}]))
        for offer in offers
        # The protocol: the range stays on one line.
        if file.text.line_of(offer.span.start) == file.text.line_of(offer.span.end)])
