"""AudioLm: the decoder contract, its streams, cached decoding, and that it learns."""

import pytest
import torch
from codec_testing import build_codec
from codec_token_testing import CODES, ENTRIES, LEVELS, CodecTokenTester, codec_facts, speech_to_learn

from triglot.modeling.decoders.configuration_audiolm import AudioLmConfig
from triglot.modeling.decoders.modeling_audiolm import AudioLm

SMOKE = {
    "codebook_size": CODES, "fingerprint": "told", "prompt_seconds": 0.4, "window_seconds": 2.0, "context_seconds": 0.4,
    "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 48, "coarse_levels": 2,
    "fine_seconds": 0.3, "initializer_range": 0.2,
}  # fmt: skip


def build(**changes) -> AudioLm:
    codec = build_codec("dac")
    torch.manual_seed(0)
    model = AudioLm(AudioLmConfig(**{**SMOKE, **codec_facts(), **changes}))
    model.take_codec(codec)
    return model.eval()


class TestAudioLmContract(CodecTokenTester):
    def build(self, **changes):
        return build(**changes)


@pytest.mark.parametrize("coarse", [1, 2, LEVELS])
def test_with_and_without_a_fine_stage(coarse):
    model = build(coarse_levels=coarse)
    [wave] = model.decode([torch.arange(9)])
    assert wave.shape == (9 * 640,) and (model.fine is None) == (coarse == LEVELS)


def test_cached_decoding_writes_what_the_whole_stream_says():
    """Greedy: every code written is the likeliest one after the stream up to it, computed in one pass without a cache."""
    model = build(temperature=0.0, fine_temperature=0.0, fine_seconds=9.0)
    semantic = torch.arange(12)
    known = torch.randint(ENTRIES, (LEVELS, model.aligner.frames(4)))
    with torch.no_grad():
        made = model.complete(semantic, known, torch.Generator())
        for stage, stream, given in (
            (model.coarse, model._coarse_stream(semantic, made[:2]), known.shape[1]),
            (model.fine, model._fine_stream(made, made.shape[1]), known.shape[1]),
        ):
            ids, positions, start, _ = stream
            states = stage(stage.embed(stream)[None], positions[None], torch.ones_like(ids)[None])[0]
            for place in range(start + 2 * given, len(ids)):
                level = (place - start) % 2
                assert int(stage.heads[level](states[place - 1]).argmax()) == (ids[place] - stage.start - 1) % ENTRIES


def test_a_padded_item_loses_nothing():
    model = build()
    semantic = torch.randint(CODES, (1, 12))
    acoustic = torch.randint(ENTRIES, (1, LEVELS, model.aligner.frames(12)))
    frames = acoustic.shape[-1]
    short = model(semantic[:, :8], acoustic[..., : model.aligner.frames(8)]).coarse_loss
    padded = model(semantic, acoustic, torch.tensor([model.aligner.frames(8)])).coarse_loss
    torch.testing.assert_close(short, padded)
    both = model(semantic.repeat(2, 1), acoustic.repeat(2, 1, 1), torch.tensor([frames, model.aligner.frames(8)]))
    alone = model(semantic, acoustic).coarse_loss
    counts = frames, model.aligner.frames(8)
    torch.testing.assert_close(both.coarse_loss, (alone * counts[0] + short * counts[1]) / sum(counts))
    with pytest.raises(ValueError, match="levels of"):
        model(semantic, acoustic[:, :, :-1])


def test_positions_are_times():
    model = build()
    _, positions, given, beside = model._coarse_stream(torch.arange(3), torch.zeros(2, 6, dtype=torch.long))
    assert positions[:3].tolist() == [0, LEVELS, 2 * LEVELS]  # 31.25 frames/s under 25 codes/s
    assert positions[given:].tolist() == [frame * LEVELS + level for frame in range(6) for level in range(2)]
    assert beside.shape == (4, model.aligner.slots)
    _, positions, given, beside = model._fine_stream(torch.zeros(LEVELS, 6, dtype=torch.long), 6)
    assert positions[given:].tolist() == [frame * LEVELS + level for frame in range(6) for level in (2, 3)]
    assert beside.tolist() == [[0, ENTRIES]] * 6


def test_a_step_reads_what_is_given_of_the_frame_it_writes():
    """A code of the frame is told to the steps that write it, and to none before: attention alone would tell all."""
    model = build()
    semantic = torch.arange(8)
    frames = torch.zeros(2, model.aligner.frames(8), dtype=torch.long)
    stream = model._coarse_stream(semantic, frames)
    other = model._coarse_stream(semantic.where(semantic != 5, 20), frames)
    changed = (model.coarse.embed(stream) - model.coarse.embed(other)).abs().sum(1).nonzero()[:, 0]
    hears = (model.aligner.heard(8) == 5).any(1).nonzero()[:, 0]
    steps = (hears[:, None] * 2 + torch.arange(2)).flatten() + stream.given - 1
    assert changed.tolist() == [5, *steps.tolist()]


def test_it_overfits_one_batch():
    """Frames that follow from codes and voice are learnt, with a prompt of another sentence in front."""
    model = build(temperature=0.0).train()
    torch.manual_seed(0)
    semantic, acoustic = speech_to_learn(model)
    optimiser = torch.optim.AdamW(model.parameters(), lr=5e-3)
    for _ in range(300):
        loss = model(semantic, acoustic).loss
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    model.eval()
    known = acoustic[:, :, : model.aligner.frames(10)]
    right = []
    with torch.inference_mode():
        for row in range(8):
            made = model.complete(semantic[row], known[row], torch.Generator().manual_seed(0))
            right.append((made == acoustic[row])[:, known.shape[-1] :].float().mean())
    assert float(torch.stack(right).mean()) > 0.95
