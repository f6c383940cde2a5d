"""`python -m cwbench` is the program `cwbench`."""

from cwbench.cli.main import main

if __name__ == "__main__":
    main()
