"""The verbs: parse, call, hand the result to the console. Heavy modules are imported by the verb that needs them."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from tunesmith import __version__, console, resources
from tunesmith.errors import USAGE, TunesmithError

INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code: 0 clean, 2 usage or invalid spec, 3 conflict, 4 findings."""
    options = _parser().parse_args(arguments)
    if "run" not in options:
        _parser().print_help()
        return USAGE
    from tunesmith import verbs

    code = 0
    try:
        try:
            code = getattr(verbs, options.run)(options)
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
    verbs = parser.add_subparsers(title="commands", metavar="COMMAND")
    _new(verbs)
    _advise(verbs)
    _plan(verbs)
    _catalog(verbs)
    _verb(verbs, "schema", "print the JSON Schema of a spec")
    _demo(verbs)
    _data(verbs)
    _update(verbs)
    _doctor(verbs)
    _adopt(verbs)
    eject = _verb(verbs, "eject", "make a project independent of the template")
    eject.add_argument("directory", type=Path, metavar="DIR", nargs="?", default=Path())
    return parser


def _verb(
    verbs: "argparse._SubParsersAction[argparse.ArgumentParser]", name: str, text: str
) -> argparse.ArgumentParser:
    verb = verbs.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
    verb.add_argument("--json", action="store_true", help="print one JSON value")
    verb.set_defaults(run=name)
    return verb


def _spec_options(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("--spec", type=Path, metavar="FILE", help="flat YAML spec; missing keys take their defaults")
    verb.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="one answer; overrides the spec (repeatable)"
    )
    verb.add_argument("--defaults", action="store_true", help="ask nothing; missing answers take their defaults")


def _target_options(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("--subdir", action="store_true", help="make the project part of the enclosing git repository")
    verb.add_argument(
        "--force", action="store_true", help="write into a directory that is not empty; never overwrites a file"
    )


def _new(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    verb = _verb(verbs, "new", "generate a project; asks questions unless a spec or --defaults is given")
    verb.add_argument("directory", type=Path, metavar="DIR")
    _spec_options(verb)
    _target_options(verb)
    verb.add_argument("--save-spec", type=Path, metavar="FILE", help="also write the answers to a spec file")


def _advise(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    verb = _verb(verbs, "advise", "recommend prompting, retrieval or fine-tuning, with reasons and costs")
    _spec_options(verb)
    _price_option(verb)
    _data_option(verb)
    verb.add_argument("--sources", action="store_true", help="also print the source of each figure")


def _data_option(verb: argparse.ArgumentParser) -> None:
    verb.add_argument(
        "--data",
        type=Path,
        metavar="FILE",
        help="raw records to count (default: the data_path, if it exists)",
    )


def _price_option(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("--prices", type=Path, metavar="FILE", help="your own prices; they override the built-in ones")


def _plan(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    verb = _verb(verbs, "plan", "predict memory, fit, time and cost of training; runs nothing")
    verb.add_argument("directory", type=Path, metavar="DIR", nargs="?", help="a generated project, instead of a spec")
    _spec_options(verb)
    _price_option(verb)
    _data_option(verb)
    verb.add_argument(
        "--calibration", type=Path, metavar="FILE", help="train.json of a short run; its speed replaces the estimate"
    )
    beyond = verb.add_argument_group("to plan setups that cannot be generated yet")
    beyond.add_argument("--method", default="", help="full, lora, qlora, dora, rslora, prefix or prompt")
    beyond.add_argument(
        "--framework", default="", help="a profile: axolotl, llamafactory, torchtune, unsloth and others"
    )
    beyond.add_argument("--devices", type=int, metavar="N", help="number of equal devices")
    beyond.add_argument("--sharding", default="", help="ddp, zero1, zero2, zero3 or fsdp (default: as planned)")
    beyond.add_argument("--loss", default="", help="full, half, chunked or fused (default: the framework's own)")
    beyond.add_argument("--packing", action="store_true", help="rows are packed instead of padded")


def _catalog(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    verb = _verb(verbs, "catalog", "print models, hardware, prices or the support matrix")
    verb.add_argument(
        "what", nargs="?", choices=("models", "hardware", "support", "prices"), help="default: models and hardware"
    )


def _demo(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    verb = _verb(verbs, "demo", "generate an example project and run it to its verdict")
    verb.add_argument("directory", type=Path, metavar="DIR")
    verb.add_argument("--example", choices=tuple(resources.examples()), default="home_assistant")
    verb.add_argument("--smoke", action="store_true", help="all stages in two minutes, with a tiny random model")
    _target_options(verb)


def _data(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    verb = verbs.add_parser("data", help="add data to a project", description="Add data to a project.")
    actions = verb.add_subparsers(title="commands", metavar="COMMAND", required=True)
    add = _verb(actions, "add", "copy a data file, or a folder of them, into a project and track it with DVC")
    add.add_argument("file", type=Path, metavar="FILE")
    add.add_argument("directory", type=Path, metavar="DIR", nargs="?", default=Path())
    add.set_defaults(run="data_add")


def _update(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    verb = _verb(verbs, "update", "merge a newer template, or changed answers, into a project")
    verb.add_argument("directory", type=Path, metavar="DIR", nargs="?", default=Path())
    mode = verb.add_mutually_exclusive_group()
    mode.add_argument(
        "--preview", action="store_true", help="only show what would change; exit code 5 if anything would"
    )
    mode.add_argument("--continue", dest="resume", action="store_true", help="finish an update after its conflicts")
    mode.add_argument("--abort", action="store_true", help="restore the state before the update")
    verb.add_argument("--diff", action="store_true", help="also show content")
    verb.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="change an answer (repeatable)")
    verb.add_argument("--to", default="", metavar="VERSION", help="a version of the template (default: the newest)")
    verb.add_argument("--source", default="", metavar="WHERE", help="the template: a path, a git bundle or a URL")
    where = verb.add_mutually_exclusive_group()
    where.add_argument("--branch", default="", help="name of the new branch (default: template/VERSION)")
    where.add_argument("--here", action="store_true", help="commit on the current branch")
    verb.add_argument("--defaults", action="store_true", help="ask nothing; new questions take their defaults")


def _doctor(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    verb = _verb(verbs, "doctor", "check a project: environment, reproducibility, ownership, drift, safety")
    verb.add_argument("directory", type=Path, metavar="DIR", nargs="?", default=Path())
    verb.add_argument("--fix", action="store_true", help="fix what can be repaired safely")
    verb.add_argument("--skip", action="append", default=[], metavar="CODE", help="leave out a rule or a group, as ENV")


def _adopt(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    verb = _verb(verbs, "adopt", "add the template to an existing repository, on a branch; overwrites nothing")
    verb.add_argument("directory", type=Path, metavar="DIR", nargs="?", default=Path())
    _spec_options(verb)
    verb.add_argument("--branch", default="template/adopt", help="name of the new branch (default: template/adopt)")
