"""What must not be in a repository, and what must be known before anything is shipped."""

import re
from collections.abc import Iterable

from tunesmith import git
from tunesmith.doctor.rule import NOTE, Checkup, Rule

MAX_BYTES = 2_000_000  # longer files are data
PICKLED = (".pkl", ".pickle", ".joblib", ".pt", ".pth", ".ckpt", ".npy", "pytorch_model.bin", "adapter_model.bin")
ALLOWED = "pragma: allowlist secret"  # on a line that only looks like one, as detect-secrets has it
SECRETS = {
    "an AWS key": re.compile(r"\b(AKIA|ASIA)(?![0-9A-Z]*EXAMPLE)[0-9A-Z]{16}\b"),
    "a Hugging Face token": re.compile(r"\bhf_[A-Za-z0-9]{30,}\b"),
    "an OpenAI-style key": re.compile(r"\bsk-[A-Za-z0-9_-]{20,}\b"),
    "a GitHub token": re.compile(r"\bgh[pousr]_[A-Za-z0-9]{36,}\b"),
    "a Weights & Biases key": re.compile(r"(?i)wandb_api_key\s*[=:]\s*[\"']?[0-9a-f]{40}\b"),
    "a private key": re.compile(r"-----BEGIN (?:[A-Z]+ )?PRIVATE KEY-----\s+[A-Za-z0-9+/=]{40,}"),
}


class NoSecrets(Rule):
    """No tracked file holds a secret."""

    code = "SAF001"
    why = "A pushed secret stays public, even if a later commit removes it."
    fix = "Revoke the secret, then move it to .env. Mark a false alarm with `pragma: allowlist secret` on its line."

    def check(self, project: Checkup) -> Iterable[str]:
        for name in project.tracked:
            path = project.path / name
            if path.is_symlink() or not path.is_file() or path.stat().st_size > MAX_BYTES:
                continue
            text = path.read_text(encoding="utf-8", errors="replace")
            lines = text.splitlines()
            for kind, pattern in SECRETS.items():
                for found in pattern.finditer(text):
                    number = text.count("\n", 0, found.start()) + 1
                    if ALLOWED not in lines[number - 1]:
                        yield f"{name}:{number}: looks like {kind}"


class LicencesStated(Rule):
    """The licences of the model and of the data are stated."""

    code = "SAF002"
    level = NOTE
    why = "A tuned model inherits the terms of both. The model card must state them."
    fix = "`tunesmith update --set licence=... --set data_source=...`. A custom model's card states its licence."

    def check(self, project: Checkup) -> Iterable[str]:
        for key, what in (("licence", "the data's licence"), ("data_source", "where the data come from")):
            if project.answers.get(key) == "not stated":
                yield f"{key}: {what} is not stated"
        model = str(project.answers.get("model", ""))
        if model and model not in project.catalogue.models:
            yield f"model: {model} is not in the catalogue, so its licence is not known here"


class NoPickles(Rule):
    """No pickled weights or objects are tracked."""

    code = "SAF003"
    why = "Loading a pickle runs its author's code. A safetensors file holds only numbers."
    fix = "Save weights as safetensors and remove the file from git (`git rm --cached`)."

    def check(self, project: Checkup) -> Iterable[str]:
        yield from (name for name in project.tracked if name.lower().endswith(PICKLED))


class NoConflictMarkers(Rule):
    """No tracked file holds conflict markers."""

    code = "SAF004"
    why = "A file with markers mixes two versions, and some formats still load it."
    fix = "Find the places with `git grep '^<<<<<<< '` and decide which version to keep."

    def check(self, project: Checkup) -> Iterable[str]:
        command = ("grep", "-l", "-z", "-I", "-E", "^(<<<<<<<|>>>>>>>) ")
        found = git.output(*command, cwd=project.path, allowed=(0, 1))[1].split(b"\0")[:-1]
        yield from (name.decode(errors="replace") for name in found)


class EnvironmentFileIgnored(Rule):
    """git ignores .env."""

    code = "SAF005"
    why = ".env holds keys, which `git add --all` must not commit."
    fix = "Add `.env` to .gitignore, or run `tunesmith doctor --fix`."

    def check(self, project: Checkup) -> Iterable[str]:
        ignored = git.output("check-ignore", "--quiet", ".env", cwd=project.path, allowed=(0, 1))[0] == 0
        if not ignored:
            yield ".gitignore does not name .env"

    def repair(self, project: Checkup) -> str:
        path = project.path / ".gitignore"
        text = project.text(".gitignore")
        path.write_text(text + ("" if not text or text.endswith("\n") else "\n") + ".env\n", encoding="utf-8")
        return "added .env to .gitignore"
