"""The published and composed YooKassa objects the tests read (data only)."""

import json
from pathlib import Path

SAMPLES = Path(__file__).parent / "samples"


def sample(name: str) -> dict[str, object]:
    """`sample("payments/pending-sbp")`."""
    told = json.loads((SAMPLES / f"{name}.json").read_bytes())
    assert isinstance(told, dict)
    return told


def names(folder: str) -> list[str]:
    """All samples of a folder, as `sample` takes them."""
    found = sorted(f"{folder}/{path.stem}" for path in (SAMPLES / folder).glob("*.json"))
    assert found, folder
    return found


PENDING = sample("payments/pending-redirect")
