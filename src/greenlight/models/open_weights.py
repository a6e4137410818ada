"""An open-weight language model as it was published: where its files are, and how they are opened.

They lie in a folder, or in a repository of the Hugging Face hub, from which they are fetched once.
Weights are safetensors, and no code that comes with a model is run. What was found is named by the
SHA-256 of its files, so that an adapter meets the very base that it was trained on.
"""

from __future__ import annotations

import importlib
import importlib.util
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from greenlight import artifacts
from greenlight.core import fingerprint
from greenlight.core.errors import BadInput, MissingData, Tampered
from greenlight.ports import Progress

TRANSFORMERS, PEFT = "transformers>=5.24", "peft>=0.21"
MODULES = ("torch", "transformers", "peft")
"""What it takes."""
PLACES = "GREENLIGHT_BASES"
"""The variable that names a folder with models, each in a folder by its name."""
FILES = ("*.json", "*.safetensors", "*.txt", "*.model", "*.jinja")
"""What a model is made of: settings, weights, tokenizer, chat template."""
PLAIN = (
    "{{ bos_token }}{% for message in messages %}### {{ message['role'] }}\n"
    "{{ message['content'] }}\n\n{% endfor %}"
    "{% if add_generation_prompt %}### assistant\n{% endif %}"
)
"""How a conversation is written down for a model without a chat template of its own."""

_REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")
_TOKENIZERS = ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt")


class Base(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which model, as a bundle names it."""

    name: str
    """A folder, or a repository of the hub."""
    revision: str | None
    """The commit, where it came from the hub."""
    digest: str
    """Of its files' digests."""


class BaseFiles(msgspec.Struct, frozen=True, kw_only=True):
    """A model's files."""

    folder: Path
    base: Base


class Opened(NamedTuple):
    """A model that answers; its weights do not learn."""

    network: Any
    tokenizer: Any
    device: str


def need(name: str) -> Any:
    """The module of that name, one of `MODULES`.

    Raises:
        MissingData: one of them is not installed; the message says how to get them.
    """
    absent = missing()
    if absent:
        raise MissingData(
            f"open-weight models are trained and served with {', '.join(MODULES)}, of which "
            f"{', '.join(absent)} is not here: {command()} (where they are trained and where their "
            "model server runs; the gateway needs none of it)"
        )
    return importlib.import_module(name)


def missing() -> list[str]:
    """Those of `MODULES` that are not installed."""
    return [module for module in MODULES if importlib.util.find_spec(module) is None]


def command() -> str:
    """What installs them."""
    from greenlight.models.torch_encoder import TORCH  # which brings what no gateway needs

    wanted = " ".join(f"'{wanted}'" for wanted in (TORCH, TRANSFORMERS, PEFT))
    return f"pip install {wanted}"


def find(
    name: str, revision: str | None, environ: Mapping[str, str], progress: Progress
) -> BaseFiles:
    """Find a model's files, and digest them.

    The first that is there: a folder of that name in `GREENLIGHT_BASES` (of an absolute one the
    last part counts), the folder `name` itself, the repository `name` of the hub (kept in its own
    cache; `HF_HOME`, `HF_TOKEN` and `HF_HUB_OFFLINE` are read by its library).

    Args:
        name: of a folder or a repository.
        revision: branch, tag or commit of a repository; its main branch without one.
        environ: `GREENLIGHT_BASES` is read.
        progress: called before files are fetched and digested.

    Raises:
        MissingData: it is nowhere, or its files are not all there; the message says what to do.
        BadInput: it is an adapter and no model.
    """
    folder, commit = look(name, environ), None
    if folder is None:
        folder = _fetched(name, revision, progress)
        commit = folder.name
        _check(folder, frozenset(_files(folder)))
    found = _files(folder)
    progress(0.0, f"digesting {name}")
    files = {each: artifacts.file_digest(path) for each, path in sorted(found.items())}
    digest = fingerprint.digest(files)
    return BaseFiles(folder=folder, base=Base(name=name, revision=commit, digest=digest))


def find_again(base: Base, environ: Mapping[str, str]) -> BaseFiles:
    """Find the very files that a bundle names.

    Raises:
        MissingData: as `find`.
        Tampered: what is there now is not what was there then.
    """
    found = find(base.name, base.revision, environ, lambda _share, _words: None)
    if found.base.digest != base.digest:
        raise Tampered(
            f"{found.folder}: the base model's files are {found.base.digest}, and the adapter was "
            f"trained on {base.digest}; bring those back, or train anew on these"
        )
    return found


def open_files(files: BaseFiles, *, device: str, bfloat16: bool) -> Opened:
    """Open a model for answering; nothing of it learns, and no code of its own is run.

    Args:
        files: where it lies.
        device: as torch calls it.
        bfloat16: hold its weights in 16 bits.

    Raises:
        MissingData: torch, transformers or peft are not installed.
        BadInput: its files are no causal language model that transformers can open.
    """
    transformers, torch = need("transformers"), need("torch")
    transformers.utils.logging.disable_progress_bar()
    kept: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
    folder = str(files.folder)
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder, **kept)
        network, loaded = transformers.AutoModelForCausalLM.from_pretrained(
            folder,
            dtype=torch.bfloat16 if bfloat16 else torch.float32,
            use_safetensors=True,
            output_loading_info=True,
            **kept,
        )
    except Exception as error:  # its own kinds of errors are many, and change
        raise BadInput(
            f"base {files.base.name}: no causal language model that transformers can open "
            f"({error}); name another",
            "base",
        ) from error
    problems = _problems(network, tokenizer, loaded)
    if problems:
        raise BadInput(f"base {files.base.name}: {'; '.join(problems)}; name another", "base")
    if tokenizer.chat_template is None:
        tokenizer.chat_template = PLAIN
    network.requires_grad_(False)
    return Opened(network.to(device).eval(), tokenizer, device)


