"""Pictures as they come to a user: little changed, and looked at alone."""

import numpy as np
import pytest
import torch
from transformers import AutoProcessor

from triglot import TriglotError
from triglot.training.data.picture_conditions import SHARES, recorded_picture
from triglot.training.data.picture_rows import as_tensor, training_scenes
from triglot.training.data.scene_pictures import draw_scene
from triglot.training.data.token_examples import token_examples
from triglot.training.data.token_rows import DemoWorldRows, TokensArguments, write_shards
from triglot.training.data.token_shards import read_rows


class PixelsAlone:
    """An image tokenizer that cannot draw."""

    def encode(self, pictures):
        return [torch.zeros(4, dtype=torch.long) for _ in pictures]


class Greyer(PixelsAlone):
    """One that draws what it was given last, a little paler."""

    def encode(self, pictures):
        self.seen = pictures
        return super().encode(pictures)

    def decode(self, codes):
        assert len(codes) == 1
        return [picture * 0.97 for picture in self.seen]


@pytest.fixture
def picture():
    (scene,) = training_scenes(1)
    return as_tensor(draw_scene(scene, seed=1))


@pytest.mark.parametrize("kind", SHARES)
def test_a_recorded_picture_shows_the_same_a_little_changed(kind, picture):
    changed = recorded_picture(picture, Greyer(), np.random.default_rng(0), kind)
    assert changed.shape == picture.shape and changed.dtype == torch.float32
    assert float(changed.min()) >= 0.0 and float(changed.max()) <= 1.0
    difference = (changed - picture).abs()
    assert 0.001 < float(difference.mean()) < 0.06
    again = recorded_picture(picture, Greyer(), np.random.default_rng(0), kind)
    assert torch.equal(changed, again)


def test_a_tokenizer_that_cannot_draw_is_never_asked_to(picture):
    for seed in range(20):
        recorded_picture(picture, PixelsAlone(), np.random.default_rng(seed))


def rows_of(image_tokenizer, random_checkpoint, share):
    arguments = TokensArguments(text_rows=40, recorded_image_share=share)
    speech = str(random_checkpoint / "speech_tokenizer")
    return DemoWorldRows(speech, ("en", "es", "hi"), arguments, 0, str(image_tokenizer))(0, 40)


def test_a_share_of_the_pictures_is_recorded(image_tokenizer, random_checkpoint):
    clean, some = (rows_of(image_tokenizer, random_checkpoint, share) for share in (0.0, 0.5))
    assert rows_of(image_tokenizer, random_checkpoint, 0.5) == some
    pictures = [(one, other) for one, other in zip(clean, some) if one["image_source"]]
    assert 5 < sum(other["recorded_image"] for _, other in pictures) < len(pictures) - 5
    assert not any(one["recorded_image"] for one, _ in pictures)
    for one, other in zip(clean, some):
        assert one["text_source"] == other["text_source"]
        assert other["recorded_image"] or one["image_source"] == other["image_source"]
    with pytest.raises(TriglotError, match="recorded_image_share"):
        TokensArguments(recorded_image_share=1.5)


def test_it_is_looked_at_and_not_imitated(random_checkpoint):
    processor = AutoProcessor.from_pretrained(random_checkpoint)
    row = {
        "text_source": "a", "text_target": "b", "source_language": "en", "target_language": "es", "image_source": [0, 1, 2, 3],
    }  # fmt: skip
    weights = {"CAPTION": 1, "T2I": 1}
    tasks = [example["task"] for example in token_examples([row], processor, weights, both_directions=True)]
    assert tasks == ["CAPTION", "T2I"] * 2
    recorded = {**row, "recorded_image": True}
    tasks = [example["task"] for example in token_examples([row, recorded], processor, weights, both_directions=True)]
    assert tasks == ["CAPTION", "T2I"] * 2 + ["CAPTION"] * 2


def test_the_column_is_written(tmp_path):
    write_shards(tmp_path, 1, 1, lambda first, last: [{"text_source": "a", "recorded_image": True}])
    (row,) = read_rows(tmp_path)
    assert row["recorded_image"] is True
