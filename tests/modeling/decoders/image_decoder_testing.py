"""ImageDecoderTester: the contract of image decoders as a mixin, on top of that of every decoder."""

from typing import Any

import pytest
import torch
from media_decoder_testing import MediaDecoderTester

SIZES = {"codebook_size": 8, "grid": [2, 4], "image_size": [16, 32], "code_dim": 4, "fingerprint": "patches"}


class ImageDecoderTester(MediaDecoderTester):
    """Every image decoder: h w codes, pictures of one size, noise by a seed."""

    value_range = (0.0, 1.0)
    draws_from_noise = True

    def code_sequences(self, decoder: Any) -> list[torch.Tensor]:
        generator = torch.Generator().manual_seed(5)
        count = decoder.grid[0] * decoder.grid[1]
        return [torch.randint(decoder.codebook_size, (count,), generator=generator) for _ in range(3)]

    def training_inputs(self, decoder: Any) -> dict[str, torch.Tensor]:
        torch.manual_seed(0)
        codes = torch.stack([*self.code_sequences(decoder), torch.zeros(8, dtype=torch.long)])
        return {"codes": codes, "pixel_values": torch.rand(4, 3, *decoder.config.shape)}

    def expected_shape(self, decoder: Any, codes: torch.Tensor) -> tuple[int, ...]:
        return (3, *decoder.config.shape)

    def test_another_seed_is_another_picture(self):
        decoder = self.make_decoder()
        codes = self.code_sequences(decoder)
        first, again, other = (decoder.decode(codes, seed=seed) for seed in (1, 1, 2))
        assert all(torch.equal(one, two) for one, two in zip(first, again))
        assert torch.equal(decoder.decode(codes)[0], decoder.decode(codes, seed=decoder.config.seed)[0])
        assert torch.equal(first[0], other[0]) != self.draws_from_noise

    def test_what_is_drawn_may_be_used_in_training(self):
        decoder = self.make_decoder()
        [picture, *_] = decoder.decode(self.code_sequences(decoder))
        (picture * torch.ones(1, requires_grad=True)).sum().backward()

    @pytest.mark.parametrize("change", ["short", "long", "float"])
    def test_a_picture_has_so_many_codes(self, change):
        decoder = self.make_decoder()
        good = self.code_sequences(decoder)[0]
        wrong = {"short": good[1:], "long": torch.cat([good, good[:1]]), "float": good.float()}
        with pytest.raises(ValueError, match="Item 1 is"):
            decoder.decode([good, wrong[change]])

    def test_a_training_step_takes_one_size_only(self):
        decoder = self.make_decoder()
        inputs = self.training_inputs(decoder)
        for name, wrong in (("pixel_values", inputs["pixel_values"][..., 1:]), ("codes", inputs["codes"][:, 1:])):
            with pytest.raises(ValueError, match="has the shape"):
                decoder(**{**inputs, name: wrong})

    def test_broken_weights_are_named(self):
        decoder = self.make_decoder()
        with torch.no_grad():
            for parameter in decoder.parameters():
                parameter.fill_(torch.nan)
        with pytest.raises(ValueError, match="weights are broken"):
            decoder.decode(self.code_sequences(decoder)[:1])
