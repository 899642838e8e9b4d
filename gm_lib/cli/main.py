"""The command line: ``python -m gm_lib --help``, installed also as ``gm_lib``.

torch and what needs it are imported inside the commands: ``--help`` answers at once, and ``env`` can report a
torch that does not work.
"""

import sys
from typing import Any

import click

from gm_lib import __version__
from gm_lib.cli.beyond import train_beyond
from gm_lib.cli.env import env
from gm_lib.cli.evaluate import evaluate
from gm_lib.cli.export import export
from gm_lib.cli.sample import sample
from gm_lib.cli.train import train


class FriendlyGroup(click.Group):
    """A group whose commands end with the message of an error that the user can mend, without a traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        for output in (sys.stdout, sys.stderr):  # no result is lost because some terminal knows no ≥
            if hasattr(output, "reconfigure"):
                output.reconfigure(errors="replace")
        try:
            return super().invoke(ctx)
        except BrokenPipeError:  # `gm_lib env | head`: click ends quietly
            raise
        except OSError as error:
            # The system's own messages name the file apart.
            named = f"{error.filename}: {error.strerror}" if error.filename else error.strerror
            raise click.ClickException(named or str(error)) from error
        except (ValueError, FloatingPointError, ImportError) as error:
            raise click.ClickException(str(error)) from error


@click.group(
    cls=FriendlyGroup,
    context_settings={"show_default": True, "help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, prog_name="gm_lib")
def main() -> None:
    """Train, sample, evaluate and export the models of the course Generative Models.

    \b
    Examples:
      python -m gm_lib train vae            about a minute on two CPU cores
      python -m gm_lib train gan            about two
      python -m gm_lib sample runs/vae
      python -m gm_lib evaluate runs/vae
      python -m gm_lib export runs/vae
      python -m gm_lib env                  does this machine have what is needed?
    """


train.add_command(train_beyond)
for command in (train, sample, evaluate, export, env):
    main.add_command(command)
