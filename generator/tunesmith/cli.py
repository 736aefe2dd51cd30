"""The command line: parses the arguments and calls the command.

A command imports the heavy modules that it needs itself, so that `--help` is fast.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from tunesmith import __version__, console, package_data
from tunesmith.errors import USAGE, TunesmithError

INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code: 0 clean, 2 usage or invalid spec, 3 conflict, 4 findings."""
    options = _parser().parse_args(arguments)
    if "run" not in options:
        _parser().print_help()
        return USAGE
    from tunesmith import commands

    code = 0
    try:
        try:
            code = getattr(commands, options.run)(options)
        except TunesmithError as error:
            code = error.exit_code
            console.fault(error, json_wanted=options.json)
        except (KeyboardInterrupt, EOFError):  # Ctrl-C, and Ctrl-D at a question
            code = INTERRUPTED
            console.note("tunesmith: stopped; no partial files are left")
    except BrokenPipeError:
        # The reader of our output went away, which is no fault; what is left of it goes nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="tunesmith", description="Turns one spec into a reproducible LLM project that measures itself."
    )
    parser.add_argument("--version", action="version", version=f"tunesmith {__version__}")
    parser.set_defaults(json=False)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    _new(commands)
    _advise(commands)
    _plan(commands)
    _catalog(commands)
    _command(commands, "schema", "print the JSON Schema of a spec")
    _demo(commands)
    _data(commands)
    _update(commands)
    _doctor(commands)
    _adopt(commands)
    selftest = _command(commands, "selftest", "run the engine's tests against a project's engine, in its environment")
    selftest.add_argument("directory", type=Path, metavar="DIR", nargs="?", default=Path())
    selftest.add_argument("pytest", metavar="PYTEST", nargs="*", help="options of pytest, after `--`")
    _tool(commands)
    eject = _command(commands, "eject", "make a project independent of the template")
    eject.add_argument("directory", type=Path, metavar="DIR", nargs="?", default=Path())
    return parser


def _command(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]", name: str, text: str
) -> argparse.ArgumentParser:
    parser = commands.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
    parser.add_argument("--json", action="store_true", help="print one JSON value")
    parser.set_defaults(run=name)
    return parser


def _spec_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--spec", type=Path, metavar="FILE", help="flat YAML spec; missing keys take their defaults")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="one answer; overrides the spec (repeatable)"
    )
    parser.add_argument("--defaults", action="store_true", help="ask nothing; missing answers take their defaults")


def _target_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--subdir", action="store_true", help="make the project part of the enclosing git repository")
    parser.add_argument(
        "--force", action="store_true", help="write into a directory that is not empty; never overwrites a file"
    )


