"""Where the script `hint` begins: Ctrl-C is a word and exit status 130 from the first moment on."""

import sys


def main() -> None:
    """`hint_plugin.cli.app.main`; its import takes a moment in which one may change one's mind."""
    try:
        from hint_plugin.cli.app import main as run

        run()
    except KeyboardInterrupt:
        sys.stderr.write("stopped: nothing was done yet\n")
        sys.exit(130)


if __name__ == "__main__":
    main()
