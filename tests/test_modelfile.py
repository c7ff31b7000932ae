"""Modelfile.nayru, prompt.py and what a real Ollama renders from them are one and the same text."""

from __future__ import annotations

import asyncio
import os
import subprocess
from typing import Any

import pytest

from nayru_lsp import prompt
from nayru_lsp.assist.ollama_client import Connection
from nayru_lsp.contract import Fragment
from tests.kit import REPOSITORY, require
from tests.ollama_server import OllamaServer, ollama_server

__all__ = ["ollama_server"]


def test_the_file_is_what_prompt_py_makes() -> None:
    assert (REPOSITORY / "Modelfile.nayru").read_bytes() == prompt.modelfile().encode()


def test_the_recipe_says_what_the_project_promises() -> None:
    lines = prompt.modelfile().splitlines()
    assert "FROM qwen2.5-coder:7b-instruct" in lines
    assert [line for line in lines if line.startswith("PARAMETER") and "stop" not in line] == [
        "PARAMETER temperature 0.5", "PARAMETER top_p 0.85", "PARAMETER num_ctx 4096"]
    assert [line.split(" ", 2)[2] for line in lines if line.startswith("PARAMETER stop")] == [
        f'"{stop}"' for stop in prompt.STOPS]
    parameters = prompt.parameters()
    assert {name: value for name, value in prompt.PARAMETERS if name != "stop"} == {
        name: str(value) for name, value in parameters.items() if name != "stop"}
    for word in ("65816", "SNES", "addressing mode", "LoROM", "HiROM", "registers"):
        assert word in prompt.SYSTEM


def test_variants() -> None:
    made = prompt.modelfile("./merged model", adapter="/tmp/lora.gguf", licences=["Apache-2.0", "MIT\nby nobody"])
    assert "\nFROM ./merged model\nADAPTER /tmp/lora.gguf\n" in made
    assert made.endswith('\nLICENSE """Apache-2.0"""\n\nLICENSE """MIT\nby nobody"""\n')
    assert made.replace("./merged model\nADAPTER /tmp/lora.gguf", prompt.BASE).startswith(prompt.modelfile())


@pytest.mark.parametrize("bad", [
    {"from_": "a\nSYSTEM x"}, {"from_": " "}, {"adapter": "x\r"}, {"licences": ['""" SYSTEM']}])
def test_text_that_would_break_out_of_its_place_is_refused(bad: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="Modelfile"):
        prompt.modelfile(**bad)


CHATS = [
    [prompt.wish("wait for vertical blank")],
    [prompt.wish("copy\n64 bytes", path="main.asm", before="Main:\n    SEP #$20\n", after="End:\n",
                 fragments=[Fragment("symbols", "; a { strange } \"text\" 'here' \\ 100 % <b> & {{ .System }}")])],
    [prompt.wish("x"), *prompt.repair("    LDA\n    RTS\n", ["LDA has no such addressing mode", "é ß 日本"])],
]


@pytest.mark.parametrize("turns", CHATS, ids=["plain", "context", "repair"])
def test_ollama_renders_the_chat_as_we_do(ollama_server: OllamaServer, turns: list[prompt.Turn]) -> None:
    body = {"model": "nayru", "messages": [{"role": turn.role, "content": turn.text} for turn in turns]}
    assert _rendered(ollama_server, body, "/api/chat") == prompt.chat(turns)


def test_ollama_renders_a_single_wish_by_generate_as_we_do(ollama_server: OllamaServer) -> None:
    turn = prompt.wish("clear the zero page")
    assert _rendered(ollama_server, {"model": "nayru", "prompt": turn.text}) == prompt.chat([turn])


def test_ollama_renders_the_gap_as_we_do(ollama_server: OllamaServer) -> None:
    before, after = "Main:\n    LDA ", "\n    STA $10\n"
    body = {"model": "nayru", "prompt": before, "suffix": after}
    assert _rendered(ollama_server, body) == prompt.fim(before, after)


def test_the_file_itself_makes_the_same_model(ollama_server: OllamaServer) -> None:
    """`ollama create -f Modelfile.nayru` and our own create call leave the same template, system text, parameters."""
    recipe = ollama_server.folder / "Modelfile"
    recipe.write_text(prompt.modelfile("nayru"))
    env = {key: value for key, value in os.environ.items() if not key.upper().startswith("OLLAMA")}
    env |= {"OLLAMA_HOST": ollama_server.url, "HOME": str(ollama_server.folder)}
    done = subprocess.run([str(require("ollama")), "create", "from-file", "-f", str(recipe)], env=env,
                          capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    ours, theirs = (_show(ollama_server, name) for name in ("nayru", "from-file"))
    for key in ("template", "system"):
        assert ours[key] == theirs[key]
    assert sorted(ours["parameters"].splitlines()) == sorted(theirs["parameters"].splitlines())
    assert theirs["template"] == prompt.TEMPLATE and theirs["system"] == prompt.SYSTEM
    assert "insert" in theirs["capabilities"]


def test_a_template_that_differs_is_noticed(ollama_server: OllamaServer) -> None:
    """The canary of the parity tests: Ollama's rendering does depend on the template."""
    body = {"model": "nayru", "template": prompt.TEMPLATE.replace("assistant\n", "assistant"), "prompt": "x"}
    assert _rendered(ollama_server, body) != prompt.chat([prompt.Turn("user", "x")])


def _rendered(server: OllamaServer, body: dict[str, Any], path: str = "/api/generate") -> str:
    async def ask() -> str:
        connection = Connection(server.config())
        try:
            return await connection.render(body, path)
        finally:
            await connection.close()
    return asyncio.run(ask())


def _show(server: OllamaServer, model: str) -> dict[str, Any]:
    async def ask() -> dict[str, Any]:
        connection = Connection(server.config())
        try:
            return await connection.show(model)
        finally:
            await connection.close()
    return asyncio.run(ask())
