"""Where ``lecturepulse`` and ``python -m fer_core`` begin; the commands are ``cli``'s work."""

import sys


def start() -> None:
    """Run the command line; Ctrl-C ends it in plain words while it is still being read, too."""
    try:
        from fer_core.cli import main
    except KeyboardInterrupt:
        sys.stderr.write("Stopped before anything was begun.\n")
        sys.exit(130)
    main()


if __name__ == "__main__":
    start()
