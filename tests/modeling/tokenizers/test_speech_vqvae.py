"""SpeechVqvae: the contract of tokenizers, a code book that moves and does not die, and codes that become log-mel again."""

import copy

import pytest
import torch
from media_tokenizer_testing import MediaTokenizerTester
from transformers import AutoModel

import triglot  # noqa: F401  (registers the model)
from triglot.modeling.tokenizers.configuration_speech_vqvae import SpeechVqvaeConfig
from triglot.modeling.tokenizers.modeling_speech_vqvae import MovingCodebook, SpeechVqvae

SIZES = {
    "codebook_size": 16,
    "code_dim": 8,
    "hidden_size": 24,
    "num_blocks": 1,
    "kernel_size": 5,
    "initializer_range": 0.15,
}


def build(**changes) -> SpeechVqvae:
    torch.manual_seed(0)
    return SpeechVqvae(SpeechVqvaeConfig(**{**SIZES, **changes}))


def sound(samples: int, seed: int = 0, noise: float = 0.05) -> torch.Tensor:
    """A gliding tone with noise, louder and softer."""
    generator = torch.Generator().manual_seed(seed)
    time = torch.arange(samples) / 16_000
    tone = torch.sin(2 * torch.pi * (200 + 60 * seed + 400 * time) * time) * (1 + torch.sin(9 * time))
    return 0.2 * tone + noise * torch.randn(samples, generator=generator)


def trained(steps: int = 1, **changes) -> SpeechVqvae:
    """After some steps of its code book alone."""
    model = build(**changes).train()
    for step in range(steps):
        model(torch.stack([sound(16_000, seed) for seed in range(step, step + 3)]))
    model.eval()
    model.config.fingerprint = model.compute_fingerprint()
    return model


class TestSpeechVqvae(MediaTokenizerTester):
    def build_tokenizer(self):
        return trained()

    def build_media(self):
        return [sound(16_000), sound(9_001, 1), sound(24_000, 2)]


@pytest.mark.parametrize("stack", [1, 2, 4, 8])
def test_codes_and_frames_at_each_rate(stack):
    model = trained(frame_stack=stack)
    [codes] = model.encode([sound(16_000)])
    assert len(codes) == 100 // stack + (100 % stack > 0) and model.frame_rate == 100 / stack
    [mel] = model.decode([codes])
    assert mel.shape == (len(codes) * stack, 80) and mel.dtype == torch.float32


def test_padding_changes_neither_codes_nor_loss():
    model = trained()
    waves = [sound(16_000), sound(9_001, 1)]
    values, mask = torch.zeros(2, 16_000), torch.zeros(2, 16_000, dtype=torch.long)
    for row, wave in enumerate(waves):
        values[row, : len(wave)], mask[row, : len(wave)] = wave, 1
    with torch.no_grad():
        batch = model(values, mask)
        single = [model(wave[None]) for wave in waves]
    for row, alone in enumerate(single):
        assert torch.equal(batch.codes[row, : alone.codes.shape[1]], alone.codes[0])
    frames = [alone.log_mel.shape[1] for alone in single]
    mean = sum(float(alone.reconstruction_loss) * count for alone, count in zip(single, frames)) / sum(frames)
    assert float(batch.reconstruction_loss) == pytest.approx(mean, rel=1e-5)
    noise = values.clone()
    noise[1, 9_001:] = 5.0
    with torch.no_grad():
        assert float(model(noise, mask).loss) == pytest.approx(float(batch.loss), rel=1e-6)


def test_what_is_decoded_is_what_the_forward_pass_draws():
    model = trained()
    wave = sound(16_000)
    with torch.no_grad():
        drawn = model(wave[None]).log_mel[0]
    torch.testing.assert_close(model.decode(model.encode([wave]))[0], drawn, rtol=1e-4, atol=1e-5)


def test_training_learns_to_draw_a_sound_that_few_codes_can_tell():
    model = build(codebook_size=32).train()
    batch = torch.stack([sound(8_000, seed, noise=0.0) for seed in range(4)])  # noise cannot be told
    optimizer = torch.optim.AdamW(model.parameters(), 3e-3)
    silent = float(model.log_mel(batch)[0].abs().mean())  # what drawing nothing costs
    for _ in range(60):
        output = model(batch)
        optimizer.zero_grad()
        output.loss.backward()
        optimizer.step()
    assert float(output.reconstruction_loss) < 0.6 * silent
    assert float(output.perplexity) > 4


