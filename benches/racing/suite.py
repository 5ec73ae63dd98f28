"""A folder of models whose weights are made by a program: `suite.json`, `skel/` and `materialize.py`."""

import importlib.util
import json
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# Beside a checkout, as it lies where the project is developed.
DEFAULT_FOLDER = Path(__file__).resolve().parents[3] / "shared" / "models"


@dataclass(frozen=True)
class Entry:
    """A model of the suite, and the names of its sets of inputs; the first one has none."""

    name: str
    stage: str
    family: str
    variants: tuple[str | None, ...]


class Suite:
    """The models of one folder."""

    def __init__(self, folder: Path) -> None:
        """Read what `folder` holds; `FileNotFoundError` says which of its parts is missing."""
        self.folder = folder
        described = json.loads((folder / "suite.json").read_text())
        self.entries = {name: _entry(name, fields) for name, fields in described.items()}
        self._program = _load(folder / "materialize.py")

    def chosen(self, stages: Collection[str] = (), families: Collection[str] = (), names: Collection[str] = ()) -> list[Entry]:
        """The entries that are of one of `stages`, one of `families`, and one of `names`; an empty collection leaves all."""
        unknown = set(names) - set(self.entries)
        if unknown:
            raise ValueError(f"{self.folder} has no model {', '.join(sorted(unknown))}")
        return [
            entry
            for entry in self.entries.values()
            if (not stages or entry.stage in stages) and (not families or entry.family in families) and (not names or entry.name in names)
        ]

    def materialize(self, name: str, folder: Path) -> Path:
        """The file of the model `name` in `folder`, which is made if it is not there."""
        path = folder / f"{name}.onnx"
        if not path.exists():
            # A file of that name is always whole: what is being made lies elsewhere until then.
            unfinished = folder / f"{name}.unfinished"
            self._program.main(self.folder / "skel", unfinished, name)
            for part in sorted(unfinished.iterdir(), key=lambda p: p == unfinished / path.name):
                part.rename(folder / part.name)
            unfinished.rmdir()
        return path

    def inputs(self, name: str, variant: str | None = None) -> dict[str, Any]:
        """What is fed to the model `name`: arrays, or lists of them."""
        feeds: dict[str, Any] = self._program.inputs_for(name, variant=variant)
        return feeds


def _entry(name: str, fields: dict[str, Any]) -> Entry:
    return Entry(name, fields["stage"], fields["family"], (None, *fields.get("variants", {})))


def _load(path: Path) -> Any:
    """The module that the file `path` holds."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None or not path.exists():
        raise FileNotFoundError(f"{path} is not a Python program")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
