"""What every recipe must hold, tried out at tiny size: `ganforge plugins check`."""

from __future__ import annotations

from collections.abc import Sequence

PAGE = """# The contract

What every recipe must hold, as `ganforge plugins check --markdown docs/contract.md` found it: tiny networks, a few
rounds on the embedded digits, in two styles for translations. ✓ holds; ✗ fails; a number alone does not apply, for
the reason below the table.

- **finite**: every figure and weight.
- **learns**: the samples' energy distance to the data halves in 200 to 1,600 rounds.
- **resumes to the bit**: from a checkpoint, all state and samples equal those of an uninterrupted run.
- **export proved**: onnxruntime gives what torch gives, in batches of 1, 2, 7 and 16.
- **card**: the file says what it is, how to call it and what proves it.
- **samples without torch**: in a process that cannot import it.
- **same picture**: from the run and from the file, for the same seed.
- **two processes**: train what one trains with the same batch.

{promises}

## With labels

One round of every recipe with every conditioning of its generator (rows) and its discriminator (columns).

{conditionings}
"""


def page(promises: Sequence[str], conditionings: Sequence[str]) -> str:
    return PAGE.format(promises="\n".join(promises), conditionings="\n".join(conditionings))
