"""SoundStorm: the decoder contract, its masks, its passes, any ratio of rates, and that it learns."""

import math

import pytest
import torch
from codec_testing import build_codec
from codec_token_testing import CODES, ENTRIES, LEVELS, CodecTokenTester, codec_facts, speech_to_learn

from triglot.modeling.decoders.configuration_soundstorm import SoundStormConfig
from triglot.modeling.decoders.modeling_soundstorm import SoundStorm

SMOKE = {
    "codebook_size": CODES, "fingerprint": "told", "prompt_seconds": 0.4, "window_seconds": 2.0, "context_seconds": 0.4,
    "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 48, "dropout": 0.0,
    "iterations": 4, "initializer_range": 0.2,
}  # fmt: skip


def build(kind: str = "dac", **changes) -> SoundStorm:
    codec = build_codec(kind)
    torch.manual_seed(0)
    model = SoundStorm(SoundStormConfig(**{**SMOKE, **codec_facts(kind), **changes}))
    model.take_codec(codec)
    return model.eval()


class TestSoundStormContract(CodecTokenTester):
    def build(self, **changes):
        return build(**changes)

    def training_inputs(self, decoder):
        return {**super().training_inputs(decoder), "levels": torch.arange(6) % LEVELS}  # every head is asked


@pytest.mark.parametrize(
    ("kind", "rate", "samples"), [("mimi", 25.0, 960), ("encodec", 25.0, 960), ("xcodec", 50.0, 320)]
)
def test_other_codecs_and_rates(kind, rate, samples):
    """12.5, 75 and 50 frames/s under 25, 25 and 50 codes/s."""
    model = build(kind, frame_rate=rate)
    for length in (1, 5, 12):
        [wave] = model.decode([torch.arange(length)])
        assert wave.shape == (samples * length,)
    with pytest.raises(ValueError, match="frames/s begin together only"):
        build(kind, frame_rate=rate * 1.01)


def test_finer_levels_are_guessed_where_they_count():
    """With a weight for them the loss asks for the finer codes behind the cut, and for no padding."""
    model = build(finer_weight=1.0)
    semantic = torch.randint(CODES, (1, 10))
    acoustic = torch.randint(ENTRIES, (1, LEVELS, model.aligner.frames(10)))
    frames = acoustic.shape[-1]
    hidden = torch.zeros(1, frames, dtype=torch.bool)
    hidden[:, 5] = True
    given = (torch.tensor([frames - 6]), torch.tensor([LEVELS - 2]), hidden)
    loss = model(semantic, acoustic, *given).loss
    for frame, counts in (
        (4, True),
        (5, True),
        (frames - 7, True),
        (frames - 6, False),
    ):  # 4: told, and so another pass
        other = acoustic.clone()
        other[0, LEVELS - 1, frame] = (other[0, LEVELS - 1, frame] + 1) % ENTRIES
        assert torch.equal(model(semantic, other, *given).loss, loss) is not counts
    finest = (given[0], torch.tensor([LEVELS - 1]), hidden)
    plain = build(finer_weight=0.0)
    plain.load_state_dict(model.state_dict())
    torch.testing.assert_close(model(semantic, acoustic, *finest).loss, plain(semantic, acoustic, *finest).loss)


def test_a_pass_does_not_see_what_is_hidden_or_padded():
    model = build()
    semantic = torch.randint(CODES, (2, 10))
    acoustic = torch.randint(ENTRIES, (2, LEVELS, model.aligner.frames(10)))
    frames = acoustic.shape[-1]
    lengths = torch.tensor([frames, frames - 6])
    hidden = torch.zeros(2, frames, dtype=torch.bool)
    hidden[:, 5] = hidden[:, 8] = True
    levels = torch.tensor([1, 0])
    loss = model(semantic, acoustic, lengths, levels, hidden).loss
    other = acoustic.clone()
    other[0, 2:, 5:] = (other[0, 2:, 5:] + 1) % ENTRIES  # finer levels from the first hidden frame on
    other[1, 1:, 5:] = (other[1, 1:, 5:] + 1) % ENTRIES
    other[1, :, frames - 6 :] = 0  # padding
    torch.testing.assert_close(model(semantic, other, lengths, levels, hidden).loss, loss)
    for level, frame in ((0, 5), (1, 6), (3, 4)):  # what is told: coarser levels, the level's other frames, the prompt
        other = acoustic.clone()
        other[0, level, frame] = (other[0, level, frame] + 1) % ENTRIES
        assert not torch.equal(model(semantic, other, lengths, levels, hidden).loss, loss)
    with pytest.raises(ValueError, match="levels of"):
        model(semantic, acoustic[:, :, :-1])


