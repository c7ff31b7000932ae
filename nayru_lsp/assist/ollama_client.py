"""A fenced connection to one Ollama server: what is sent where, how long, how much is read, what errors say.

Built on `ollama.AsyncClient`, whose defaults would honour proxies, follow redirects, wait for ever, send
``OLLAMA_API_KEY`` to any host and read ``OLLAMA_HOST``. Here: only the configured address, this machine unless the
user allowed another, no redirect, no proxy, a timeout on everything, at most `MAX_ANSWER` bytes of any answer, and
every failure as a `ProviderError` whose text is one sentence with what to do next.

Importing the `ollama` package costs 0.3 s of CPU, so it happens before the first request (`preload`), not at start.
"""

from __future__ import annotations

import asyncio
import ipaddress
import json
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from nayru_lsp import prompt
from nayru_lsp.config import OllamaConfig
from nayru_lsp.contract import ProviderError

if TYPE_CHECKING:
    import httpx
    import ollama

MAX_ANSWER = 8 * 1024 * 1024    # bytes of one answer; 1,000 streamed tokens are 0.2 MB
CHECK_TIMEOUT = 3.0             # seconds for `show`, `tags` and `version`, which run no model
CREATE_TIMEOUT = 1800.0         # seconds between two signs of life while a model is being made


class Refused(ProviderError):
    """The configuration or the model is one that text must not be sent to. Never retried by itself."""


class Missing(ProviderError):
    """Ollama answers but has no such model."""


class Unreachable(ProviderError):
    """Nothing listens at the address."""


class Overdue(ProviderError):
    """No answer within the time."""


def check_address(config: OllamaConfig) -> str:
    """The server's address, or Refused: not an http(s) URL, or another machine that the user has not allowed."""
    parts = urlsplit(config.url if "://" in config.url else f"http://{config.url}")
    try:
        host, port = parts.hostname or "", parts.port
    except ValueError as error:
        raise Refused(f"ollama.url is no address: {error}") from None
    if parts.scheme not in ("http", "https") or not host or parts.query or parts.fragment:
        raise Refused("ollama.url must look like http://127.0.0.1:11434")
    if not _is_this_machine(host) and not config.allow_remote_host:
        raise Refused(f"ollama.url names another machine ({host}); set ollama.allow_remote_host = true to send "
                      "your code there")
    netloc = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{netloc}:{port or (443 if parts.scheme == 'https' else 11434)}{parts.path.rstrip('/')}"


def check_name(model: str) -> None:
    """Refused for a model reference that Ollama would pass on to its vendor's servers."""
    name = model.strip().lower()
    if not name or any(ord(c) <= 32 for c in name):
        raise Refused(f"ollama.model is no model name: {model!r}")
    tag = name.rpartition("/")[2].partition(":")[2]
    if name.endswith((":cloud", "-cloud")) or tag == "cloud":
        raise Refused(f"'{model}' runs on a remote service, not on this machine; set ollama.model to a local model")


def check_local(model: str, shown: dict[str, Any]) -> None:
    """Refused when `/api/show` says that the model runs elsewhere."""
    host, remote = shown.get("remote_host"), shown.get("remote_model")
    if host or remote:
        raise Refused(f"'{model}' runs on a remote service ({_short(str(host or remote), 60)}), not on this machine; "
                      "set ollama.model to a local model")


