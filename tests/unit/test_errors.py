"""The error classes: codes, statuses, and texts for clients."""

import inspect
import re
from http import HTTPStatus

import pytest

from askd import errors
from askd.errors import AskdError, Problem, StartupError

CLASSES = [cls for _, cls in inspect.getmembers(errors, inspect.isclass) if issubclass(cls, AskdError)]
PROBLEMS = [cls for cls in CLASSES if issubclass(cls, Problem)]


def test_docstring_tree_is_complete() -> None:
    """The module docstring lists every class, and each problem with its status."""
    documented = dict(re.findall(r"[├└]── (\w+) +(\d\dx|\d{3})?", errors.__doc__ or ""))
    assert set(documented) == {cls.__name__ for cls in CLASSES} - {"AskdError"}
    by_name = {cls.__name__: cls for cls in PROBLEMS}
    for name, status in documented.items():
        if status.isdigit():
            assert by_name[name].status == int(status)


def test_codes_are_unique() -> None:
    """Each problem has a unique code that is valid in a URL; the base class shares the code of internal errors."""
    codes = [problem.code for problem in PROBLEMS if problem is not Problem]
    assert len(codes) == len(set(codes))
    assert all(re.fullmatch(r"[a-z]+(-[a-z]+)*", code) for code in codes)


@pytest.mark.parametrize("problem", PROBLEMS, ids=lambda problem: problem.code)
def test_statuses_and_titles(problem: type[Problem]) -> None:
    """Each problem has a title and a standard HTTP error status."""
    assert HTTPStatus(problem.status) >= 400
    assert re.fullmatch(r"[A-Z][a-z ]+", problem.title)


def test_bad_question_names_the_parameter() -> None:
    """The parameter is an extension member of the problem."""
    problem = errors.BadQuestion("q", "q is empty: give a question")
    assert (problem.detail, problem.extensions) == ("q is empty: give a question", {"parameter": "q"})


def test_no_answer_mentions_suggestions() -> None:
    """Suggestions are an extension member; the text mentions them only if there are any."""
    assert errors.NoAnswer().extensions == {"suggestions": []}
    assert "suggestions" not in errors.NoAnswer().detail
    assert errors.NoAnswer(["What is a port?"]).detail.endswith("See suggestions.")


def test_method_not_allowed_lists_allowed_methods() -> None:
    """The Allow header and the text list the methods in order."""
    problem = errors.MethodNotAllowed("PUT", ["POST", "GET"])
    assert problem.headers == {"Allow": "GET, POST"}
    assert problem.detail == "PUT is not allowed here. Use one of: GET, POST."


def test_refused_has_the_status_of_the_code() -> None:
    """A refusal has the status and the text that the user's code chose."""
    assert (errors.Refused(451, "No.").status, errors.Refused(451, "No.").detail) == (451, "No.")


@pytest.mark.parametrize("problem", [errors.AnswererFailed(), errors.InternalError()])
def test_failures_reveal_nothing_internal(problem: Problem) -> None:
    """The text refers to the log for the cause, and does not contain it."""
    assert problem.status == 500
    assert problem.detail.endswith("The server log has the cause under this request id.")


def test_unavailable_has_retry_after() -> None:
    """Clients may retry after a second."""
    assert errors.Unavailable("Starting.").retry_after == 1


def test_settings_error_lists_all_errors() -> None:
    """The message has a line for each error."""
    error = errors.SettingsError(["a", "b"])
    assert (error.errors, str(error)) == (("a", "b"), "a\nb")
    assert isinstance(error, StartupError)
