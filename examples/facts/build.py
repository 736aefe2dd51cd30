"""Build the example's data: questions about the packages in this project's own environment, and their documents.

Every Python package ships a METADATA file: version, summary, author, licence, the Pythons it runs on, and its README.
These files are the knowledge; the questions ask for the facts in them.  Which version is installed was decided by
``locks/trl.txt``, after any model was trained, so no model can know it and no training keeps up with it: the answer has
to be looked up.  Fields of a record: `prompt`, `completion`, `topic` (the label) and `package` (the group, and the name
of its document).
"""

import argparse
import hashlib
import json
import random
import re
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

QUESTIONS = {
    "version": (
        "Which version of {package} is installed?",
        "What is the current version of {package}?",
        "We pin {package}. To which version?",
        "Version of {package}?",
    ),
    "summary": (
        "What is {package}, in one line?",
        "Give the one-line summary of {package}.",
        "What does the package {package} do?",
        "Summary of {package}?",
    ),
    "author": (
        "Who is the author of {package}?",
        "Who wrote {package}?",
        "Name the author of the package {package}.",
        "Author of {package}?",
    ),
    "python": (
        "Which Python versions does {package} require?",
        "On which Pythons does {package} run?",
        "What does {package} say about the Python version it requires?",
        "Python requirement of {package}?",
    ),
    "licence": (
        "Under which licence is {package}?",
        "May we ship {package}? Name its licence.",
        "What licence does the package {package} have?",
        "Licence of {package}?",
    ),
}
FIELDS = {
    "version": "Version",
    "summary": "Summary",
    "author": "Author",
    "python": "Requires-Python",
    "licence": "License-Expression",
}
SENTENCES = {
    "Version": "The installed version of {package} is {value}",
    "Summary": "The summary of {package} is: {value}",
    "Author": "The author of {package} is {value}",
    "Requires-Python": "The Python versions that {package} requires are {value}",
    "License-Expression": "The licence of {package} is {value}",
}
README_WORDS = 40  # of each README that go into the document


def packages(lock: Path) -> Iterator[metadata.Distribution]:
    """The installed packages that the lock names, at the version it names, by name. Local builds are left out."""
    pinned = dict(line.split("==") for line in lock.read_text("utf-8").splitlines() if "==" in line)
    for name, version in sorted(pinned.items(), key=lambda pin: pin[0].lower()):
        try:
            found = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            continue  # belongs to another system
        if found.version == version and found.metadata["Summary"]:
            yield found


def facts(package: metadata.Distribution) -> dict[str, str]:
    """What the package says of itself, by topic; what it does not say, or says oddly, is not asked."""
    found = {topic: " ".join((package.metadata[field] or "").split()) for topic, field in FIELDS.items()}
    return {topic: value for topic, value in found.items() if value and len(value) <= 80 and value != "UNKNOWN"}


def document(package: metadata.Distribution) -> str:
    """One sentence for each field that describes the package, then the beginning of its README, a paragraph each."""
    name = package.metadata["Name"]
    fields = {field: " ".join((package.metadata[field] or "").split()) for field in SENTENCES}
    said = [SENTENCES[field].format(package=name, value=value) for field, value in fields.items() if value]
    body = package.metadata.get_payload() or package.metadata["Description"] or ""
    plain = re.sub(r"<[^>]*>|!\[[^\]]*\]\(\S*\)|\[([^\]]*)\]\([^)]*\)|https?://\S+", r"\1", body)
    kept: list[str] = []
    for paragraph in (" ".join(part.split()) for part in re.split(r"\n\s*\n", plain)):
        if re.search(r"\w{3}", paragraph) and sum(len(part.split()) for part in kept) < README_WORDS:
            kept.append(paragraph)
    return "\n\n".join([*said, *kept]) + "\n"


def build(found: list[metadata.Distribution], seed: int) -> list[dict[str, str]]:
    """One question for each fact of each package."""
    draw = random.Random(seed)
    records = []
    for package in found:
        name = package.metadata["Name"]
        for topic, answer in facts(package).items():
            question = draw.choice(QUESTIONS[topic]).format(package=name)
            records.append({"prompt": question, "completion": answer, "topic": topic, "package": name})
    return records


def source_note(records: list[dict[str, str]], data: bytes) -> str:
    """Where the data comes from and under what licence, as Markdown."""
    return f"""# Source of the data

- {len(records)} questions about {len({record["package"] for record in records})} Python packages
- made by `data/build.py` from the METADATA files of the packages in `locks/trl.txt`, as installed here
- licence: the questions CC0-1.0; each document under the licence of its package
- sha256 of the records: `{hashlib.sha256(data).hexdigest()}`
"""


def write(path: Path, data: bytes) -> None:
    """Write beside and rename: an interrupted build leaves no half file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.part")
    temporary.write_bytes(data)
    temporary.replace(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path("data/raw/requests.jsonl"))
    parser.add_argument(
        "--knowledge", type=Path, help="folder for the documents; without it only the questions are written"
    )
    parser.add_argument("--lock", type=Path, default=Path("locks/trl.txt"))
    parser.add_argument("--seed", type=int, default=42)
    arguments = parser.parse_args()

    found = list(packages(arguments.lock))
    records = build(found, arguments.seed)
    data = "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records).encode()
    write(arguments.output, data)
    write(arguments.output.with_name("SOURCE.md"), source_note(records, data).encode())
    for package in found if arguments.knowledge else []:
        write(arguments.knowledge / f"{package.metadata['Name']}.md", document(package).encode())
    print(f"{arguments.output}: {len(records)} questions about {len(found)} packages")


if __name__ == "__main__":
    main()