def test_masks_are_the_papers():
    model = build()
    torch.manual_seed(1)
    lengths = torch.full((4000,), 40)
    lengths[2000:] = 25
    hidden, cuts = model._draw_hidden(lengths, 4000, 40, torch.device("cpu"))
    place = torch.arange(40)
    assert bool(hidden.any(1).all())
    assert not bool((hidden & (place < cuts[:, None])).any()) and not bool(
        (hidden & (place >= lengths[:, None])).any()
    )
    share = hidden.sum(1) / (lengths - cuts)
    long = lengths - cuts > 15  # where rounding up does not matter much
    assert float(share[long].mean()) == pytest.approx(2 / math.pi, abs=0.04)  # the mean of cos u
    assert float((cuts / lengths).mean()) == pytest.approx(0.5, abs=0.03)


def test_the_first_level_is_asked_as_often_as_wanted():
    torch.manual_seed(0)
    levels = build(first_share=0.6)._draw_levels(4000, torch.device("cpu"))
    assert 0.57 < float((levels == 0).float().mean()) < 0.63
    counts = levels.bincount(minlength=LEVELS)[1:].float() / 4000
    assert len(counts) == LEVELS - 1 and float((counts - 0.4 / (LEVELS - 1)).abs().max()) < 0.03
    plain = build()._draw_levels(4000, torch.device("cpu")).bincount(minlength=LEVELS).float() / 4000
    assert float((plain - 1 / LEVELS).abs().max()) < 0.03
    with pytest.raises(ValueError, match="first_share"):
        build(first_share=1.5)


@pytest.mark.parametrize("frames", [1, 2, 3, 5])
def test_fewer_frames_than_passes(frames):
    model = build(iterations=16)
    semantic = torch.randint(CODES, (frames,))
    known = torch.zeros(LEVELS, 0, dtype=torch.long)
    codes = model.complete(semantic, known, torch.Generator().manual_seed(0))
    assert codes.shape == (LEVELS, model.aligner.frames(frames)) and int(codes.max()) < ENTRIES


def test_the_first_level_takes_all_passes_and_finer_ones_one_each():
    model = build(iterations=8)
    passes = []
    model.conformer.register_forward_hook(lambda *_: passes.append(1))
    model.decode([torch.arange(20)])
    assert len(passes) == 8 + LEVELS - 1


def test_codes_are_kept_by_confidence_on_a_cosine_schedule():
    model = build(iterations=4, choice_temperature=0.0)
    left = []
    draw = model._draw

    def listen(logits, remaining, generator):
        left.append(len(logits))
        return draw(logits, remaining, generator)

    model._draw = listen
    model.decode([torch.arange(20)])
    frames = model.aligner.frames(20)
    assert left == [frames, *(math.floor(frames * math.cos(math.pi / 2 * step / 4)) for step in (1, 2, 3))]


def test_without_temperature_the_likeliest_is_taken_and_the_seed_does_not_matter():
    model = build(temperature=0.0, choice_temperature=0.0)
    codes = torch.arange(20)
    assert torch.equal(model.decode([codes], seed=1)[0], model.decode([codes], seed=2)[0])


def test_codes_are_drawn_by_their_probabilities():
    model = build(temperature=0.5, choice_temperature=0.0)
    logits = torch.tensor([[0.0, 1.0, -torch.inf, 0.5]]).repeat(20_000, 1).nan_to_num(neginf=-1e9)
    drawn, confidence = model._draw(logits, 0.0, torch.Generator().manual_seed(0))
    wanted = (logits[0] / 0.5).softmax(-1)
    shares = drawn.bincount(minlength=4) / len(drawn)
    assert float((shares - wanted).abs().max()) < 0.015 and int((drawn == 2).sum()) == 0
    torch.testing.assert_close(confidence, wanted.log()[drawn])


def test_it_overfits_one_batch():
    """Frames that follow from codes and voice are learnt: all levels, with a prompt of another sentence in front."""
    model = build(dropout=0.0).train()
    torch.manual_seed(0)
    semantic, acoustic = speech_to_learn(model)
    optimiser = torch.optim.AdamW(model.parameters(), lr=5e-3)
    for _ in range(400):
        loss = model(semantic, acoustic).loss
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    model.eval()
    known = acoustic[:, :, : model.aligner.frames(10)]
    right = []
    for row in range(8):
        made = model.complete(semantic[row], known[row], torch.Generator().manual_seed(0))
        right.append((made == acoustic[row])[:, known.shape[-1] :].float().mean())
    assert float(torch.stack(right).mean()) > 0.97
