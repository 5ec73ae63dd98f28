"""Take the cases that pass now off the list of those that fail: `python tests/conformance/update.py`.

With `--all` the list is written anew, which may add to it.
"""

import argparse

import suite
from cases import all_cases


def main() -> None:
    """Run all cases, rewrite the list, and tell what fails."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--all", action="store_true", help="write every failing case, also those that were not listed")
    arguments = parser.parse_args()
    found = suite.results(all_cases())
    failing = {name for name, error in found.items() if error is not None}
    kept = failing if arguments.all else failing & suite.known_failures()
    suite.write_failures(kept)
    print(suite.summary(found))
    new = failing - kept
    print(f"{len(kept)} cases are listed as failing; {len(new)} fail without being listed")
    for name in sorted(new):
        print(f"    {name}: {found[name]}")


if __name__ == "__main__":
    main()