def device_of(wanted: str) -> str:
    """The device that `auto`, `cpu` or `cuda` stands for: a GPU where torch finds one.

    Raises:
        MissingData: torch, transformers or peft are not installed.
        BadInput: a GPU is wanted, and torch finds none.
    """
    there = bool(need("torch").cuda.is_available())
    if wanted == "cuda" and not there:
        raise BadInput("device: torch finds no GPU here; set it to auto or cpu", "device")
    return "cuda" if there and wanted != "cpu" else "cpu"


def device_name(device: str) -> str:
    """What a device is, for the record."""
    return str(need("torch").cuda.get_device_name()) if device == "cuda" else device


def look(name: str, environ: Mapping[str, str]) -> Path | None:
    """The folder of a model on this machine; None where it would have to be fetched.

    Raises:
        MissingData: it is not whole, or nothing that could be fetched.
        BadInput: it is an adapter and no model.
    """
    folder = _folder(name, environ)
    if folder is not None:
        _check(folder, frozenset(_files(folder)))
    elif not _REPOSITORY.fullmatch(name):
        raise MissingData(
            f"base {name}: no such folder, and not the name of a repository (OWNER/NAME); correct "
            f"it, or set {PLACES} to the folder that it lies in"
        )
    return folder


def _files(folder: Path) -> dict[str, Path]:
    return {path.name: path for pattern in FILES for path in folder.glob(pattern)}


def _folder(name: str, environ: Mapping[str, str]) -> Path | None:
    places = environ.get(PLACES)
    own = Path(name).name if Path(name).is_absolute() else name
    tried = [Path(places).expanduser() / own] if places else []
    return next((path for path in (*tried, Path(name).expanduser()) if path.is_dir()), None)


def _fetched(name: str, revision: str | None, progress: Progress) -> Path:
    """The folder in the hub's cache, called by its commit."""
    need("transformers")
    hub = importlib.import_module("huggingface_hub")
    progress(0.0, f"fetching {name}")
    try:
        return Path(hub.snapshot_download(name, revision=revision, allow_patterns=list(FILES)))
    except (OSError, ValueError) as error:
        raise MissingData(
            f"base {name}: no such folder, and the hub does not give it ({error}); connect to the "
            f"network, set HF_TOKEN where it takes leave, or set {PLACES} to the folder that it "
            "lies in"
        ) from error


def _check(folder: Path, names: frozenset[str]) -> None:
    if "adapter_config.json" in names:
        raise BadInput(f"{folder}: an adapter, and no model; name its base", "base")
    missing = [
        what
        for what, absent in (
            ("config.json", "config.json" not in names),
            ("weights (*.safetensors)", not any(name.endswith(".safetensors") for name in names)),
            (f"a tokenizer ({' or '.join(_TOKENIZERS)})", names.isdisjoint(_TOKENIZERS)),
        )
        if absent
    ]
    if missing:
        raise MissingData(
            f"{folder}: no language model, for it lacks {', '.join(missing)}; save model and "
            "tokenizer there (save_pretrained), or name another base"
        )


def _problems(network: Any, tokenizer: Any, loaded: Mapping[str, Any]) -> list[str]:
    missing = sorted(loaded["missing_keys"])
    known = network.get_input_embeddings().num_embeddings
    return [
        problem
        for problem, found in (
            (f"its weights lack {', '.join(missing[:3])}", bool(missing)),
            ("its tokenizer names no end of an answer (eos_token)", tokenizer.eos_token is None),
            (
                f"its tokenizer has {len(tokenizer)} tokens, and the model knows {known}",
                len(tokenizer) > known,
            ),
        )
        if found
    ]
