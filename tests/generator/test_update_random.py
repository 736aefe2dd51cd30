"""Five hundred random lives and more: whatever somebody did to a project, an update loses none of it."""

import pytest
from hypothesis import HealthCheck, given, settings
from random_lives import VERSIONS, Act, Trees, lives, losses
from updating import Workshop

from tunesmith import git
from tunesmith.update.git_trees import FILE, Entry


@pytest.fixture(scope="module")
def trees(shop: Workshop, tmp_path_factory: pytest.TempPathFactory) -> Trees:
    root = tmp_path_factory.mktemp("random")
    git.run("init", "--quiet", cwd=root)
    return Trees(root, tmp_path_factory.mktemp("scratch"), shop.templates)


@settings(max_examples=500, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True, database=None)
@given(life=lives)
def test_a_random_life_loses_nothing(life: tuple[int, int, list[Act]], trees: Trees) -> None:
    old, new = VERSIONS[life[0]], VERSIONS[life[1]]
    lived = trees.live(old, life[2])
    merged = trees.update(lived, old, new)
    assert losses(trees, old, new, lived, merged) == []


def test_a_loss_would_be_seen(trees: Trees) -> None:
    """The judge itself: an update that simply took the new render would fail on every count."""
    todo = [Act("edit", 3, 0.5, "mine_aaaaaa"), Act("delete", 9, 0, "mine_bbbbbb"), Act("tune", 7, 0, "mine_cccccc")]
    lived = trees.live("0.0.1", todo)
    merged = trees.update(lived, "0.0.1", "0.3.0")
    assert losses(trees, "0.0.1", "0.3.0", lived, merged) == []
    fresh = trees.release["0.3.0"]
    found = losses(trees, "0.0.1", "0.3.0", lived, type(merged)(fresh))
    assert "the word mine_aaaaaa" in found and any("deleted and is back" in one for one in found)
    assert "weight_decay: 1007" in found
    stale = losses(trees, "0.0.1", "0.3.0", lived, type(merged)(lived.tree))
    assert any("is not as fresh" in one for one in stale)


def test_a_life_is_a_tree_of_its_own(trees: Trees) -> None:
    lived = trees.live("0.0.1", [Act("add", 0, 0.1, "mine_dddddd")])
    added = set(lived.entries) - set(trees.repository.entries(trees.release["0.0.1"]))
    assert added == {"own/mine_dddddd.py"}
    assert lived.entries["own/mine_dddddd.py"] == Entry(FILE, trees.repository.blob(b"# mine_dddddd\n"))
