"""What surrounds every command: errors in one form, exit codes, and nothing of a log in either."""

import json
import os
from typing import Any

import typer
from typer.core import TyperGroup

from refrain.errors import RefrainError, fault_place

DEBUG_VARIABLE = "REFRAIN_DEBUG"
INTERRUPTED = 130  # 128 + SIGINT, as shells have it
_MESSAGE_CHARACTERS = 2000  # an error names a file or a setting; a longer one has been fed


class CommandGroup(TyperGroup):
    """The group of all commands; turns what they raise into one message and an exit code."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """The arguments left for the command; notes whether errors are wanted as JSON."""
        ctx.meta["json"] = "--json" in args
        return super().parse_args(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        """What the command returns; typer.Exit with a code where it fails."""
        as_json = ctx.meta["json"]
        try:
            return super().invoke(ctx)
        except (typer.Exit, typer.Abort, BrokenPipeError):
            raise
        except RefrainError as error:
            raise fail(error.message, error.hint, error.exit_code, as_json=as_json) from None
        except typer.TyperException as error:
            if not as_json:
                raise  # typer draws a usage error with the command's usage line
            raise fail(error.format_message(), "", error.exit_code, as_json=True) from None
        except KeyboardInterrupt:
            hint = "what is finished stays; the same command goes on from there"
            raise fail("interrupted", hint, INTERRUPTED, as_json=as_json) from None
        except OSError as error:
            if error.strerror is None:
                raise _unexpected(error, as_json=as_json) from None
            raise fail(f"{error.filename or 'the system'}: {error.strerror}", "", 1, as_json=as_json) from None
        except Exception as error:
            if os.environ.get(DEBUG_VARIABLE):
                raise
            raise _unexpected(error, as_json=as_json) from None


class ListingGroup(TyperGroup):
    """A group whose command `list` is meant where none is named: what was one command stays one."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """The arguments left for the command, which is `list` unless the first one names another."""
        named = bool(args) and args[0] in {*self.commands, *ctx.help_option_names}
        if not named and (args or not ctx.resilient_parsing):
            args = ["list", *args]
        return super().parse_args(ctx, args)

    def shell_complete(self, ctx: Any, incomplete: str) -> list[Any]:
        """The names of the commands, and what `list` completes its first argument to."""
        first = self.commands["list"].params[0]
        return [*super().shell_complete(ctx, incomplete), *first.shell_complete(ctx, incomplete)]


def fail(message: str, hint: str, code: int, *, as_json: bool) -> typer.Exit:
    """The exit to raise, after the error was printed on stderr: two lines, or an object under --json."""
    from refrain.printable import printable

    message, hint = printable(message, _MESSAGE_CHARACTERS), printable(hint, _MESSAGE_CHARACTERS)
    if as_json:
        typer.echo(json.dumps({"error": {"message": message, "hint": hint, "exit_code": code}}), err=True)
    else:
        typer.secho(f"error: {message}", err=True, fg=typer.colors.RED)
        if hint:
            typer.echo(f"hint: {hint}", err=True)
    return typer.Exit(code)


def _unexpected(error: Exception, *, as_json: bool) -> typer.Exit:
    """The exit for a fault of ours: its kind and place. Its text stays out, libraries quote the data in theirs."""
    return fail(
        f"this should not have happened: {fault_place(error)}",
        f"{DEBUG_VARIABLE}=1 shows the whole traceback, which may quote the log",
        1,
        as_json=as_json,
    )
