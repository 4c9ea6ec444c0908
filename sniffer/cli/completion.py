"""``hellowatch completion``: what a shell needs to complete commands, options and files."""

import click

SHELLS = ("bash", "zsh", "fish")

EPILOG = """\b
Where it goes:
  bash   hellowatch completion bash > /etc/bash_completion.d/hellowatch
  zsh    hellowatch completion zsh > /usr/local/share/zsh/site-functions/_hellowatch
  fish   hellowatch completion fish > ~/.config/fish/completions/hellowatch.fish

\b
For one session:
  eval "$(hellowatch completion bash)"
"""


@click.command("completion", epilog=EPILOG)
@click.argument("shell", metavar="|".join(SHELLS), type=click.Choice(SHELLS))
def command(shell: str) -> None:
    """Print the completion script of a shell."""
    from click.shell_completion import get_completion_class

    from sniffer.cli.main import COMPLETE, PROGRAM, cli

    made = get_completion_class(shell)
    assert made is not None  # noqa: S101 (tells mypy: click has all three)
    click.echo(made(cli, {}, PROGRAM, COMPLETE).source())
