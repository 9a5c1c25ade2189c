"""The command line: ``python -m validation run`` and ``python -m validation list``."""

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

UNUSABLE = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return the exit status.

    0 if every claim passed, 1 if one failed, 2 for unusable arguments, 3 if claims were only underpowered.
    """
    options = _parser().parse_args(arguments)
    # Here, so that --help and a wrong argument answer at once, and worker processes do not import it.
    from validation.commands import UnusableArgumentError, list_standard, run_standard

    try:
        return list_standard() if options.command == "list" else run_standard(options)
    except UnusableArgumentError as problem:
        print(f"validation: {problem}", file=sys.stderr)
        return UNUSABLE
    except BrokenPipeError:  # whoever read the output has gone; Python would complain once more when it flushes
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        print("validation: interrupted; nothing was written", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m validation",
        description="Check estimators on synthetic data with known truth, and write a report.",
        epilog="Exit status of run: 0 all claims passed, 1 a claim failed, 2 unusable arguments, 3 underpowered only.",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="{run,list}")
    run = commands.add_parser("run", help="run a study and write index.html and results.json")
    run.add_argument(
        "--output", type=Path, default=Path("report"), metavar="DIR", help="folder to write to (default: report)"
    )
    run.add_argument(
        "--replicates", type=_at_least(1), metavar="R", help="replicates of every scenario (default: its own number)"
    )
    run.add_argument(
        "--workers", type=_at_least(1), metavar="W", help="worker processes (default: the available cores)"
    )
    run.add_argument("--seed", type=_at_least(0), default=0, metavar="S", help="seed of the study (default: 0)")
    run.add_argument("--scenario", nargs="+", action="extend", metavar="NAME", help="run these scenarios only")
    run.add_argument("--estimator", nargs="+", action="extend", metavar="NAME", help="run these estimators only")
    commands.add_parser("list", help="list scenarios and estimators")
    return parser


def _at_least(least: int) -> Callable[[str], int]:
    def whole(text: str) -> int:
        if not text.lstrip("-").isdigit() or int(text) < least:
            raise argparse.ArgumentTypeError(f"expected a whole number of at least {least}, got {text!r}")
        return int(text)

    return whole


if __name__ == "__main__":
    sys.exit(main())
