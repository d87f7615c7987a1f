"""``python -m opsnb``: the command line."""

from opsnb.cli.main import main

main()
