"""``python -m gm_lib``: see ``gm_lib.cli``."""

from gm_lib.cli.main import main

if __name__ == "__main__":
    main()
