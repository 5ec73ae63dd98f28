"""Magika, which tells what a file holds by a network that its package carries. Prints what it says of some."""

from magika import Magika

TEXTS = {
    "python": b"import os\n\n\ndef main(argv: list[str]) -> int:\n    for name in os.listdir('.'):\n        print(name)\n    return 0\n",
    "json": b'{"name": "ort", "versions": [1, 2, 3], "nested": {"a": null, "b": true}}\n',
    "html": b"<!DOCTYPE html>\n<html><head><title>A page</title></head><body><p>Some words</p></body></html>\n",
    "c": b'#include <stdio.h>\n\nint main(void) {\n    printf("%d\\n", 5);\n    return 0;\n}\n',
}


def main() -> None:
    """Ask for each."""
    magika = Magika()
    for kind, content in TEXTS.items():
        answer = magika.identify_bytes(content)
        assert answer.output.label == kind, (kind, answer)
        print(kind, round(answer.score, 3))


if __name__ == "__main__":
    main()
