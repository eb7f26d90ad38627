"""The command line: parses, calls one verb, prints what it returns, ends with its exit code.

Flags come from the verbs' signatures and docstrings. Results go to stdout, talk to stderr.
"""

from __future__ import annotations

import functools
import inspect
import io
import json
import operator
import os
import signal
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from types import FrameType
from typing import Annotated, Any, get_args, get_origin, get_type_hints

from cyclopts import App, CycloptsError, Parameter, Token
from rich.console import Console

import tagwise
from tagwise.base.errors import TagwiseError
from tagwise.base.progress import lead_nowhere, printable, printable_lines, say, talks


def main() -> None:
    """Runs the command of ``sys.argv`` and exits."""
    for name in ("stdin", "stdout", "stderr"):  # in this order they get their own numbers again
        if getattr(sys, name) is None:  # closed by the caller
            setattr(sys, name, open(os.devnull, "r" if name == "stdin" else "w"))  # noqa: SIM115, PTH123 - for good
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a name that the locale cannot write is no reason to fail
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Runs one command.

    Args:
        arguments: Without the program's name.

    Returns:
        0 done, 1 failed, 2 wrong use, 3 data refused, 130 and 143 interrupted.
    """
    signal.signal(signal.SIGTERM, _terminate)
    debug = "--debug" in arguments
    try:
        done = build_app()([argument for argument in arguments if argument != "--debug"])
    except CycloptsError as error:
        return _failed(error, " ".join(str(error).split()), 2, debug)
    except TagwiseError as error:
        return _failed(error, str(error), error.exit_code, debug)
    except KeyboardInterrupt as error:
        return _failed(error, "Interrupted; give the same command to go on or begin again.", 130, debug)
    except (MemoryError, RuntimeError) as error:
        if not _out_of_memory(error):
            raise
        return _failed(error, "Out of memory; a smaller --batch, --resolution or --workers needs less.", 1, debug)
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        return _failed(error, f"{where}{error.strerror or error}.", 1, debug)
    return done if isinstance(done, int) else 0


def build_app() -> App:
    """The parser of all verbs."""
    app = App(
        name="tagwise",
        help="Turns tagged pictures into a vision backbone and a tagger, and says honestly what that bought.",
        version=lambda: version("tagwise"),
        default_parameter=Parameter(consume_multiple=True, negative_iterable=()),
        help_format="markdown",
        console=_console(sys.stdout),
        error_console=_console(sys.stderr),
        exit_on_error=False,
        print_error=False,
        result_action="return_value",
        suppress_keyboard_interrupt=False,
    )
    for name in tagwise.VERBS:
        app.command(_command(getattr(tagwise, name)), name=name)
    return app


def _command(verb: Callable[..., Any]) -> Callable[..., int]:
    """The verb as a command: its first parameter is the thing, all others are flags; a result may have an exit code."""

    def command(*things: Any, json: bool = False, **flags: Any) -> int:
        result = verb(*things, **flags)
        if talks():
            _print(_as_json(result) if json else _shown(str(result)))
        return getattr(result, "exit_code", 0)

    hints = {name: _in_words(hint) for name, hint in get_type_hints(verb).items()}
    parameters = [
        _flag(parameter, hints[parameter.name])
        if number or parameter.kind is parameter.KEYWORD_ONLY
        else parameter.replace(annotation=hints[parameter.name])
        for number, parameter in enumerate(inspect.signature(verb).parameters.values())
    ]
    told = Annotated[bool, Parameter(help="Print the result as JSON.", negative=())]
    parameters.append(inspect.Parameter("json", inspect.Parameter.KEYWORD_ONLY, default=False, annotation=told))
    facts = {
        "__doc__": verb.__doc__,
        "__name__": verb.__name__,
        "__signature__": inspect.Signature(parameters),
        "__annotations__": hints | {parameter.name: parameter.annotation for parameter in parameters},
    }
    for name, fact in facts.items():
        setattr(command, name, fact)
    return command


def _in_words(hint: Any) -> Any:
    """The hint with the first alone of ``Path | str``: a command line has words, and the help one name for them."""
    if get_origin(hint) is Sequence:
        return Sequence[_in_words(get_args(hint)[0])]  # type: ignore[misc]
    kinds = get_args(hint)
    second = [kind for kind in kinds if kind in (Path, str)][1:]
    return functools.reduce(operator.or_, (kind for kind in kinds if kind not in second)) if second else hint


def _flag(parameter: inspect.Parameter, hint: Any) -> inspect.Parameter:
    names = [f"--{parameter.name.rstrip('_').replace('_', '-')}", *(["-o"] if parameter.name == "out" else [])]
    negative = () if parameter.default is False else None
    converter = _whole_number if int in (hint, *get_args(hint)) else None
    annotation = Annotated[hint, Parameter(name=names, negative=negative, converter=converter)]
    return parameter.replace(kind=parameter.KEYWORD_ONLY, annotation=annotation)


def _whole_number(_: Any, tokens: Sequence[Token]) -> int:
    """What cyclopts rounds, 2.5 or 3.9, is refused."""
    try:
        return int(tokens[0].value)
    except ValueError:
        raise ValueError from None  # cyclopts has a sentence of its own


def _print(text: str) -> None:
    """A result; the work is done, and a reader that has left is not to be told."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        lead_nowhere(sys.stdout)


def _shown(text: str) -> str:
    """A pipe gets names as they are, a terminal what cannot steer it."""
    return printable_lines(text) if sys.stdout.isatty() else text


def _as_json(result: Any) -> str:
    import msgspec

    plain = msgspec.to_builtins(result, enc_hook=lambda value: str(value) if isinstance(value, Path) else repr(value))
    return json.dumps(plain, ensure_ascii=True, indent=1)


class _Console(Console):
    """For help, which may end in ``| head -1``."""

    def on_broken_pipe(self) -> None:
        """Goes on quietly."""
        self.quiet = True
        lead_nowhere(sys.stdout)


def _console(stream: Any) -> Console:
    return _Console(file=stream, force_terminal=False if "NO_COLOR" in os.environ else None)


def _failed(error: BaseException, message: str, code: int, debug: bool) -> int:
    if debug:
        import traceback

        say("".join(traceback.format_exception(error)))
    say(f"tagwise: {printable(message, len(message))}")
    return code


def _out_of_memory(error: Exception) -> bool:
    """Torch says it as a RuntimeError, on the CPU without a class of its own."""
    return isinstance(error, MemoryError) or any(
        words in str(error) for words in ("out of memory", "can't allocate memory", "not enough memory")
    )


def _terminate(number: int, _: FrameType | None) -> None:
    """Unwinds like any error, so that no temporary file stays behind."""
    say("tagwise: Stopped; give the same command to go on or begin again.")
    signal.signal(number, signal.SIG_DFL)
    raise SystemExit(128 + number)