def _new(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = _command(commands, "new", "generate a project; asks questions unless a spec or --defaults is given")
    parser.add_argument("directory", type=Path, metavar="DIR")
    _spec_options(parser)
    _target_options(parser)
    parser.add_argument("--save-spec", type=Path, metavar="FILE", help="also write the answers to a spec file")


def _advise(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = _command(commands, "advise", "recommend prompting, retrieval or fine-tuning, with reasons and costs")
    _spec_options(parser)
    _price_option(parser)
    _data_option(parser)
    parser.add_argument("--sources", action="store_true", help="also print the source of each figure")


def _data_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--data",
        type=Path,
        metavar="FILE",
        help="raw records to count (default: the data_path, if it exists)",
    )


def _price_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--prices", type=Path, metavar="FILE", help="your own prices; they override the built-in ones")


def _plan(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = _command(commands, "plan", "predict memory, fit, time and cost of training; runs nothing")
    parser.add_argument("directory", type=Path, metavar="DIR", nargs="?", help="a generated project, instead of a spec")
    _spec_options(parser)
    _price_option(parser)
    _data_option(parser)
    parser.add_argument(
        "--calibration", type=Path, metavar="FILE", help="train.json of a short run; its speed replaces the estimate"
    )
    beyond = parser.add_argument_group("to plan setups that cannot be generated yet")
    beyond.add_argument("--method", default="", help="full, lora, qlora, dora, rslora, prefix or prompt")
    beyond.add_argument(
        "--framework", default="", help="a profile: axolotl, llamafactory, torchtune, unsloth and others"
    )
    beyond.add_argument("--devices", type=int, metavar="N", help="number of equal devices")
    beyond.add_argument("--sharding", default="", help="ddp, zero1, zero2, zero3 or fsdp (default: as planned)")
    beyond.add_argument("--loss", default="", help="full, half, chunked or fused (default: the framework's own)")
    beyond.add_argument("--packing", action="store_true", help="rows are packed instead of padded")


def _catalog(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = _command(commands, "catalog", "print models, hardware, prices or the support matrix")
    parser.add_argument(
        "what", nargs="?", choices=("models", "hardware", "support", "prices"), help="default: models and hardware"
    )


def _demo(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = _command(commands, "demo", "generate an example project and run it to its verdict")
    parser.add_argument("directory", type=Path, metavar="DIR")
    parser.add_argument("--example", choices=tuple(package_data.examples()), default="home_assistant")
    parser.add_argument("--smoke", action="store_true", help="all stages in two minutes, with a tiny random model")
    _target_options(parser)


def _data(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = commands.add_parser("data", help="add data to a project", description="Add data to a project.")
    actions = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    add = _command(actions, "add", "copy a data file, or a folder of them, into a project and track it with DVC")
    add.add_argument("file", type=Path, metavar="FILE")
    add.add_argument("directory", type=Path, metavar="DIR", nargs="?", default=Path())
    add.set_defaults(run="data_add")


def _update(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = _command(commands, "update", "merge a newer template, or changed answers, into a project")
    parser.add_argument("directory", type=Path, metavar="DIR", nargs="?", default=Path())
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument(
        "--preview", action="store_true", help="only show what would change; exit code 5 if anything would"
    )
    mode.add_argument("--continue", dest="resume", action="store_true", help="finish an update after its conflicts")
    mode.add_argument("--abort", action="store_true", help="restore the state before the update")
    mode.add_argument("--forget", action="store_true", help="forget an update in progress; no file is changed")
    parser.add_argument("--diff", action="store_true", help="also show content")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="change an answer (repeatable)")
    parser.add_argument("--to", default="", metavar="VERSION", help="a version of the template (default: the newest)")
    parser.add_argument("--source", default="", metavar="WHERE", help="the template: a path, a git bundle or a URL")
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--branch", default="", help="name of the new branch (default: template/VERSION)")
    where.add_argument("--here", action="store_true", help="commit on the current branch")
    parser.add_argument("--defaults", action="store_true", help="ask nothing; new questions take their defaults")
    parser.add_argument(
        "--keep-results",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="accept the results of stages whose data and parameters stay as they are (default: ask on a terminal)",
    )


def _doctor(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = _command(commands, "doctor", "check a project: environment, reproducibility, ownership, drift, safety")
    parser.add_argument("directory", type=Path, metavar="DIR", nargs="?", default=Path())
    parser.add_argument("--fix", action="store_true", help="fix what can be repaired safely")
    parser.add_argument(
        "--skip", action="append", default=[], metavar="CODE", help="leave out a rule or a group, as ENV"
    )


def _tool(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = _command(commands, "tool", "run a tool on a project, in its environment; without a name, list the tools")
    parser.usage = "tunesmith tool [-h] [--json] [--project DIR] [NAME [ARGUMENT ...]]"
    parser.add_argument("--project", type=Path, metavar="DIR", default=Path(), help="default: the current folder")
    parser.add_argument(
        "command",
        nargs=argparse.REMAINDER,
        metavar="NAME",
        help="a tool and what it takes; paths start in the project's folder",
    )


def _adopt(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = _command(commands, "adopt", "add the template to an existing repository, on a branch; overwrites nothing")
    parser.add_argument("directory", type=Path, metavar="DIR", nargs="?", default=Path())
    _spec_options(parser)
    parser.add_argument("--branch", default="template/adopt", help="name of the new branch (default: template/adopt)")