def test_the_encoder_gets_the_decoders_gradient_and_the_commitment():
    model = trained().train()
    for weight, wanted in ((0.0, True), (5.0, True)):
        model.config.commitment_weight = weight
        model.zero_grad()
        model(sound(16_000)[None]).loss.backward()
        grad = model.encoder.first.weight.grad
        assert bool(grad.abs().sum() > 0) == wanted
        if weight == 0.0:
            plain = grad.clone()
    assert not torch.allclose(plain, grad)


def test_the_code_book_follows_the_mean_of_what_it_is_given():
    book = MovingCodebook(SpeechVqvaeConfig(**{**SIZES, "codebook_size": 2, "ema_decay": 0.9, "revive_after": 1_000}))
    torch.manual_seed(0)
    left, right = torch.randn(200, 8) * 0.1 - 3, torch.randn(100, 8) * 0.1 + 3
    book.learn(torch.cat([left[:1], right[:1]]))
    while len(set(book.nearest(torch.stack([left[0], right[0]])).tolist())) < 2:  # both may start at the same vector
        book.vectors = torch.full_like(book.vectors, float("nan"))
        book.learn(torch.cat([left[:1], right[:1]]))
    for _ in range(100):
        book.learn(torch.cat([left, right]))
    order = book.nearest(torch.stack([left[0], right[0]]))
    torch.testing.assert_close(book.vectors[order], torch.stack([left.mean(0), right.mean(0)]), rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(book.counts[order], torch.tensor([200.0, 100.0]), rtol=1e-3, atol=0.1)


def test_dead_codes_are_revived_and_living_ones_left_alone():
    book = MovingCodebook(SpeechVqvaeConfig(**{**SIZES, "revive_after": 5}))
    torch.manual_seed(1)
    for _ in range(5):
        book.learn(torch.randn(300, 8) * 0.01)  # all over one place
    far = torch.cat([torch.randn(300, 8) * 0.01, 50 + torch.randn(300, 8)])
    book.vectors[:8] = -1000.0
    book.sums[:8], book.counts[:8] = -1000.0, 1.0
    living = book.nearest(far).unique()
    for _ in range(4):
        book.learn(far)
        assert bool((book.vectors[:8] < -900).all()), "too early"
    book.learn(far)
    assert not bool((book.vectors < -900).any())
    assert set(living.tolist()).isdisjoint(range(8))
    assert len(book.nearest(far).unique()) > len(living)


def test_evaluation_moves_nothing_and_the_state_survives_saving(tmp_path):
    model = trained(3)
    before = copy.deepcopy(model.state_dict())
    with torch.no_grad():
        model(sound(16_000, 7)[None])
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    model.save_pretrained(tmp_path)
    loaded = AutoModel.from_pretrained(tmp_path)
    assert isinstance(loaded, SpeechVqvae) and not loaded.training
    assert all(torch.equal(before[name], value) for name, value in loaded.state_dict().items())
    assert torch.equal(loaded.centroids, model.codebook.vectors)


def test_no_codes_before_training():
    model = build().eval()
    assert model.compute_fingerprint() == ""
    for call in (lambda: model.encode([sound(16_000)]), lambda: model.decode([torch.tensor([1])])):
        with pytest.raises(ValueError, match="no code book yet"):
            call()
    with pytest.raises(ValueError, match="no code book yet"), torch.no_grad():
        model(sound(16_000)[None])


@pytest.mark.parametrize(
    ("codes", "message"),
    [
        (torch.tensor([16]), "run from 16 to 16; this code book has 0 to 15"),
        (torch.tensor([-1, 3]), "run from -1"),
        (torch.tensor([1.0]), "whole numbers"),
        (torch.zeros(0, dtype=torch.long), "whole numbers"),
        (torch.zeros(2, 2, dtype=torch.long), "whole numbers"),
    ],
)
def test_codes_that_cannot_be_decoded(codes, message):
    with pytest.raises(ValueError, match=message):
        trained().decode([codes])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"frame_stack": 3}, "power of two"),
        ({"frame_stack": 0}, "power of two"),
        ({"kernel_size": 4}, "odd"),
        ({"window_length": 100}, "at least one hop"),
        ({"codebook_size": 0}, "at least 1"),
        ({"ema_decay": 1.0}, "below 1"),
    ],
)
def test_sizes_that_do_not_fit(change, message):
    with pytest.raises(ValueError, match=message):
        SpeechVqvaeConfig(**change)


@pytest.mark.parametrize(
    ("wave", "message"),
    [
        (torch.full((16_000,), float("nan")), "NaN"),
        (torch.zeros(10), "0.05 s"),
        (torch.zeros(16_000, dtype=torch.int16), "float"),
    ],
)
def test_sounds_that_cannot_be_encoded(wave, message):
    with pytest.raises(ValueError, match=message):
        trained().encode([wave])
