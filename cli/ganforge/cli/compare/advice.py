"""Which row to take, and the evidence: from figures to a sentence, and honest where they do not tell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ganforge.cli.compare.asked import Lead
from ganforge.cli.compare.results import VERDICTS, Spread, Standing, Verdict, short, title_of


@dataclass(frozen=True)
class Candidate:
    """A row as advice sees it: its leading score over the seeds, and how uncertain one such score is by itself.

    `first` is what counts before the leading score: more is better. `failed` of its `seeds` failed.
    """

    title: str
    verdict: Verdict
    lead: Spread | None
    deviation: float = 0.0
    first: float = 0.0
    seeds: int = 1
    failed: int = 0
    besides: str = ""


@dataclass(frozen=True)
class Advice:
    """The row to take, if any; whether others are as good as far as one can tell; and all of it in words."""

    take: str | None
    close: tuple[str, ...]
    words: str


def ranked(standings: Sequence[Standing], lead: Lead) -> list[Standing]:
    """The best row first: those that failed come last, those without a score after all."""
    return sorted(standings, key=lambda standing: _rank(candidate(standing, lead), lead))


def candidate(standing: Standing, lead: Lead) -> Candidate:
    """What advice needs of a row."""
    deviation, first = standing.spread(f"{lead.figure}_std"), standing.spread(lead.first)
    return Candidate(
        title=standing.title,
        verdict=standing.verdict,
        lead=standing.spread(lead.figure),
        deviation=deviation.median if deviation else 0.0,
        first=first.median if first else 0.0,
        seeds=len(standing.trained),
        failed=sum(one.verdict == "failed" for one in standing.trained),
        besides=_besides(standing, lead),
    )


def _besides(standing: Standing, lead: Lead) -> str:
    """One more figure as evidence: how much of the data is covered."""
    for figure, words in (("modes", "modes captured"), ("coverage", "coverage"), ("recall", "recall")):
        if figure != lead.figure and (found := standing.spread(figure)):
            return f"{words} {short(found.median)}"
    return ""


def _rank(one: Candidate, lead: Lead) -> tuple[bool, bool, float, float]:
    return one.verdict == "failed", one.lead is None, -one.first, _badness(one, lead)


def _badness(one: Candidate, lead: Lead) -> float:
    """The leading score's median, so that less is better."""
    if one.lead is None:
        return 0.0
    return one.lead.median if lead.better == "lower" else -one.lead.median


def advise(candidates: Sequence[Candidate], lead: Lead) -> Advice:
    """The row to take. Of rows that cannot be told apart a healthy one is taken before a suspicious one."""
    order = sorted(candidates, key=lambda one: _rank(one, lead))
    sound = [one for one in order if one.verdict != "failed" and one.lead]
    if not sound:
        return Advice(None, (), _all_failed(order))
    best, *others = sound
    alike = [best, *(other for other in others if too_close(best, other))]
    taken = min(alike, key=lambda one: VERDICTS.index(one.verdict))
    close = tuple(one.title for one in alike if one is not taken)
    scored = any(one.lead for one in order if one.verdict == "failed")
    way = ("lowest" if lead.better == "lower" else "highest") + (" of rows that did not fail" if scored else "")
    words = [
        _choice(taken, alike, others, title_of(lead.figure), way),
        _evidence(taken, alike),
        _chance(taken, others),
        _lost(order),
    ]
    return Advice(taken.title, close, " ".join(word for word in words if word))


def too_close(one: Candidate, other: Candidate) -> bool:
    """Whether two rows' leading scores do not tell which is better: their ranges over the seeds overlap (one
    seed's is its score), or their medians are no further apart than the deviation of either."""
    if one.lead is None or other.lead is None or one.first != other.first:
        return False
    if abs(one.lead.median - other.lead.median) <= max(one.deviation, other.deviation):
        return True
    return one.lead.low <= other.lead.high and other.lead.low <= one.lead.high


def _choice(taken: Candidate, alike: Sequence[Candidate], others: Sequence[Candidate], name: str, way: str) -> str:
    """The row to take, and how it stands to the next; `name` is the leading figure's and `way` its best."""
    if len(alike) > 1:
        scores = ", ".join(f"{one.title} {told(one)}" for one in alike)
        why = f"its {name} is the {way}" if taken is alike[0] else "its verdict is better"
        return f"Too close to call by {name}: {scores}. Take {taken.title} if you must choose: {why}."
    if not others:
        return f"Take {taken.title}: no other row has a score and did not fail. Its {name} is {told(taken)}."
    next_ = others[0]
    if taken.first > next_.first:
        return f"Take {taken.title}: it captures the most modes, and its {name} is {told(taken)}."
    beyond = "beyond the range of the next," if min(taken.seeds, next_.seeds) > 1 else "the next is"
    return f"Take {taken.title}: its {name} of {told(taken)} is the {way}; {beyond} {next_.title} with {told(next_)}."


def told(one: Candidate) -> str:
    """A row's leading score with its range, or its deviation where there is only one seed."""
    assert one.lead
    if one.seeds - one.failed > 1:
        seeds = f"median of {one.seeds - one.failed} seeds"
        return f"{short(one.lead.median)} ({seeds}, {short(one.lead.low)} to {short(one.lead.high)})"
    return f"{short(one.lead.median)}{f' ± {short(one.deviation)}' if one.deviation else ''}"


def _evidence(one: Candidate, alike: Sequence[Candidate]) -> str:
    """What else is known of the row, and of those that might be taken as well."""
    others = ", ".join(f"{other.title}: {other.besides}" for other in alike if other is not one and other.besides)
    failed = f" ({one.failed} of {one.seeds} seeds failed)" if one.failed else ""
    besides = [one.besides + (f" ({others})" if others else "")] if one.besides else []
    facts = [*besides, f"diagnose: {one.verdict}{failed}"]
    sentence = "; ".join(facts)
    return f"{sentence[0].upper()}{sentence[1:]}."


def _chance(taken: Candidate, others: Sequence[Candidate]) -> str:
    """What one seed cannot say."""
    if taken.seeds > 1 or not others:
        return ""
    return "One seed tells nothing of chance: --seeds 3 says whether this holds."


def _lost(order: Sequence[Candidate]) -> str:
    failed = [one.title for one in order if one.verdict == "failed"]
    return f"Failed: {', '.join(failed)}." if failed else ""


def _all_failed(order: Sequence[Candidate]) -> str:
    if not order:
        return "Nothing has been trained yet."
    return f"Every row failed: {', '.join(one.title for one in order)}. There is none to take."
