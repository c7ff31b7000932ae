"""Configuration: strict, with the path of what is wrong; the trust rule; null means "not set"."""

from __future__ import annotations

import pytest

from nayru_lsp.config import (
    Config,
    ConfigError,
    ProjectConfig,
    UserConfig,
    inside,
    merge_settings,
    parse_project,
    parse_user,
    project_schema,
    settings_schema,
)


@pytest.mark.parametrize(("text", "told"), [
    ('[ollama]\nnum_ctx = "4096"', "config.toml: ollama.num_ctx: Expected `int`, got `str`"),
    ("[ollama]\nnum_ctx = 1", "config.toml: ollama.num_ctx: Expected `int` >= 512"),
    ("[olama]", "config.toml: top level: Object contains unknown field `olama`"),
    ("[samples]\nenabled = 'false'", "config.toml: samples.enabled: Expected `bool`, got `str`"),
    ("[ghost]\nprovider = 'cloud'", "config.toml: ghost.provider"),
    ("x = ", "config.toml: Invalid value"),
    ("x = " + "[" * 5000, "config.toml: it is nested too deeply"),
    ("x = " + "1" * 5000, "config.toml: Exceeds the limit"),
    ("[samples]\nfolder = 'here'", "config.toml: samples.folder: 'here' must be an absolute path"),
    ("outside_include_paths = ['../b']", "config.toml: outside_include_paths"),
])
def test_errors_name_the_key(text: str, told: str) -> None:
    with pytest.raises(ConfigError, match="^" + "".join(f"[{c}]" if c in "().`" else c for c in told)):
        parse_user(text)


def test_home_is_expanded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/link")
    monkeypatch.setenv("USERPROFILE", "/home/link")
    user = parse_user("outside_include_paths = ['~/a']\nsamples = {folder = '~/b'}\nasar = {library = '~/c.so'}")
    assert (user.outside_include_paths, user.samples.folder, user.asar.library) == (
        ("/home/link/a",), "/home/link/b", "/home/link/c.so")
    for text in ("x = " + "[" * 5000, "x = " + "1" * 5000):
        with pytest.raises(ConfigError, match=r"nayru\.toml: "):
            parse_project(text)


def test_a_workspace_may_not_set_what_belongs_to_the_user() -> None:
    config, notices = parse_project(
        'plugins = ["evil"]\nlicence = "MIT"\n[ollama]\nurl = "http://elsewhere"\n[asar]\nlibrary = "/ws/libasar.so"')
    assert config == ProjectConfig(licence="MIT")
    assert [notice.split("`")[1] for notice in notices] == ["asar", "ollama", "plugins"]


@pytest.mark.parametrize(("text", "told"), [
    ("defines = { a = 5 }", 'defines.a: write its value in quotes, as Asar is to read it: a = "5"'),
    ("[[roots]]\npath = 'a.asm'\ndefines = { b = 0x10 }", 'roots[0].defines.b: write its value in quotes'),
    ("defines = { a = [] }", "defines"), ("defines = 5", "defines: Expected"), ("roots = 5", "roots: Expected"),
])
def test_a_define_is_text(text: str, told: str) -> None:
    with pytest.raises(ConfigError) as error:
        parse_project(text)
    assert told in str(error.value)


@pytest.mark.parametrize("text", [
    'base_image = "/etc/passwd"', 'base_image = "../x.sfc"', 'include_paths = ["a/../../b"]', 'prelude = "C:/x.asm"',
    '[[roots]]\npath = "..\\\\x.asm"', '[[roots]]\npath = "a.asm"\ninclude_paths = ["//host/share"]',
])
def test_a_workspace_reaches_nothing_outside(text: str) -> None:
    with pytest.raises(ConfigError, match="outside the workspace"):
        parse_project(text)


@pytest.mark.parametrize(("path", "ok"), [
    ("a/b.asm", True), ("./a", True), ("a/../b", True), ("", True), ("..", False), ("a/../../b", False),
    ("/a", False), ("\\\\host\\x", False), ("c:x", False), ("..foo/x", True),
])
def test_inside(path: str, ok: bool) -> None:
    assert inside(path) is ok


def test_editor_settings_lie_over_the_file_and_null_is_not_set() -> None:
    user = parse_user('[ollama]\nmodel = "mine"\nnum_ctx = 8192')
    merged = merge_settings(user, {
        "ollama": {"model": None, "num_ctx": 2048}, "ghost": {"enabled": False}, "server": {"path": "/x"},
        "trace": {"server": "off"}, "project": {"licence": "MIT"}})
    assert (merged.ollama.model, merged.ollama.num_ctx, merged.ghost.enabled) == ("mine", 2048, False)
    assert merge_settings(user, None) is user
    for wrong in ({"ghost": {"enabled": "no"}}, {"gost": {}}, [1], {"ghost": 3}):
        with pytest.raises(ConfigError, match=r"^editor settings: "):
            merge_settings(user, wrong)


def test_project_of_the_innermost_folder() -> None:
    outer, inner = ProjectConfig(licence="A"), ProjectConfig(licence="B")
    config = Config(UserConfig(), {"/ws": outer, "/ws/sub": inner})
    assert config.project_for("/ws/sub/a.asm") == inner
    assert config.project_for("/ws/subway/a.asm") == outer
    assert config.project_for("/else/a.asm") == ProjectConfig()


def test_schemas_cover_every_key() -> None:
    schema = settings_schema()
    assert set(schema["$defs"]["UserConfig"]["properties"]) == {*UserConfig.__struct_fields__, "project"}
    for name, definition in schema["$defs"].items():
        for key, value in definition["properties"].items():
            assert "description" in value or "$ref" in value or "allOf" in value, f"{name}.{key} has no description"
    assert "roots" in project_schema()["$defs"]["ProjectConfig"]["properties"]
