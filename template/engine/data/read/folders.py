"""The data files in a folder: the shards of a large data set, or rounds of feedback."""

from pathlib import Path

from engine.core.errors import ProjectError

_READ = {".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".parquet", ".arrow"}
_PACKED = {".gz", ".zst"}
_BESIDE = {"README.md", "dataset_info.json", "state.json"}  # the latter two as `datasets` saves a folder


def data_files(folder: Path) -> list[Path]:
    """Its files, those in folders too, by name; but for what is hidden, describes the folder, or is left there by DVC.

    Raises:
        ProjectError: a file is none of data; records that are passed over in silence are worse than an error.
    """
    found = []
    for path in sorted(folder.rglob("*")):
        if any(part.startswith(".") for part in path.relative_to(folder).parts):
            continue
        if path.is_symlink() and path.is_dir():
            raise ProjectError("a data folder is a link", str(path), "put the files there, not a link")
        if path.is_dir() or path.name in _BESIDE or path.suffix == ".dvc":
            continue
        named = Path(path.stem) if path.suffix.lower() in _PACKED else path
        if named.suffix.lower() not in _READ:
            fix = f"name it *.jsonl (or {', '.join(sorted(_READ))}; packed .gz, .zst), or move it away"
            raise ProjectError("a data file has an unknown kind", str(path), fix)
        found.append(path)
    return found


def raw_files(path: Path) -> list[Path]:
    """The file, or the files of the folder, that `curate.path` names. Raises `ProjectError` if the folder has none."""
    if not path.is_dir():
        return [path]
    found = data_files(path)
    if not found:
        raise ProjectError("the data folder has no data file", str(path), "put files there, or set curate.path")
    return found
