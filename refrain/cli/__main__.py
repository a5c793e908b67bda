"""`python -m refrain.cli`: the command line without the installed script."""

from refrain.cli import main

main()
