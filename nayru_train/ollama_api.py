"""The trainer's calls to Ollama: synchronous, to the configured address only, with one sentence for every failure.

Template, system text and parameters of what is created come from `nayru_lsp.prompt`, as for `nayru model create`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import httpx

from nayru_lsp import prompt
from nayru_lsp.assist import ollama_client
from nayru_lsp.config import OllamaConfig
from nayru_lsp.contract import ProviderError
from nayru_train.sample import file_hash


class OllamaError(Exception):
    """Ollama cannot do it now; ``str()`` is one sentence with what to do next."""


class Ollama:
    """One server. Use as a context manager."""

    def __init__(self, url: str, timeout: float) -> None:
        try:
            self.url = ollama_client.check_address(OllamaConfig(url=url))
        except ProviderError as error:
            raise OllamaError(str(error)) from None
        self._http = httpx.Client(base_url=self.url, trust_env=False, follow_redirects=False,
                                  timeout=httpx.Timeout(timeout, connect=3.0))

    def __enter__(self) -> Ollama:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def version(self) -> str:
        return str(self._ask("GET", "/api/version").get("version", ""))

    def digests(self) -> dict[str, str]:
        """Model name with its tag -> digest."""
        return {str(entry["name"]): str(entry["digest"]) for entry in self._ask("GET", "/api/tags").get("models") or ()}

    def digest(self, model: str) -> str:
        return self.digests().get(ollama_client.full_name(model), "")

    def show(self, model: str) -> dict[str, Any]:
        return self._ask("POST", "/api/show", {"model": model})

    def copy(self, source: str, destination: str) -> None:
        self._ask("POST", "/api/copy", {"source": source, "destination": destination})

    def delete(self, model: str) -> None:
        self._ask("DELETE", "/api/delete", {"model": model})

    def create(self, name: str, from_: str, *, adapter: str = "", licences: Sequence[str] = (), quantise: str = "",
               progress: Callable[[str], None] = lambda _: None) -> str:
        """Register ``name`` with the project's own template and system text; the result is its digest."""
        body: dict[str, Any] = {"model": name, "template": prompt.TEMPLATE, "system": prompt.SYSTEM,
                                "parameters": prompt.parameters(), "license": list(licences), "stream": False}
        folder = Path(from_)
        if folder.is_dir():
            body["files"] = self._upload(sorted([*folder.glob("*.safetensors"), *(
                path for path in folder.glob("*.json") if not path.name.endswith(".index.json"))]), progress)
        elif folder.is_file():
            body["files"] = self._upload([folder], progress)
        else:
            body["from"] = from_
        if adapter:
            body["adapters"] = self._upload([Path(adapter)], progress)
        if quantise:
            body["quantize"] = quantise
        self._ask("POST", "/api/create", body)
        return self.digest(name)

    def _upload(self, paths: Sequence[Path], progress: Callable[[str], None]) -> dict[str, str]:
        """File name -> blob digest. A blob that Ollama has is not sent again: it answers before it has read the body
        and closes the connection, which breaks the sending off."""
        out = {}
        for path in paths:
            if not path.is_file():
                raise OllamaError(f"there is no file {path}")
            digest = out[path.name] = f"sha256:{file_hash(path)}"
            if not self._has_blob(digest):
                progress(f"sending {path.name}, {path.stat().st_size / 1e6:.0f} MB")
                with path.open("rb") as data:
                    self._ask("POST", f"/api/blobs/{digest}", content=data)
        return out

    def _has_blob(self, digest: str) -> bool:
        try:
            return self._http.head(f"/api/blobs/{digest}").status_code == 200
        except httpx.HTTPError:
            return False

    def rendered(self, model: str, body: dict[str, Any]) -> str:
        """The prompt that Ollama's template makes of ``body``, without running the model."""
        answer = self._ask("POST", "/api/chat" if "messages" in body else "/api/generate",
                           {"model": model, **body, "stream": False, "_debug_render_only": True})
        info = answer.get("_debug_info") or {}
        return str(info.get("rendered_template", ""))

    def raw(self, model: str, text: str, options: dict[str, Any]) -> dict[str, Any]:
        """One answer to a prompt that is sent as it stands."""
        return self._ask("POST", "/api/generate", {"model": model, "prompt": text, "raw": True, "stream": False,
                                                   "options": options, "keep_alive": "5m"})

    def unload(self, model: str) -> None:
        self._ask("POST", "/api/generate", {"model": model, "keep_alive": 0})

    def _ask(self, method: str, path: str, body: dict[str, Any] | None = None, content: Any = None) -> dict[str, Any]:
        try:
            response = self._http.request(method, path, json=body, content=content)
        except (httpx.ConnectError, httpx.ConnectTimeout):
            raise OllamaError(f"Ollama does not run at {self.url}; start it with `ollama serve`, or name another with "
                              "register.url=ADDRESS") from None
        except httpx.TimeoutException:
            raise OllamaError(f"Ollama at {self.url} did not answer in time ({path})") from None
        except httpx.HTTPError as error:
            raise OllamaError(f"the answer of Ollama at {self.url} broke off ({path}): {error}") from None
        if response.status_code >= 300:
            raise OllamaError(f"Ollama refused {path} ({response.status_code}): {response.text.strip()[:200]}")
        try:
            answer = response.json() if response.content else {}
        except ValueError:
            answer = None
        if not isinstance(answer, dict):
            raise OllamaError(f"{self.url} answers, but not as Ollama does ({path})")
        return answer
