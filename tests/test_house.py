"""The house rules no linter knows."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ganforge.cli.main import make_app
from ganforge.core.registry import Registry

ROOT = Path(__file__).parent.parent
ROOTS = ["core", "plugins", "export", "serve", "cli"]


@pytest.mark.parametrize("root", ROOTS)
def test_the_namespace_has_no_init(root: str) -> None:
    assert not (ROOT / root / "ganforge" / "__init__.py").exists()
    assert (ROOT / root / "ganforge" / root / "py.typed").exists()


def test_core_knows_no_gan_by_name(registry: Registry) -> None:
    text = "\n".join(path.read_text() for path in sorted((ROOT / "core").rglob("*.py"))).lower()
    named = [name for name in registry.all("recipe") if re.search(rf"\b{re.escape(name)}\b", text)]
    assert named == []


PAGES = [
    "README.md",
    "docs/anomalies.md",
    "docs/compare.md",
    "docs/deploy.md",
    "docs/diagnosis.md",
    "docs/evaluation.md",
    "docs/explore.md",
    "docs/export.md",
    "docs/few.md",
    "docs/growing.md",
    "docs/inversion.md",
    "docs/modes.md",
    "docs/plugins.md",
    "docs/super_resolution.md",
    "docs/translate.md",
    "docs/zoo.md",
]


@pytest.mark.parametrize("page", PAGES)
def test_no_page_waits_to_be_filled_in(page: str) -> None:
    text = (ROOT / page).read_text()
    assert not re.search(r"\b[A-Z]+_(TABLE|MINUTES|FIGURE)\b|begin -->\s*<!--", text)
    for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", text):
        assert ((ROOT / page).parent / target).exists(), target


@pytest.mark.parametrize(
    "kind", ["recipe", "architecture", "loss", "regularizer", "conditioning", "metric", "extractor"]
)
def test_the_zoo_has_everything(registry: Registry, kind: str) -> None:
    page = (ROOT / "docs/zoo.md").read_text()
    table = page[page.index(f"\n| {kind} |") + 1 :].partition("\n\n")[0]
    named = re.findall(r"^\| `([^`]+)` \|", table, re.MULTILINE)
    assert sorted(named) == sorted(registry.all(kind))


def test_every_hook_is_documented() -> None:
    specs = (ROOT / "core/ganforge/core/hookspecs.py").read_text()
    page = (ROOT / "docs/plugins.md").read_text()
    for hook in re.findall(r"def (ganforge_\w+)", specs):
        assert hook in page, hook


def test_every_command_in_the_readme_exists(registry: Registry) -> None:
    app = make_app()
    registry.add_commands(app)
    known = {command.name or command.callback.__name__ for command in app.registered_commands if command.callback}
    known |= {group.name for group in app.registered_groups}
    blocks = "\n".join(re.findall(r"```sh\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL))
    named = set(re.findall(r"^ganforge ([a-z]+)", blocks, re.MULTILINE))
    assert named
    assert named <= known
