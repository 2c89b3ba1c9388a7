"""`python -m perceptinit`, the same as the `perceptinit` command."""

from perceptinit.cli import main

if __name__ == "__main__":
    main()
