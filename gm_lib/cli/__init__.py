"""The command line: one file for each command, what they share in ``options`` and ``runs``."""
