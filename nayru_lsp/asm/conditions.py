"""Conditions, loops and assertions: which lines count, and which one is next."""

from __future__ import annotations

import re
from array import array
from contextlib import suppress
from typing import Any

from nayru_lsp.asm.arithmetic import Unknown, Wrong
from nayru_lsp.asm.compiled import BAD, CONTROL, Assertion, Block, Words, blocks_of_text, words_of
from nayru_lsp.asm.defines import DEFINING, Defines
from nayru_lsp.asm.expansion import Fatal
from nayru_lsp.asm.prepared import folded
from nayru_lsp.asm.state import Drop, Frame, Loop

_CONTROL_WORD = re.compile(r"(?i)(?:^|: )(?:if|elseif|else|endif|while|endwhile|for|endfor)\b")
_ASSIGNED = re.compile(r"!\{?(\w+)\}?" + DEFINING.pattern, re.ASCII)
_SAYS = re.compile(r"(?i)(?:print|error|warn|assert|warnings)\b|$")      # changes nothing but what Asar says
_CONDITION_OPERATORS = frozenset({"<", ">", "<=", ">=", "==", "!=", "="})


class NotKnown:
    """In place of the words of a condition: what they are is not known."""

    def __init__(self, reason: str) -> None:
        self.reason = reason


class Conditions(Defines):
    """``numif`` levels are open, ``numtrue`` of them hold: where the two differ, lines do not count."""

    def control(self, frame: Frame, block: Block) -> None:
        word, words = block[2], block[3]
        skipped = type(words) is tuple      # a line that was not expanded
        more = words[1] if skipped else frame.at < len(frame.blocks)
        if not frame.online and word in ("if", "while", "for", "assert"):
            return
        if word == "assert":
            if self.numif == self.numtrue:
                self.later(words)
            return
        if word in ("if", "while", "for"):
            self.open_condition(frame, word, words, skipped, more)
            return
        if self.record is not None and self.numif <= self.record.frame.conditions:
            self.record = None      # it belongs to an `if` outside of the call
        if word == "elseif":
            self.else_if(frame, words, skipped, more)
        elif word == "else":
            frame.online = True
            if not self.numif:
                raise Wrong("misplaced_else", "there is no `if` for this `else`")
            if self.loops[self.numif - 1].kind != "if":
                raise Wrong("else_in_while_loop", "`else` belongs to an `if`, this is a loop")
            if self.numif == self.numtrue:
                self.numtrue -= 1
            elif self.numif == self.numtrue + 1 and not self.else_done.get(self.numif):
                self.numtrue += 1
                self.else_done[self.numif] = True
        else:
            if frame.fake:
                frame.fake -= 1
            if self.numif <= (0 if self.modern else frame.conditions):
                raise Wrong("misplaced_endif", f"there is no `{word[3:]}` for this `{word}`")
            loop = self.loops.get(self.numif - 1)
            if self.modern and loop is not None:
                if word != "end" + loop.kind:
                    raise Wrong("misplaced_endif", f"what is open here is closed by `end{loop.kind}`")
                if loop.kind == "for" and more:
                    self.problem("bad_single_line_for", "nothing stands behind `endfor` on its line")
                    loop.again = False
            self.close_condition()
            if loop is not None and loop.kind != "if" and loop.again:
                if loop.kind == "for":
                    self.set_define(loop.variable, loop.backup)
                if loop.kind == "for" or loop.row != frame.index:
                    frame.jump = loop.row

    def close_condition(self) -> None:
        self.else_done.pop(self.numif, None)
        if self.numif == self.numtrue:
            self.numtrue -= 1
        self.numif -= 1
        loop = self.loops.get(self.numif)
        if loop is not None and not (loop.kind == "for" and loop.again):
            del self.loops[self.numif]      # what is over has no say in what follows
        if self.unsure is not None and self.numif < self.unsure:
            self.end_unsure()

    def open_condition(self, frame: Frame, word: str, words: Any, skipped: bool, more: bool) -> None:
        if word == "if" and more and not self.modern:
            frame.fake += 1
        level = self.numif
        loop = self.loops.get(level)
        going_on = (word == "for" and loop is not None and loop.kind == "for" and loop.current < loop.end
                    and loop.row == frame.index)
        if not going_on or loop is None:
            loop = self.loops[level] = Loop(frame.index, self.place, word)
        self.numif += 1
        if skipped:
            return
        self.else_done[self.numif] = False
        if word == "for" and type(words) is not NotKnown:
            if self.modern and frame.at > 1:
                self.numif -= 1
                frame.online = False
                raise Wrong("bad_single_line_for", "`for` is the first on its line")
            self.turn(loop, words, going_on)
            return
        try:
            if type(words) is NotKnown:
                raise Unknown(words.reason)
            holds = self.condition(words if type(words) is Words else words[1:], word)
        except Unknown as reason:
            if self.unsure is None:
                self.unsure, self.unsure_reason, self.unsure_matters = self.numif, str(reason), False
            self.else_done[self.numif] = True
            if more and word == "if":
                self.unsure_matters = True
                frame.online = False
            return
        except Wrong:
            if more:
                frame.online = False
            raise
        if holds:
            self.numtrue += 1
            self.else_done[self.numif] = True
            if word == "while":
                self.count_turn()
        elif more:
            frame.online = False
        loop.again = holds

    def count_turn(self) -> None:
        self.turns += 1
        if self.turns > self.limits.loops:
            self.problem("nayru_limit", f"this loop was cut after {self.limits.loops:,} turns")
            raise Fatal

    def turn(self, loop: Loop, words: list[str], going_on: bool) -> None:
        self.record = None
        if not going_on:
            text = " ".join(words[1:])
            match = re.match(r"(\w+) *= *(.+)\Z" if self.modern else r"(\w+) = (.+)\Z", text, re.ASCII)
            ends = match.group(2).split("..", 1) if match is not None else []
            if match is None or len(ends) != 2:
                raise self.drop("broken_for_loop", "write `for name = first..end`")
            first, end = (self.compiler.expression(part.strip()) for part in ends)
            if not self.is_static(first) or not self.is_static(end):
                raise self.drop("label_in_conditional", "a label cannot stand in a condition")
            loop.variable = match.group(1)
            loop.current, loop.end = first.integer(self), end.integer(self)
        else:
            loop.current += 1
        loop.again = loop.current < loop.end
        if loop.again:
            self.count_turn()
            self.numtrue += 1
            self.else_done[self.numif] = True
            loop.backup = self.defines.get(loop.variable)
            self.set_define(loop.variable, str(loop.current))

    def else_if(self, frame: Frame, words: Any, skipped: bool, more: bool) -> None:
        if not self.numif:
            raise Wrong("misplaced_elseif", "there is no `if` for this `elseif`")
        if self.numtrue != self.numif and self.numtrue + 1 != self.numif:
            return
        if self.loops[self.numif - 1].kind == "while":
            raise Wrong("elseif_in_while", "`elseif` belongs to an `if`, this is a loop")
        if self.numif == self.numtrue:
            self.numtrue -= 1
            return
        if self.else_done.get(self.numif):
            return
        try:
            if skipped:
                text = words[0]
                if frame.macro is not None and "<" in text:
                    text = self.with_arguments(frame, text)
                blocks = self.compiler.line(folded(self.resolved(text)))
                words = blocks[0][3] if blocks else []
            if type(words) is NotKnown:
                raise Unknown(words.reason)
            holds = self.condition(words, "elseif")
        except Unknown as reason:
            self.unsure, self.unsure_reason, self.unsure_matters = self.numif, str(reason), False
            self.else_done[self.numif] = True
            return
        if holds:
            if more:
                frame.online = True
            self.numtrue += 1
            self.else_done[self.numif] = True

    def condition(self, words: list[str], word: str) -> bool:
        """Does it hold? 1.91 reads words (``a == b && c``), 2.0 one expression."""
        if type(words) is Words:
            if words.version == self.functions_version:
                return words.holds
            record = self.record
            holds = self.condition(list(words), word)
            if words.pure and self.impure.isdisjoint(words.calls):
                words.version, words.holds = self.functions_version, holds
                self.record = record
            return holds
        self.record = None
        if not words:
            raise self.drop("broken_command" if self.modern else "broken_conditional", f"`{word}` needs a condition")
        if self.modern:
            expression = self.compiler.expression(" ".join(words))
            if word != "assert" and not self.is_static(expression):
                raise self.drop("label_in_conditional", "a label cannot stand in a condition")
            return int(expression.value(self)) != 0
        at = 0
        joiner = ""
        while True:
            if at >= len(words):
                raise self.drop("broken_conditional", f"this `{word}` ends too early")
            operator = words[at + 1] if at + 1 < len(words) else ""
            if operator in ("", "&&", "||"):
                text = words[at]
                negated = text.startswith("!")
                holds = (self.operand(text[1:] if negated else text, word) > 0) is not negated
                at += 1
            else:
                if at + 2 >= len(words) or operator not in _CONDITION_OPERATORS:
                    raise self.drop("broken_conditional", f"this `{word}` is not understood: write `a == b`, spaced")
                holds = _compared(self.operand(words[at], word), operator, self.operand(words[at + 2], word))
                at += 3
            operator = words[at] if at < len(words) else ""
            if not operator:
                return holds
            if operator not in ("&&", "||"):
                raise self.drop("broken_conditional", f"`{operator}` joins no conditions: write && or ||")
            if joiner and joiner != operator:
                raise self.drop("invalid_condition", "&& and || cannot be mixed in one condition")
            joiner = operator
            if holds is (operator == "||"):
                return holds
            at += 1

    def operand(self, text: str, word: str) -> int | float:
        expression = self.compiler.expression(text)
        if expression.names and word != "assert" and not self.is_static(expression):
            raise self.drop("label_in_conditional", "a label cannot stand in a condition")
        return expression.value(self)

    def later(self, words: Assertion) -> None:
        """An assertion may use every label: it is judged at the end, unless it asks for nothing and holds."""
        condition = words.condition
        if condition.pure and self.impure.isdisjoint(condition.calls):
            told = len(self.problems)
            with suppress(Drop, Unknown, Wrong):
                if self.condition(condition, "assert"):
                    return
            del self.problems[told:]
        self.record = None
        names: list[str] = []
        for text in [" ".join(condition)] if self.modern else condition:
            names.extend(self.compiler.expression(text).names)
        self.deferred.append((words, self.captured(tuple(names), condition.calls), self.place, self.pos, self.real))

    # --- branches that are not taken ----------------------------------------------------------------------------------

    def next_control(self, frame: Frame, index: int) -> int:
        """Inside a branch that is not taken: the next line that may end it."""
        lines = frame.lines
        if self.unsure is not None:
            return index
        nexts = lines.controls
        if nexts is None:
            nexts = lines.controls = _control_lines(lines, self.modern)
        found = nexts[index] if index < len(lines) else index
        if frame.macro is None and found > index:
            self.out._skipped.append((frame.file, index, found))
        return found

    def skipped_line(self, frame: Frame, text: str) -> tuple[Block, ...]:
        found = self.inactive.get(text)
        if found is None:
            found = self.inactive[text] = tuple(
                [((), CONTROL, words_of(part)[0].lower(), (part, more)) for part, more in control_parts(text)])
        if frame.macro is None:
            self.out._skipped.append((frame.file, frame.index, frame.index + 1))
        if self.unsure is not None:
            self.look_at_unsure(text)
        return found

    def unknown_line(self, text: str, reason: str) -> tuple[Block, ...]:
        """A line whose text is not known: what opens and closes conditions in it still does."""
        blocks: list[Block] = []
        for part in blocks_of_text(text):
            if _CONTROL_WORD.match(part):
                word = words_of(part)[0].lower()
                blocks.append(((), CONTROL, word, NotKnown(reason)))
            elif match := _ASSIGNED.match(part):
                self.poison(match.group(1))
            elif not _SAYS.match(part):
                blocks.append(((), BAD, "", reason))
        return tuple(blocks)

    def look_at_unsure(self, text: str) -> None:
        """A branch that may or may not be taken: what would it change?"""
        for part in blocks_of_text(text):
            match = _ASSIGNED.match(part)
            if match is not None:
                self.poison(match.group(1))
            elif not _SAYS.match(part) and not re.match(r"(?i)(?:if|elseif|else|endif|while|endwhile|endfor)\b", part):
                self.unsure_matters = True

    def end_unsure(self) -> None:
        self.unsure = None
        if self.unsure_matters:
            self.unsure_matters = False
            self.unknown(self.unsure_reason)
        else:
            self.reason_log.append(self.unsure_reason)


