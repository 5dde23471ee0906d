"""Every rule of the manifest, broken once."""

from __future__ import annotations

import pytest

from reconciler.manifest.loading import load_text, load_texts
from reconciler.manifest.source import pure_events
from reconciler.model.errors import ManifestError
from tests.unit.manifest.samples import SAMPLES, Sample


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda s: s.name)
def test_broken_rule_is_reported_in_exactly_these_words(sample: Sample, tmp_path):
    with pytest.raises(ManifestError) as raised:
        load_text(sample.manifest, tmp_path)

    assert str(raised.value).splitlines() == list(sample.expected)
    assert raised.value.exit_code == 1


@pytest.mark.parametrize("sample", [s for s in SAMPLES if len(s.manifest) < 1000], ids=lambda s: s.name)
def test_parser_in_pure_python_gives_the_same_places(sample: Sample, tmp_path):
    with pytest.raises(ManifestError) as raised:
        load_texts([("manifest.yaml", sample.manifest)], tmp_path, [pure_events])

    assert str(raised.value).splitlines() == list(sample.expected)


def test_sample_names_are_unique():
    assert len({s.name for s in SAMPLES}) == len(SAMPLES)
