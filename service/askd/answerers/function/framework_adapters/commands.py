"""Commands of click and typer with one text argument: the answer is the value that they return, or their output."""

import contextlib
import io
import threading
from inspect import Parameter
from typing import Any, Final

from askd.answerers.function.framework_adapters.adapted_function import (
    AdaptedFunction,
    has_base_in,
    make_adapted_function,
)
from askd.errors import LoadError, Refused

_TYPES: Final = {"integer": int, "int": int, "float": float, "boolean": bool, "bool": bool}
"""Types of options by the names of click and Python; all others are text."""
_output_lock: Final = threading.Lock()
"""Held while a command runs, because its standard output is redirected for the whole process."""


def adapt_to_function(value: object) -> AdaptedFunction | None:
    """Return the adapter for a command of click or an app of typer."""
    if has_base_in(value, "typer") and hasattr(value, "registered_commands"):
        import typer.main  # noqa: PLC0415 the user's code has imported it

        value = typer.main.get_command(value)
    if not (has_base_in(value, "click") or has_base_in(value, "typer")) or not hasattr(value, "make_context"):
        return None
    command: Any = value
    if hasattr(command, "commands"):
        raise LoadError(f"it is a group of the commands {', '.join(command.commands)}: name one of them, or a function")
    own = [parameter for parameter in command.params if parameter.name != "help"]
    text = _text_argument(own)
    options = [parameter for parameter in own if parameter is not text and parameter.expose_value]

    def call(question: str, /, **values: Any) -> Any:
        arguments = [text for option in options for text in _option_arguments(option, values.get(option.name))]
        return _run(command, [*arguments, *_argument(text, question)])

    parameters = [Parameter(text.name, Parameter.POSITIONAL_OR_KEYWORD), *map(_keyword_parameter, options)]
    note = f"a command that gets the question as {text.name.upper()}: the answer is its output"
    return make_adapted_function(call, parameters, command.callback, f"{note}; one call at a time")


def _text_argument(parameters: list[Any]) -> Any:
    arguments = [parameter for parameter in parameters if parameter.param_type_name == "argument"]
    required = arguments or [parameter for parameter in parameters if parameter.required]
    if len(required) != 1:
        raise LoadError(f"the command has {len(required)} required arguments, so that none can get the question alone")
    return required[0]


def _keyword_parameter(option: Any) -> Parameter:
    name = getattr(getattr(option, "type", None), "name", type(option.default).__name__)  # typer's options have no type
    annotation: Any = bool if getattr(option, "is_flag", False) else _TYPES.get(name, str)
    annotation = list[annotation] if option.multiple or option.nargs != 1 else annotation
    default = Parameter.empty if option.required else None
    return Parameter(option.name, Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def _option_arguments(option: Any, value: Any) -> list[str]:
    if value is None:
        return []
    flag = option.opts[0]
    if getattr(option, "is_flag", False):
        off = option.secondary_opts[:1]
        return [flag] if value else off
    values = value if isinstance(value, list) else [value]
    return [part for item in values for part in (flag, str(item))]


def _argument(parameter: Any, question: str) -> list[str]:
    return ["--", question] if parameter.param_type_name == "argument" else [parameter.opts[0], question]


def _run(command: Any, arguments: list[str]) -> Any:
    """Run the command; return the value that it returns, or its output if that is None. Raises Refused."""
    output = io.StringIO()
    with _output_lock, contextlib.redirect_stdout(output):
        try:
            result = command.main(arguments, standalone_mode=False)
        except Exception as error:
            if not hasattr(error, "format_message"):  # click's errors are about the arguments
                raise
            raise Refused(400, str(error.format_message())) from error
    return output.getvalue().rstrip("\n") or None if result is None or output.getvalue() else result
