"""`python -m greenlight.entrypoints.cli`: the command line without its script."""

from greenlight.entrypoints.cli import main

main()
