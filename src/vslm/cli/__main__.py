"""`python -m vslm.cli` is `vslm`."""

from vslm.cli.command_line import main

if __name__ == "__main__":
    main()
