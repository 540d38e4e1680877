"""The contract of `MediaTokenizer` as tests: subclass it beside a `build_tokenizer` and a `build_media`."""

import copy
from pathlib import Path

import pytest
import torch

from triglot.modeling.tokenizers.media_tokenizer import MediaTokenizer


class MediaTokenizerTester:
    """Runs the same contract over every tokenizer. Subclasses say what to build."""

    def build_tokenizer(self) -> MediaTokenizer:
        """A small tokenizer with a code book, in evaluation mode."""
        raise AssertionError("a subclass builds the tokenizer")

    def build_media(self) -> list[torch.Tensor]:
        """A few items; of different lengths where the tokenizer allows it."""
        raise AssertionError("a subclass builds the media")

    def expected_length(self, tokenizer: MediaTokenizer, item: torch.Tensor) -> int:
        """Number of codes of an item."""
        if tokenizer.grid is not None:
            return tokenizer.grid[0] * tokenizer.grid[1]
        return -(-item.shape[-1] * tokenizer.frame_rate // tokenizer.sampling_rate)

    @pytest.fixture(scope="class")
    @classmethod
    def tokenizer(cls) -> MediaTokenizer:
        torch.manual_seed(0)
        return cls().build_tokenizer()

    @pytest.fixture(scope="class")
    @classmethod
    def media(cls) -> list[torch.Tensor]:
        torch.manual_seed(1)
        return cls().build_media()

    def test_codes_have_the_promised_shape_and_range(self, tokenizer, media):
        codes = tokenizer.encode(media)
        assert len(codes) == len(media)
        for item, code in zip(media, codes):
            assert code.dtype == torch.int64 and code.device.type == "cpu" and code.ndim == 1
            assert len(code) == self.expected_length(tokenizer, item)
            assert int(code.min()) >= 0 and int(code.max()) < tokenizer.codebook_size
        assert torch.cat(codes).unique().numel() > 1, "all codes are the same: the test would prove nothing"

    def test_encoding_is_deterministic_even_in_training_mode(self, tokenizer, media):
        first = tokenizer.encode(media)
        second = copy.deepcopy(tokenizer).train().encode(media)
        assert all(torch.equal(a, b) for a, b in zip(first, second))

    def test_a_batch_gives_the_codes_of_its_items(self, tokenizer, media):
        together = tokenizer.encode(media)
        assert all(torch.equal(tokenizer.encode([item])[0], codes) for item, codes in zip(media, together))
        assert tokenizer.encode([]) == []

    def test_codes_may_index_an_embedding_in_training(self, tokenizer, media):
        embedding = torch.nn.Embedding(tokenizer.codebook_size, 2)
        embedding(tokenizer.encode(media[:1])[0]).sum().backward()
        assert embedding.weight.grad is not None

    def test_saving_and_loading_keeps_codes_and_fingerprint(self, tokenizer, media, tmp_path):
        tokenizer.save_pretrained(tmp_path)
        loaded = type(tokenizer).from_pretrained(tmp_path)
        assert len(loaded.fingerprint) == 64 and loaded.fingerprint == tokenizer.fingerprint
        assert all(torch.equal(a, b) for a, b in zip(tokenizer.encode(media), loaded.encode(media)))
        loaded.save_pretrained(tmp_path / "again")
        assert type(tokenizer).from_pretrained(tmp_path / "again").fingerprint == tokenizer.fingerprint
        assert not list(Path(tmp_path).rglob("*.bin")) and list(Path(tmp_path).glob("*.safetensors"))

    def test_saving_in_float16_keeps_the_fingerprint(self, tokenizer, media, tmp_path):
        copy.deepcopy(tokenizer).half().save_pretrained(tmp_path)
        loaded = type(tokenizer).from_pretrained(tmp_path, dtype=torch.float16)
        assert loaded.dtype == torch.float16
        loaded.save_pretrained(tmp_path / "again")
        again = type(tokenizer).from_pretrained(tmp_path / "again", dtype=torch.float32)
        assert tokenizer.fingerprint == loaded.fingerprint == again.fingerprint
        assert all(len(a) == len(b) for a, b in zip(tokenizer.encode(media), again.encode(media)))

    def test_other_weights_have_another_fingerprint(self, tokenizer, tmp_path):
        other = copy.deepcopy(tokenizer)
        with torch.no_grad():
            next(other.parameters()).add_(0.5)
        other.save_pretrained(tmp_path)
        assert type(other).from_pretrained(tmp_path).fingerprint != tokenizer.fingerprint

    def test_the_modality_is_described_for_a_language_model(self, tokenizer):
        entry = tokenizer.describe_modality()
        assert entry["name"] == tokenizer.modality and entry["size"] == tokenizer.codebook_size
        assert entry["fingerprint"] == tokenizer.fingerprint
        assert ("grid" in entry) != ("frame_rate" in entry)

    def test_an_item_of_the_wrong_shape_is_an_error(self, tokenizer, media):
        with pytest.raises(ValueError):
            tokenizer.encode([media[0][None]])
