"""The zoo as a page: everything that is installed, by kind, from the specs themselves.

    python benchmarks/zoo.py > docs/zoo.md

A test compares the page's names with what is registered.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from ganforge.cli.common import paper_link
from ganforge.core import DataSpec, GanforgeError
from ganforge.core.config import merge
from ganforge.core.registry import Registry
from ganforge.core.specs import Recipe
from ganforge.plugins.builtin import BUILTIN

DOCS = Path(__file__).parents[1] / "docs"
PICTURED = ("leaderboard/rows/{}/seed-0.png", "growing/{}.png", "translate/{}.png", "inversion/{}.png", "few/{}.png")
"""Where the pages of recipes have pictures of them."""
PICTURES = DataSpec(shape=(3, 32, 32), classes=tuple(str(i) for i in range(10)))

INTRODUCTION = """# The zoo

Everything that is built in, from `python benchmarks/zoo.py`. Each line is a plugin's spec; `ganforge recipes show NAME`
prints every number of a recipe. [What each recipe holds](contract.md),
[all of them on Fashion-MNIST after the same CPU minutes](leaderboard/compare.md), [mode coverage](modes.md),
[translations](translate.md), [growing and styles](growing.md), [what is made of a hundred pictures](few.md).

What is sampled, scored and exported is a running average of the generator (EMA) unless a recipe says otherwise, also
where its paper has none: `--set ema.decay=0` takes the generator itself.
"""


def page(registry: Registry) -> str:
    recipes = [[*_recipe(spec), _picture(spec.name)] for spec in registry.all("recipe").values()]
    sections = [
        ("Recipes", "`ganforge train NAME --data …`; the parts are those for labelled colour pictures of 32×32."),
        (("recipe", "what it is", "paper", "architecture", "loss", "regularizers", "labels", "picture"), recipes),
        ("Conditionings", "`--conditioning NAME` sets both networks; with any recipe on data with classes."),
        (
            ("conditioning", "what it does", "paper", "generator and discriminator"),
            [[*_spec(s), " and ".join(s.pair)] for s in registry.all("conditioning").values()],
        ),
        ("Losses", "`--set loss=NAME`."),
        (("loss", "what it is", "paper"), [_spec(s) for s in registry.all("loss").values()]),
        ("Regularizers and tricks", "`--set regularizers.NAME=true` or `--set regularizers.NAME.OPTION=VALUE`."),
        (
            ("regularizer", "what it does", "paper", "options"),
            [[*_spec(s), _options(s)] for s in registry.all("regularizer").values()],
        ),
        ("Architectures", "`--set architecture=NAME`."),
        (
            ("architecture", "what it is", "paper", "options"),
            [[*_spec(s), _options(s)] for s in registry.all("architecture").values()],
        ),
        ("Metrics", "`ganforge evaluate RUN_OR_FILE --metrics NAME`, see [evaluation](evaluation.md)."),
        (
            ("metric", "what it says", "paper", "options"),
            [[*_spec(s), _options(s)] for s in registry.all("metric").values()],
        ),
        ("Feature extractors", "`ganforge evaluate RUN_OR_FILE --features NAME`."),
        (
            ("extractor", "what it is", "paper", "options"),
            [[*_spec(s), _options(s)] for s in registry.all("extractor").values()],
        ),
    ]
    lines = [INTRODUCTION]
    for first, second in sections:
        lines += [f"## {first}\n\n{second}\n"] if isinstance(first, str) else [_table(first, second) + "\n"]
    return "\n".join(lines)


def _recipe(spec: Recipe[Any]) -> list[str]:
    try:
        settings = merge({}, spec.settings(spec.options(), PICTURES))
    except GanforgeError as error:
        return [*_spec(spec), str(error), "", "", ""]
    ways = [settings.get(player, {}).get("conditioning", {}).get("name") for player in ("generator", "discriminator")]
    return [
        *_spec(spec),
        settings["architecture"]["name"],
        settings["loss"]["name"],
        ", ".join(settings.get("regularizers", {})),
        " and ".join(way for way in ways if way),
    ]


def _picture(recipe: str) -> str:
    """A picture that the recipe made, where a page has one."""
    found = next((place for known in PICTURED if (DOCS / (place := known.format(recipe))).exists()), None)
    return f'<img src="{found}" width="200" alt="by {recipe}">' if found else ""


def _spec(spec: Any) -> list[str]:
    link = paper_link(spec.paper)
    return [f"`{spec.name}`", spec.summary, f"[{spec.paper}]({link})" if link.startswith("http") else link]


def _options(spec: Any) -> str:
    return ", ".join(f"`{name}`" for name in spec.options.model_fields)


def _table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [headings, ["---"] * len(headings), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


if __name__ == "__main__":
    print(page(Registry(fallback=BUILTIN)))