def control_parts(text: str) -> list[tuple[str, bool]]:
    """The blocks of a line that is not expanded whose first word opens or closes a condition, and whether more
    blocks follow them."""
    if not _CONTROL_WORD.search(text):
        return []
    parts = [part for part in blocks_of_text(text) if part]
    return [(part, number < len(parts) - 1) for number, part in enumerate(parts) if _CONTROL_WORD.match(part)]


def _control_lines(lines: list[str], modern: bool) -> array[int]:
    """For each line (and the end): the next one that may end a branch which is not taken, passing over conditions
    that open and close inside it."""
    count = len(lines)
    nexts = array("I", [count]) * (count + 1)
    above = [count]         # for each open condition, seen from below: its next `elseif`, `else` or `endif`
    nearest = count
    regular = True
    every = array("I", [count]) * (count + 1)
    for row in range(count - 1, -1, -1):
        text = lines[row]
        if text and _CONTROL_WORD.search(text):
            parts = control_parts(text)
            words = [part[:part.find(" ")].lower() if " " in part else part.lower() for part, _ in parts]
            if words:
                nearest = row
                depth, low, inline = 0, 0, 0
                for word, (_, more) in zip(words, parts, strict=True):
                    if word in ("if", "while", "for"):
                        depth += 1
                        inline += word == "if" and more and not modern
                    elif word.startswith("end"):
                        depth -= 1
                        inline -= inline > 0
                        low = min(low, depth)
                    else:
                        low = min(low, depth - 1)
                depth -= inline > 0
                if depth == 0 and low == 0:
                    pass                            # opens and closes in itself
                elif len(words) == 1 and depth == 1:
                    if len(above) > 1:
                        above.pop()
                    else:
                        regular = False
                elif len(words) == 1 and depth == -1:
                    above.append(row)
                elif len(words) == 1:
                    above[-1] = row                 # `else` and `elseif`
                else:
                    regular = False
        every[row] = nearest
        nexts[row] = above[-1]
    return nexts if regular else every


def _compared(left: float | int, operator: str, right: float | int) -> bool:
    if operator == ">":
        return left > right
    if operator == "<":
        return left < right
    if operator == ">=":
        return left >= right
    if operator == "<=":
        return left <= right
    return (left == right) is (operator != "!=")
