"""Entry point of `python -m perceptinit` and of the `perceptinit` command."""

from perceptinit.running.interruption import exit_when_stopped


def main() -> None:
    """Run the command line. SIGTERM and SIGUSR1 end it with exit code 75, also during imports."""
    with exit_when_stopped():
        from perceptinit.cli import main as run_command_line

        run_command_line()


if __name__ == "__main__":
    main()
