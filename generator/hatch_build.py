"""Build hook: puts the git bundle that every render comes from into the wheel."""

import sys
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class BundleHook(BuildHookInterface):  # type: ignore[type-arg]
    """Builds template.bundle from the sources and adds it to the wheel."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Called before each build. An editable install needs no bundle: it renders from the checkout."""
        if self.target_name != "wheel" or version == "editable":
            return
        sys.path.insert(0, str(Path(self.root) / "generator"))
        from tunesmith import bundle

        self.folder = tempfile.TemporaryDirectory(prefix="tunesmith.")
        built = Path(self.folder.name) / bundle.NAME
        for release in bundle.build(Path(self.root), built):
            self.app.display_warning(
                f"the wheel lacks release {release}: projects made by it cannot be updated with this wheel. "
                "Build from a clone with its whole history (git clone, git fetch --unshallow --tags)"
            )
        build_data["force_include"][str(built)] = f"tunesmith/_data/{bundle.NAME}"

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Called after each build."""
        if hasattr(self, "folder"):
            self.folder.cleanup()
