"""Renders the command reference from the commands themselves, in place of ``<!-- commands -->`` in a page."""

from __future__ import annotations

import inspect
import re
from typing import TYPE_CHECKING

import click

from darknet_py.cli.main import main

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

PLACE = "<!-- commands -->"


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Put every command where the page asks for them."""
    if PLACE not in markdown:
        return markdown
    return markdown.replace(PLACE, "\n".join(render_commands()))


def render_commands() -> list[str]:
    """Lines of Markdown: a section for each command and for each of its subcommands."""
    # As it is run: without its settings, commands would keep a help option that knows --help alone.
    return _section(main, click.Context(main, info_name="darknet-py", **main.context_settings), 2)


def _section(command: click.Command, context: click.Context, level: int) -> list[str]:
    lines = [f"{'#' * level} {context.command_path}", ""]
    lines += ["```text", " ".join([context.command_path, *command.collect_usage_pieces(context)]), "```", ""]
    lines += _paragraphs(command.help or "")
    lines += _options(command, context)
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            if inner is not None:
                lines += _section(inner, click.Context(inner, info_name=name, parent=context), level + 1)
    return lines


def _paragraphs(text: str) -> list[str]:
    """A command's help; what click is told not to wrap becomes a block of code."""
    lines: list[str] = []
    for paragraph in inspect.cleandoc(text).split("\n\n"):
        if paragraph.startswith("\b"):
            title, _, rest = paragraph.strip("\b\n ").partition("\n")
            lines += [_plain(title), "", "```console", *(line.strip() for line in rest.split("\n")), "```", ""]
        else:
            lines += [_plain(" ".join(paragraph.split())), ""]
    return lines


def _options(command: click.Command, context: click.Context) -> list[str]:
    records = [record for each in command.get_params(context) if (record := each.get_help_record(context))]
    rows = [f"| `{name}` | {_plain(' '.join(text.split()))} |".replace("`|`", "`&#124;`") for name, text in records]
    return ["| option | |", "|---|---|", *rows, ""] if rows else []


def _plain(text: str) -> str:
    """Text in which Markdown sees nothing but links to pages."""
    for character in "\\*_<>[]|`":
        text = text.replace(character, f"&#{ord(character)};")
    return re.sub(r"\bdocs/(\w+\.md)", r"[\g<0>](../\1)", text)