class Connection:
    """One server. Requests raise only ProviderError (or CancelledError); nothing is sent before the first one."""

    def __init__(self, config: OllamaConfig) -> None:
        self.config = config
        self.url = check_address(config)
        self._client: ollama.AsyncClient | None = None

    async def close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            await client._client.aclose()

    def client(self) -> ollama.AsyncClient:
        if self._client is None:
            self._client = _open(self.url, self.config)
        return self._client

    async def version(self) -> str:
        return str((await self._ask("GET", "/api/version")).get("version", "unknown"))

    async def show(self, model: str) -> dict[str, Any]:
        """What Ollama knows of ``model``. The client's own call drops ``system``, ``remote_host`` and its kin."""
        return await self._ask("POST", "/api/show", {"model": model}, model)

    async def digests(self) -> dict[str, str]:
        """Model name (with its tag) -> digest."""
        models = (await self._ask("GET", "/api/tags")).get("models")
        found = {}
        for entry in models if isinstance(models, list) else ():
            if isinstance(entry, dict) and isinstance(entry.get("digest"), str):
                found[str(entry.get("model") or entry.get("name"))] = entry["digest"]
        return found

    async def render(self, body: dict[str, Any], path: str = "/api/generate") -> str:
        """The prompt as Ollama would render it, without running the model (`_debug_render_only`)."""
        answer = await self._ask("POST", path, {**body, "_debug_render_only": True, "stream": False})
        info = answer.get("_debug_info")
        return str(info.get("rendered_template", "")) if isinstance(info, dict) else ""

    async def load(self, model: str, sample: str, options: dict[str, Any], timeout: float) -> Any:
        """Have the model in memory; the answer tells how many tokens ``sample`` makes (``prompt_eval_count``)."""
        async with self.translated(model, timeout), asyncio.timeout(timeout):
            return await self.client().generate(model=model, prompt=sample, raw=True, options=options, stream=False,
                                                keep_alive=keep_alive(self.config.keep_alive))

    async def stream(self, model: str, raw_prompt: str, options: dict[str, Any]) -> AsyncGenerator[Any, None]:
        """The answer's parts, in raw mode. Close the iterator to stop the model; the caller bounds the time."""
        parts = await self.client().generate(model=model, prompt=raw_prompt, raw=True, stream=True, options=options,
                                             keep_alive=keep_alive(self.config.keep_alive))
        async with aclosing(parts):  # type: ignore[type-var]
            async for part in parts:
                yield part

    async def _ask(self, method: str, path: str, body: dict[str, Any] | None = None, model: str = "") -> dict[str, Any]:
        async with self.translated(model, CHECK_TIMEOUT), asyncio.timeout(CHECK_TIMEOUT):
            http = self.client()._client
            response = await http.request(method, path, json=body)
            response.raise_for_status()
            answer = response.json()
            if not isinstance(answer, dict):
                raise ValueError("not an object")
            return answer

    @asynccontextmanager
    async def translated(self, model: str, timeout: float) -> AsyncIterator[None]:
        """Turn whatever the client raises into a ProviderError that says what to do."""
        import httpx
        import ollama
        try:
            yield
        except ProviderError:
            raise
        except ollama.ResponseError as error:
            raise self._refusal(model, error.status_code, error.error) from error
        except httpx.HTTPStatusError as error:
            text = "" if not error.response.is_closed else _body(error.response)
            raise self._refusal(model, error.response.status_code, text) from error
        except (TimeoutError, httpx.TimeoutException) as error:
            if isinstance(error, (httpx.ConnectTimeout, httpx.PoolTimeout)):
                raise Unreachable(f"Ollama at {self.url} cannot be reached; start it with `ollama serve`") from error
            raise Overdue(f"Ollama at {self.url} did not answer within {timeout:g} s") from error
        except (ConnectionError, httpx.ConnectError) as error:
            raise Unreachable(f"Ollama does not run at {self.url}; start it with `ollama serve`, or set "
                              "ollama.url") from error
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, OSError) as error:
            raise ProviderError(f"the answer of Ollama at {self.url} broke off ({_short(str(error), 80)}); "
                                "see Ollama's own log") from error
        except (ValueError, TypeError, AttributeError, KeyError, RecursionError) as error:
            raise ProviderError(f"{self.url} answers, but not as Ollama does; check ollama.url") from error

    def _refusal(self, model: str, status: int, text: str) -> ProviderError:
        said = _short(_error_text(text), 160)
        if status == 404 and model:
            return Missing(f"Ollama has no model '{model}'; `nayru model create` makes it")
        if 300 <= status < 400:
            return Refused(f"{self.url} answers with a redirect, and none is followed; check ollama.url")
        if status in (401, 403):
            return Refused(f"Ollama at {self.url} wants a key ({status}); set ollama.api_key")
        if status == 503:
            return ProviderError(f"Ollama is busy ({said}); it is asked again later")
        if status >= 500 or status == -1:
            return ProviderError(f"Ollama failed on '{model}' ({said}); see Ollama's own log")
        return ProviderError(f"Ollama refused the request ({status}: {said})")


def preload() -> None:
    """Import the client's package. 0.3 s of CPU: for a thread, not for the event loop."""
    import ollama

    assert ollama.AsyncClient is not None


def keep_alive(setting: str) -> str | int:
    """Ollama takes "30m" as text but a bare number of seconds (-1: for ever) only as a number."""
    try:
        return int(setting)
    except ValueError:
        return setting


