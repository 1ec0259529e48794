"""What a process shows to Prometheus, read as Prometheus reads it."""

from collections.abc import Sequence
from dataclasses import dataclass

import httpx
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample


@dataclass(frozen=True, slots=True)
class Scrape:
    """One answer of `/metrics`."""

    samples: Sequence[Sample]
    types: dict[str, str]

    @classmethod
    def of(cls, text: str) -> "Scrape":
        """Read an answer."""
        families = list(text_string_to_metric_families(text))
        samples = [sample for family in families for sample in family.samples]
        return cls(samples, {family.name: family.type for family in families})

    @property
    def names(self) -> set[str]:
        """The names of all samples."""
        return {sample.name for sample in self.samples}

    def found(self, name: str, **labels: str) -> list[Sample]:
        """The samples of a name that have these labels among theirs."""
        return [
            sample
            for sample in self.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        ]

    def value(self, name: str, **labels: str) -> float:
        """The sum of what is found; fails where nothing is."""
        found = self.found(name, **labels)
        assert found, f"no {name} with {labels} in {sorted(self.names)}"
        return sum(sample.value for sample in found)


async def scrape(port: int) -> Scrape:
    """Ask a process on loopback."""
    async with httpx.AsyncClient(trust_env=False, timeout=30) as http:
        answer = await http.get(f"http://127.0.0.1:{port}/metrics")
    assert answer.status_code == httpx.codes.OK, answer.text
    return Scrape.of(answer.text)
