"""Questions: named SQL files with parameters, their headers, and how typed words become their values.

A question is one bare `select`. Its first line says what it answers, and each of its parameters has a line in the
header, in DuckDB's types; one without a default has to be given:

    -- which routes took longest
    -- $service varchar = null: only calls of this service, as name.namespace
    -- $limit bigint = 20: how many rows at most

A question of the product that uses a parameter without declaring it is one that only pages ask, with values that no
person types; so is one with the line `-- for pages`, which reads what a page has made before.
"""

import re
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from itertools import takewhile
from pathlib import Path
from typing import Any

from pipeline.assets import assets
from pipeline.errors import NoDataError, QueryError, UsageError
from pipeline.query.models import in_order, text_of
from pipeline.query.session import Session
from pipeline.query.statements import named_in
from pipeline.text import visible

RESERVED = ("lake", "since", "until", "tz", "format", "output", "models", "help")
"""Flags that every question has; a parameter cannot be called so."""

FOR_PAGES = "-- for pages"

_EXAMPLE = "Write a parameter's line like: -- $limit bigint = 20: how many rows at most"

_PARAMETER = re.compile(r"-- \$([a-z]\w*) (\w+(?:\[\])?)(?: = (.*?))?: (.+)")


@dataclass(frozen=True)
class Parameter:
    """A value that a question takes: its DuckDB type, its default as typed; is_required where it has none."""

    name: str
    kind: str
    default: str | None
    is_required: bool
    meaning: str


@dataclass(frozen=True)
class Question:
    """One question file."""

    name: str
    meaning: str
    parameters: tuple[Parameter, ...]
    sql: str
    path: Path
    problem: str | None
    """Why its header does not tell all that a person has to know, with the place; None where it does."""


def load_questions(own: Path | None = None) -> dict[str, Question]:
    """Read every question that people ask: the product's, and those below `own`/questions, by name.

    Raises `UsageError` for a file of `own` whose header cannot be read, and for one with a name of the product's.
    """
    built_in = {path.stem: read_question(path) for path in sorted((assets("sql") / "questions").glob("*.sql"))}
    questions = {name: question for name, question in built_in.items() if not question.problem}
    for path in sorted((own / "questions").glob("*.sql")) if own else ():
        if path.stem in built_in:
            raise UsageError(f"{path}:1: {path.stem} is a question of meshlog itself. Give the file another name")
        question = read_question(path)
        if question.problem:
            raise UsageError(question.problem)
        questions[path.stem] = question
    return questions


def read_question(path: Path) -> Question:
    """Read a question's file. Raises `UsageError` where it cannot be read."""
    sql = text_of(path)
    lines = sql.splitlines()
    header = list(takewhile(lambda line: line.startswith("--"), lines))
    declared = [line for line in header if line.startswith("-- $")]
    parameters = [_parameter(line) for line in declared]
    used = set(re.findall(r"\$([a-z]\w*)", "\n".join(lines[len(header) :])))
    undeclared = sorted(used - {each.name for each in parameters if each})
    problem = None
    if not header or not header[0].removeprefix("--").strip() or header[0].startswith("-- $"):
        problem = f"{path}:1: does not say what the question answers. Begin with a line: -- which calls ..."
    elif FOR_PAGES in header:
        problem = f"{path}:{header.index(FOR_PAGES) + 1}: only pages of meshlog ask it. Take the line out"
    elif None in parameters:
        line = declared[parameters.index(None)]
        problem = f"{path}:{lines.index(line) + 1}: {line!r} declares no parameter. {_EXAMPLE}"
    elif undeclared:
        line = next(line for line in lines[len(header) :] if f"${undeclared[0]}" in line)
        problem = f"{path}:{lines.index(line) + 1}: ${undeclared[0]} is not declared. {_EXAMPLE}"
    meaning = header[0].removeprefix("--").strip() if header else ""
    return Question(path.stem, meaning, tuple(filter(None, parameters)), sql, path, problem)


def _parameter(line: str) -> Parameter | None:
    """Read the declaration of a parameter; None where the line is none, or the name is that of a flag."""
    found = _PARAMETER.fullmatch(line)
    if not found or found[1] in RESERVED:
        return None
    name, kind, default, meaning = found.groups()
    return Parameter(name, kind, None if default == "null" else default, default is None, meaning)


def question_named(name: str, questions: Mapping[str, Question]) -> Question:
    """Return the question of that name. Raises `UsageError` with the names that are near."""
    if name in questions:
        return questions[name]
    near = get_close_matches(name, questions, n=3, cutoff=0.5)
    hint = f"Did you mean {' or '.join(near)}?" if near else "List them with: meshlog questions"
    raise UsageError(f"no question is called {visible(name)}. {hint}")


def refuse_emptiness(session: Session, question: Question) -> None:
    """Raise `NoDataError` where a question is about log lines and the window holds none."""
    needed = in_order(session.models, named_in(session.connection, question.sql, session.models))
    if not any(model.name == "access_logs_around" for model in needed):
        return
    if not session.rows("select 1 from access_logs limit 1"):
        raise NoDataError("the lake holds no access-log line in this window. See what it holds: meshlog status")


def values(session: Session, question: Question, typed: Mapping[str, str | None]) -> dict[str, Any]:
    """Return a question's parameters, each of its type, from what was typed for them and else their defaults.

    Raises `UsageError` for one that is missing, unknown or not of its type, and for a file that does not declare what
    its query uses.
    """
    known = {parameter.name: parameter for parameter in question.parameters}
    used = session.parameters(question.sql)
    if different := sorted(used ^ known.keys()):
        names = ", ".join(f"${name}" for name in different)
        raise UsageError(f"{question.path}: its header and its query differ in {names}")
    for name in typed:
        if name not in known:
            raise UsageError(f"{question.name} has no parameter {visible(name)}. It has {', '.join(known) or 'none'}")
    return {name: _value(session, parameter, typed.get(name)) for name, parameter in known.items()}


def _value(session: Session, parameter: Parameter, typed: str | None) -> Any:
    text = parameter.default if typed is None else typed
    if text is None:
        if parameter.is_required:
            raise UsageError(f"--{parameter.name} is missing: {parameter.meaning}")
        return None
    try:
        # the type is a word of the file's header, the value is bound
        return session.rows(f"select cast($text as {parameter.kind}) as value", {"text": text})[0]["value"]
    except QueryError as error:
        raise UsageError(f"--{parameter.name} {visible(text)}: this is no {parameter.kind}") from error


def question_lines(questions: Mapping[str, Question], width: int) -> Iterator[str]:
    """List questions with what they answer and their parameters, folded to `width` columns."""
    for question in questions.values():
        yield question.name
        yield from _folded("    ", question.meaning, width)
        for each in question.parameters:
            default = ", needed" if each.is_required else f", {each.default} by default" if each.default else ""
            yield from _folded(
                f"    --{each.name.replace('_', '-')}  ", f"{each.meaning} ({each.kind}{default})", width
            )


def _folded(lead: str, text: str, width: int) -> list[str]:
    room = max(30, width)
    return textwrap.wrap(visible(lead + text), room, subsequent_indent=" " * 8, break_long_words=False)