async def create(config: OllamaConfig, *, name: str = "", from_: str = prompt.BASE, adapter: str = "",
                 licences: Sequence[str] = (), quantize: str = "",
                 progress: Callable[[str], None] = lambda _: None) -> str:
    """Register a model under ``name`` (default: the configured one) and return its digest.

    ``from_``: an Ollama model, a GGUF file or a folder of safetensors; ``adapter``: a GGUF LoRA; ``quantize``: for
    instance "q4_K_M". Raises ProviderError; Missing when the base model is not there (it is never pulled unasked).
    """
    name = name or config.model
    check_name(name)
    connection = Connection(config)
    try:
        from_path = Path(from_)
        parts: dict[str, Any] = {}
        if from_path.is_dir():
            parts["files"] = await _upload(connection, _model_files(from_path), progress)
        elif from_path.is_file():
            parts["files"] = await _upload(connection, [from_path], progress)
        elif from_.startswith((".", "/", "~")) or "\\" in from_ or from_.lower().endswith((".gguf", ".safetensors")):
            raise ProviderError(f"there is no file or folder {from_}")
        else:
            check_name(from_)
            try:
                check_local(from_, await connection.show(from_))
            except Missing:
                size = f" ({prompt.BASE_SIZE})" if from_ == prompt.BASE else ""
                raise Missing(f"Ollama lacks the base model; `ollama pull {from_}` brings it{size}") from None
            parts["from_"] = from_
        if adapter:
            if not Path(adapter).is_file():
                raise ProviderError(f"there is no adapter file {adapter}")
            parts["adapters"] = await _upload(connection, [Path(adapter)], progress)
        async with connection.translated(from_, CREATE_TIMEOUT):
            steps = await connection.client().create(
                model=name, template=prompt.TEMPLATE, system=prompt.SYSTEM, parameters=prompt.parameters(),
                license=list(licences) or None, quantize=quantize or None, stream=True, **parts)
            async with aclosing(steps):  # type: ignore[type-var]
                async for step in steps:
                    if step.status:
                        progress(_short(step.status, 120))
        return (await connection.digests()).get(full_name(name), "")
    finally:
        await connection.close()


def full_name(model: str) -> str:
    """The name with its tag, as `/api/tags` lists it."""
    return model if ":" in model.rpartition("/")[2] else f"{model}:latest"


async def _upload(connection: Connection, files: Sequence[Path], progress: Callable[[str], None]) -> dict[str, str]:
    digests = {}
    for file in files:
        progress(f"sending {file.name}")
        async with connection.translated("", CREATE_TIMEOUT):
            digests[file.name] = await connection.client().create_blob(file)
    return digests


def _model_files(folder: Path) -> list[Path]:
    """What Ollama reads of a folder of safetensors."""
    found = sorted(p for pattern in ("*.safetensors", "*.json", "tokenizer.model") for p in folder.glob(pattern)
                   if not p.name.endswith(".index.json"))
    if not any(p.suffix == ".safetensors" for p in found):
        raise ProviderError(f"{folder} holds no safetensors; give a merged model's folder or a GGUF file")
    return found


def _open(url: str, config: OllamaConfig) -> ollama.AsyncClient:
    import httpx
    import ollama

    headers = {"accept-encoding": "identity"}
    if config.api_key:
        headers["authorization"] = f"Bearer {config.api_key}"
    # Each read has a limit of its own; the whole request is bounded by its caller with asyncio.timeout.
    timeout = httpx.Timeout(max(config.generate_timeout, config.complete_timeout, CHECK_TIMEOUT),
                            connect=config.connect_timeout)
    transport = _bounded(httpx.AsyncHTTPTransport(verify=url.startswith("https"), trust_env=False))
    client = ollama.AsyncClient(url, trust_env=False, follow_redirects=False, timeout=timeout, headers=headers,
                                transport=transport)
    if not config.api_key:
        client._client.headers.pop("authorization", None)       # set from OLLAMA_API_KEY by the package
    return client


def _bounded(inner: httpx.AsyncBaseTransport) -> httpx.AsyncBaseTransport:
    """``inner``, reading at most `MAX_ANSWER` bytes of an answer, and none that unpacks to more than was sent."""
    import httpx

    class Stream(httpx.AsyncByteStream):
        def __init__(self, stream: httpx.AsyncByteStream) -> None:
            self.stream = stream

        async def __aiter__(self) -> AsyncIterator[bytes]:
            left = MAX_ANSWER
            async for data in self.stream:
                left -= len(data)
                if left < 0:
                    raise httpx.RemoteProtocolError(f"more than {MAX_ANSWER >> 20} MB came")
                yield data

        async def aclose(self) -> None:
            await self.stream.aclose()

    class Transport(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            response = await inner.handle_async_request(request)
            assert isinstance(response.stream, httpx.AsyncByteStream)
            if response.headers.get("content-encoding", "identity").lower() != "identity":
                await response.stream.aclose()
                raise httpx.RemoteProtocolError("a packed answer came, which was not asked for")
            response.stream = Stream(response.stream)
            return response

        async def aclose(self) -> None:
            await inner.aclose()

    return Transport()


def _is_this_machine(host: str) -> bool:
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        return False


def _body(response: httpx.Response) -> str:
    try:
        return response.text
    except Exception:       # the body may not have been read; the status says enough
        return ""


def _error_text(text: str) -> str:
    try:
        answer = json.loads(text)
    except (ValueError, RecursionError):
        return text
    error = answer.get("error") if isinstance(answer, dict) else None
    if isinstance(error, dict):
        error = error.get("message")
    return str(error) if error else text


def _short(text: str, limit: int) -> str:
    """One printable line of a text that a server sent."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text[: 4 * limit]).split())
    return line if len(line) <= limit else line[: limit - 1] + "…"
