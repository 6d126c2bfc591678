"""The licence in the model card of the Hugging Face hub: the YAML at the head of ``README.md``."""

from pathlib import Path

from geoseg.errors import SettingsError
from geoseg.importer.facts.facts import Fact
from geoseg.importer.facts.json_files import parse_yaml

CARD = "README.md"
FENCE = "---"


def read_card(folder: Path) -> dict[str, Fact[str]]:
    """The licence that a folder's model card states, as a fact; nothing if there is none."""
    try:
        lines = (folder / CARD).read_text("utf-8").splitlines()
        end = lines.index(FENCE, 1) if lines and lines[0] == FENCE else 0
        card = parse_yaml("\n".join(lines[1:end]), str(folder / CARD)) if end else {}
    except (OSError, ValueError, SettingsError):
        return {}  # a card is prose for people; a damaged one does not change the network
    name = card.get("license_name") if card.get("license") == "other" else card.get("license")
    return {"license": Fact(name, CARD)} if isinstance(name, str) else {}
