"""A fresh virtual environment with ganforge in it as users have it: pip installed a wheel of this tree.

What it proves: the wheel holds all it should, entry points are found without our source tree on the path, and
nothing of ours is edited for a stranger. What it does not: that the declared dependencies suffice, since torch and
the rest are borrowed from the interpreter that runs the tests, through a .pth file that puts its packages last;
downloading them takes minutes. (test_without_torch.py installs the declared dependencies of `ganforge[cpu]`.)
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).parent.parent

OFFLINE = {"PIP_NO_INDEX": "1", "PIP_NO_DEPS": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_QUIET": "1"}
"""pip's own settings, so that a plain `pip install .` neither downloads nor replaces anything."""


class Fresh:
    """A virtual environment and a folder to work in; commands see none of this process's Python settings."""

    def __init__(self, folder: Path) -> None:
        self.work = folder / "work"
        self.work.mkdir()
        self.programs = folder / "venv" / ("Scripts" if os.name == "nt" else "bin")
        self.env = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "GANFORGE", "PIP_"))}
        self.env |= {"PATH": f"{self.programs}{os.pathsep}{os.environ['PATH']}", "OMP_NUM_THREADS": "1", **OFFLINE}
        # pip reads this one the other way round: "no" switches isolation off, so that hatchling is found.
        self.env["PIP_NO_BUILD_ISOLATION"] = "no"
        self.done(sys.executable, "-m", "venv", folder / "venv")
        self._install_ganforge(folder / "wheels")
        self._borrow_packages()

    def run(self, *command: str | Path, **settings: str) -> subprocess.CompletedProcess[str]:
        """Run a command in the working folder, with `settings` in its environment."""
        words = [str(part) for part in command]
        env = self.env | settings
        return subprocess.run(words, cwd=self.work, env=env, capture_output=True, text=True, check=False)

    def done(self, *command: str | Path, **settings: str) -> str:
        """The stdout of a command that must succeed."""
        finished = self.run(*command, **settings)
        assert finished.returncode == 0, f"{command}\n{finished.stdout}{finished.stderr}"
        assert "Traceback" not in finished.stderr
        return finished.stdout

    def ganforge(self, *arguments: str | Path, **settings: str) -> str:
        """The stdout of a ganforge command that must succeed."""
        return self.done(self.programs / "ganforge", *arguments, **settings)

    def pip(self, *arguments: str | Path) -> None:
        self.done(self.programs / "python", "-m", "pip", *arguments)

    def _install_ganforge(self, wheels: Path) -> None:
        self.done(sys.executable, "-m", "pip", "wheel", "--wheel-dir", wheels, REPOSITORY)
        self.pip("install", *wheels.glob("*.whl"))

    def _borrow_packages(self) -> None:
        """Other packages come from the running interpreter; what is installed here stands before them."""
        shown = self.done(self.programs / "python", "-c", "import sysconfig; print(sysconfig.get_path('purelib'))")
        borrowed = [path for path in sys.path if path.endswith(("site-packages", "dist-packages"))]
        (Path(shown.strip()) / "borrowed.pth").write_text("\n".join(borrowed) + "\n", encoding="utf-8")
