"""The contract of image tokenizers as tests, and of those that draw as well; and pictures to try them on."""

import pytest
import torch
from media_tokenizer_testing import MediaTokenizerTester


def shapes_on_grey(count: int, shape: tuple[int, int] = (16, 16), seed: int = 0) -> torch.Tensor:
    """Blots of one colour on grey, float32 (count, 3, *shape) in 0..1."""
    generator = torch.Generator().manual_seed(seed)
    down, across = (torch.linspace(0, 1, side) for side in shape)
    pictures = torch.full((count, 3, *shape), 0.88)
    for picture in pictures:
        colour, (y, x), size = (torch.rand(n, generator=generator) for n in (3, 2, 1))
        inside = (down[:, None] - y).square() + (across - x).square() < (0.2 + 0.2 * size).square()
        picture[:, inside] = colour[:, None]
    return pictures


class ImageTokenizerTester(MediaTokenizerTester):
    """Every image tokenizer: pictures of any size, h w codes each."""

    def build_media(self):
        return [
            shapes_on_grey(1, shape, seed)[0]
            for seed, shape in enumerate([(16, 16), (40, 23), (9, 31), (1, 1), (16, 16)])
        ]

    def test_the_grid_is_told(self, tokenizer):
        height, width = tokenizer.grid
        assert tokenizer.describe_modality()["grid"] == [height, width]
        assert tokenizer.modality == "image" and tokenizer.frame_rate is None and tokenizer.sampling_rate is None

    @pytest.mark.parametrize(
        ("image", "message"),
        [
            (torch.rand(16, 16), "float"),
            (torch.rand(1, 16, 16), "float"),
            (torch.rand(4, 16, 16), "float"),
            (torch.rand(3, 0, 16), "float"),
            (torch.zeros(3, 16, 16, dtype=torch.uint8), "float"),
            (torch.full((3, 16, 16), 255.0), "divide bytes by 255"),
            (torch.full((3, 16, 16), float("nan")), "NaN"),
            (torch.rand(3, 1, 20_000), "too narrow"),
        ],
    )
    def test_pictures_that_cannot_be_encoded(self, tokenizer, image, message):
        with pytest.raises(ValueError, match=message):
            tokenizer.encode([image])


class ImageAutoencoderTester(ImageTokenizerTester):
    """Those that draw what their codes say."""

    def test_codes_become_pictures_of_the_promised_shape(self, tokenizer, media):
        drawn = tokenizer.decode(tokenizer.encode(media))
        assert len(drawn) == len(media) and tokenizer.decode([]) == []
        for image in drawn:
            assert image.shape == (3, *tokenizer.config.shape) and image.dtype == torch.float32
            assert image.device.type == "cpu" and 0 <= float(image.min()) <= float(image.max()) <= 1
            (image * torch.ones(1, requires_grad=True)).sum().backward()  # it may be used in training

    def test_a_batch_draws_the_pictures_of_its_items(self, tokenizer, media):
        codes = tokenizer.encode(media)
        together = tokenizer.decode(codes)
        assert all(torch.equal(tokenizer.decode([item])[0], image) for item, image in zip(codes, together))

    def test_the_rows_of_the_grid_come_one_after_another(self, tokenizer):
        height, width = tokenizer.grid
        codes = torch.arange(height * width) % tokenizer.codebook_size
        pixels = tokenizer.pixels_of(codes.view(1, height, width))[0].detach().clamp(0, 1)
        torch.testing.assert_close(tokenizer.decode([codes])[0], pixels)
        [image] = shapes_on_grey(1, tokenizer.config.shape, seed=3)
        assert torch.equal(tokenizer.encode([image])[0], tokenizer.codes_of(image[None]).flatten())

    @pytest.mark.parametrize("change", ["short", "long", "high", "low", "float", "grid"])
    def test_codes_that_cannot_be_decoded(self, tokenizer, change):
        height, width = tokenizer.grid
        codes = torch.zeros(height * width, dtype=torch.long)
        wrong = {
            "short": codes[1:], "long": torch.cat([codes, codes[:1]]), "high": codes + tokenizer.codebook_size,
            "low": codes - 1, "float": codes.float(), "grid": codes.view(height, width),
        }  # fmt: skip
        with pytest.raises(ValueError, match="codes 0"):
            tokenizer.decode([wrong[change]])

    def test_the_losses_take_one_size_only(self, tokenizer):
        height, width = tokenizer.config.shape
        for batch in (
            torch.rand(2, 3, height, width + 1),
            torch.rand(3, height, width),
            torch.rand(0, 3, height, width),
        ):
            with pytest.raises(ValueError, match="pixel_values has the shape"):
                tokenizer(batch)
