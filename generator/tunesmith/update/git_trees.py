"""Trees of a git repository as values: read, changed and merged without touching its work tree or index."""

import os
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tunesmith import git

REMOVED_MODE = "0"
SYMLINK = "120000"
FILE, EXECUTABLE = "100644", "100755"
NOTHING: Mapping[str, str] = {}

# A user's own settings must not change what a merge gives.
MERGE_SETTINGS = (
    "-c",
    "merge.renames=true",
    "-c",
    "merge.directoryRenames=false",  # a file that the user added stays where the user put it
    "-c",
    "merge.conflictStyle=merge",
    "-c",
    "merge.renormalize=false",
)


@dataclass(frozen=True)
class Entry:
    """A file in a tree: its git mode and blob (a submodule's mode is 160000)."""

    mode: str
    oid: str


@dataclass(frozen=True)
class Stage:
    """An unresolved file: stage 1 is the old render's, 2 the user's, 3 the new render's."""

    path: str
    number: int
    entry: Entry


@dataclass(frozen=True)
class TextMerge:
    """What git makes of three trees: the tree (conflicted files hold markers) and what is left to resolve."""

    tree: str
    stages: tuple[Stage, ...]


@dataclass(frozen=True)
class Repository:
    """A repository's objects. ``scratch`` holds temporary index files; ``extra`` can lead new objects elsewhere."""

    root: Path
    scratch: Path
    extra: Mapping[str, str] = field(default_factory=dict)
    listed: dict[str, dict[str, Entry]] = field(default_factory=dict, repr=False)  # trees never change

    @classmethod
    def open(cls, root: Path, scratch: Path, *, read_only: bool) -> "Repository":
        """The repository at ``root``. ``read_only``: new objects go to ``scratch`` instead."""
        if not read_only:
            return cls(root, scratch)
        objects = scratch / "objects"
        objects.mkdir(exist_ok=True)
        own = git.run("rev-parse", "--path-format=absolute", "--git-path", "objects", cwd=root)
        extra = {"GIT_OBJECT_DIRECTORY": str(objects), "GIT_ALTERNATE_OBJECT_DIRECTORIES": _quoted(own)}
        return cls(root, scratch, extra)

    def run(self, *arguments: str, data: bytes | None = None, extra: Mapping[str, str] = NOTHING) -> str:
        """Stripped output of a git command on these objects."""
        return git.run(*arguments, cwd=self.root, extra={**self.extra, **extra}, data=data)

    def raw(self, *arguments: str, data: bytes | None = None) -> bytes:
        """Output of a git command on these objects, as it is."""
        return git.output(*arguments, cwd=self.root, extra=self.extra, data=data)[1]

    def entries(self, tree: str) -> dict[str, Entry]:
        """Every file of a tree by path."""
        if tree in self.listed:
            return self.listed[tree]
        found = self.listed[tree] = {}
        for line in self.raw("ls-tree", "-r", "-z", "--full-tree", tree).split(b"\0")[:-1]:
            facts, path = line.split(b"\t", 1)
            mode, _, oid = facts.decode().split(" ")
            found[os.fsdecode(path)] = Entry(mode, oid)
        return found

    def blobs(self, oids: Iterable[str]) -> dict[str, bytes]:
        """Contents by blob id."""
        wanted = list(dict.fromkeys(oids))
        listing = (
            self.raw("cat-file", "--batch", data="".join(f"{oid}\n" for oid in wanted).encode()) if wanted else b""
        )
        contents, position = {}, 0
        for oid in wanted:
            end = listing.index(b"\n", position)
            size = int(listing[position:end].split(b" ")[2])
            contents[oid] = listing[end + 1 : end + 1 + size]
            position = end + size + 2
        return contents

    def blob(self, content: bytes) -> str:
        """Id of a stored blob."""
        return self.run("hash-object", "-w", "--no-filters", "--stdin", data=content)

    def changed(self, tree: str, changes: Mapping[str, Entry | None]) -> str:
        """``tree`` with entries replaced, added, or (None) removed."""
        if not changes:
            return tree
        with self._index() as index:
            self.run("read-tree", tree, extra=index.extra)
            nothing = Entry(REMOVED_MODE, "0" * len(tree))
            removals = [(path, nothing) for path, entry in changes.items() if entry is None]
            additions = [(path, entry) for path, entry in changes.items() if entry is not None]
            self._index_entries([*removals, *additions], index.extra)
            return self.run("write-tree", extra=index.extra)

    def snapshot(self, folder: Path) -> str:
        """Tree of the files in a folder: exact bytes, no filters, nothing ignored."""
        paths = sorted(path for path in folder.rglob("*") if path.is_symlink() or path.is_file())
        regular = [path for path in paths if not path.is_symlink()]
        listing = "".join(f"{path}\n" for path in regular).encode()
        oids = self.run("hash-object", "-w", "--no-filters", "--stdin-paths", data=listing).split() if regular else []
        entries = [
            (path.relative_to(folder).as_posix(), Entry(EXECUTABLE if os.access(path, os.X_OK) else FILE, oid))
            for path, oid in zip(regular, oids, strict=True)
        ]
        for path in paths:
            if path.is_symlink():
                target = self.blob(os.fsencode(os.readlink(path)))
                entries.append((path.relative_to(folder).as_posix(), Entry(SYMLINK, target)))
        with self._index() as index:
            self._index_entries(entries, index.extra)
            return self.run("write-tree", extra=index.extra)

    def graft(self, whole: str, prefix: str, part: str) -> str:
        """``whole`` with the tree at ``prefix`` (empty, or a path ending in a slash) replaced by ``part``."""
        if not prefix:
            return part
        head, _, rest = prefix.partition("/")
        lines = self.raw("ls-tree", "-z", whole).split(b"\0")[:-1]
        name = os.fsencode(head)
        inner = next((line.split(b"\t")[0].split(b" ")[2].decode() for line in lines if _named(line, name)), "")
        grafted = self.graft(inner or self.run("mktree", data=b""), rest, part)
        kept = [line for line in lines if not _named(line, name)]
        kept.append(f"040000 tree {grafted}\t".encode() + name)
        return self.run("mktree", "-z", data=b"".join(line + b"\0" for line in kept))

    def merge(self, old: str, user: str, new: str) -> TextMerge:
        """git's merge of three trees, with renames followed."""
        base = self._commit(old)
        ours, theirs = self._commit(user, base), self._commit(new, base)
        command = ("merge-tree", "--write-tree", "-z", "--no-messages", ours, theirs)
        _, out = git.output(*MERGE_SETTINGS, *command, cwd=self.root, extra=self.extra, allowed=(0, 1))
        tree, *lines = out.split(b"\0")
        stages = []
        for line in filter(None, lines):
            facts, path = line.split(b"\t", 1)
            mode, oid, number = facts.decode().split(" ")
            stages.append(Stage(os.fsdecode(path), int(number), Entry(mode, oid)))
        return self._named(TextMerge(tree.decode(), tuple(stages)), {f"~{ours}": "~yours", f"~{theirs}": "~template"})

    def _named(self, merged: TextMerge, suffixes: Mapping[str, str]) -> TextMerge:
        """git keeps two files of one name apart by a commit's id at their ends; say whose file it is instead."""

        def named(path: str) -> str:
            suffix = next((one for one in suffixes if path.endswith(one)), "")
            return path.removesuffix(suffix) + suffixes[suffix] if suffix else path

        if all(named(stage.path) == stage.path for stage in merged.stages):
            return merged
        changes: dict[str, Entry | None] = {}
        for path, entry in self.entries(merged.tree).items():
            if named(path) != path:
                changes |= {path: None, named(path): entry}
        stages = (Stage(named(stage.path), stage.number, stage.entry) for stage in merged.stages)
        return TextMerge(self.changed(merged.tree, changes), tuple(stages))

    def _commit(self, tree: str, *parents: str) -> str:
        """A commit that no branch will ever hold; a merge wants commits. Dates are fixed: equal trees, equal ids."""
        who = {f"GIT_{role}_{what}": text for role in ("AUTHOR", "COMMITTER") for what, text in _NOBODY.items()}
        options = [word for parent in parents for word in ("-p", parent)]
        return self.run("commit-tree", tree, *options, "-m", "side of a merge", extra=who)

    def _index_entries(self, entries: Iterable[tuple[str, Entry]], extra: Mapping[str, str]) -> None:
        lines = b"".join(
            f"{entry.mode} {entry.oid} 0\t".encode() + os.fsencode(path) + b"\0" for path, entry in entries
        )
        self.run("update-index", "--add", "--replace", "-z", "--index-info", data=lines, extra=extra)

    def _index(self) -> "_Index":
        return _Index(self.scratch)


_NOBODY = {"NAME": git.AUTHOR, "EMAIL": git.EMAIL, "DATE": "2000-01-01T00:00:00+00:00"}


def _named(line: bytes, name: bytes) -> bool:
    return line.split(b"\t", 1)[1] == name


def _quoted(path: str) -> str:
    """A path as git reads it in a list that is separated by colons."""
    escaped = path.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


class _Index:
    """A temporary index file."""

    def __init__(self, scratch: Path) -> None:
        self.folder = tempfile.TemporaryDirectory(prefix="index.", dir=scratch)
        self.extra = {"GIT_INDEX_FILE": str(Path(self.folder.name) / "index")}

    def __enter__(self) -> "_Index":
        return self

    def __exit__(self, *_: object) -> None:
        self.folder.cleanup()
