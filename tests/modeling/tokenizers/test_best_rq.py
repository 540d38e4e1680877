"""BEST-RQ: shapes, masks, targets, and that pretraining learns."""

import pytest
import torch

from triglot.modeling.tokenizers.configuration_best_rq import BestRqConfig
from triglot.modeling.tokenizers.modeling_best_rq import BestRqEncoder, BestRqForPreTraining

SIZES = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 48,
    "num_codebooks": 2,
    "codebook_size": 16,
}


def build(**settings) -> BestRqForPreTraining:
    torch.manual_seed(0)
    return BestRqForPreTraining(BestRqConfig(**{**SIZES, **settings}))


def sound(items: int, samples: int, seed: int = 0) -> torch.Tensor:
    """Gliding tones in noise, float32 (items, samples)."""
    generator = torch.Generator().manual_seed(seed)
    time = torch.arange(samples) / 16_000
    pitch = 100 + 400 * torch.rand(items, 1, generator=generator)
    tone = torch.sin(2 * torch.pi * pitch * time * (1 + time)) * torch.sin(7 * time)
    return 0.3 * tone + 0.02 * torch.randn(items, samples, generator=generator)


def padded_batch(lengths: tuple[int, ...]) -> tuple[torch.Tensor, torch.Tensor]:
    """Waveforms with rubbish behind their ends, and the mask."""
    waves = sound(len(lengths), max(lengths))
    mask = (torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]).long()
    return torch.where(mask.bool(), waves, torch.full_like(waves, 7.0)), mask


@pytest.mark.parametrize(("samples", "frames"), [(16_000, 25), (1, 1), (640, 1), (641, 2), (24_000, 38)])
def test_one_second_is_25_frames(samples, frames):
    encoder = BestRqEncoder(BestRqConfig(**SIZES)).eval()
    output = encoder(sound(2, samples), output_hidden_states=True)
    assert output.last_hidden_state.shape == (2, frames, 32)
    assert len(output.hidden_states) == 3 and torch.equal(output.hidden_states[-1], output.last_hidden_state)
    assert encoder(sound(2, samples)).hidden_states is None
    assert int(encoder.frame_lengths(torch.tensor(samples))) == frames
    assert BestRqConfig(**SIZES).frame_rate == 25.0


def test_a_padded_batch_equals_its_items():
    encoder = build().encoder.eval()
    lengths = (16_000, 9_001, 639)
    waves, mask = padded_batch(lengths)
    together = encoder(waves, attention_mask=mask, output_hidden_states=True).hidden_states
    for index, length in enumerate(lengths):
        alone = encoder(waves[index : index + 1, :length], output_hidden_states=True).hidden_states
        for batched, single in zip(together, alone):
            assert torch.allclose(batched[index, : single.shape[1]], single[0], atol=1e-4)


def test_gain_does_not_change_the_features_and_silence_is_finite():
    encoder = build().encoder.eval()
    loud = sound(1, 16_000)
    assert torch.allclose(encoder(loud)[0], encoder(loud * 0.05)[0], atol=1e-3)
    assert encoder(torch.zeros(1, 16_000))[0].isfinite().all()


def test_positions_matter():
    encoder = build().encoder.eval()
    features = torch.randn(
        1, 24, 320
    )  # the convolutions of two layers reach 6 frames, so only attention sees the swap
    plain, shuffled = features, features[:, torch.tensor([1, 0, *range(2, 24)])]
    last = [encoder.encode_features(x).last_hidden_state[0, -1] for x in (plain, shuffled)]
    assert not torch.allclose(last[0], last[1], atol=1e-5), "the order of far frames must reach the last frame"


def test_the_mask_covers_whole_spans_of_real_frames():
    model = build(mask_probability=0.05, mask_span=5)
    features, frame_mask = model.encoder.extract_features(*padded_batch((64_000, 20_000, 3_000)))
    masked = model.draw_mask(features, frame_mask)
    assert masked.any(1).all() and not (masked & ~frame_mask).any()
    many = model.draw_mask(torch.zeros(400, 100, 1), None).double().mean()
    assert 0.15 < many < 0.30  # 1 - 0.95^5 = 0.23
    runs = "".join("x" if value else " " for value in masked[0]).split()
    inner = runs[:-1] if masked[0, -1] else runs
    assert all(len(run) >= 5 for run in inner)


def test_masked_frames_alone_carry_the_loss_and_their_input_is_noise():
    model = build().eval()
    waves, mask = padded_batch((16_000, 9_000))
    torch.manual_seed(5)
    output = model(waves, attention_mask=mask)
    assert output.logits.shape == (2, 25, 2, 16) and output.labels.shape == (2, 25, 2)
    chosen = output.logits[output.masked].log_softmax(-1).gather(-1, output.labels[output.masked][..., None])
    assert torch.allclose(output.loss, -chosen.mean(), atol=1e-5)
    seen = []
    model.encoder.input_proj.register_forward_pre_hook(lambda module, args: seen.append(args[0]))
    model(waves, attention_mask=mask)
    clean, _ = model.encoder.extract_features(waves, mask)
    replaced = (seen[0] != clean).any(-1)
    assert replaced.any() and 0.08 < float(seen[0][replaced].std()) < 0.12


def test_targets_are_the_nearest_unit_vectors():
    model = build()
    features, _ = model.encoder.extract_features(sound(2, 16_000))
    projected = torch.nn.functional.normalize(features @ model.quantizer.projection, dim=-1)
    codebooks = torch.nn.functional.normalize(model.quantizer.codebooks, dim=-1)
    nearest = (projected[:, :, None, None] - codebooks).square().sum(-1).argmin(-1)
    assert torch.equal(model.quantizer(features), nearest)
    assert all(nearest[..., book].unique().numel() > 3 for book in range(2)), "the random codebook collapsed"


def test_a_seed_repeats_a_step():
    losses = []
    for _ in range(2):
        model = build().train()
        torch.manual_seed(3)
        losses.append(model(sound(2, 16_000)).loss)
    assert torch.equal(*losses)


def test_gradient_reaches_every_parameter():
    model = build()
    model(sound(2, 32_000)).loss.backward()
    lacking = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert not lacking


def test_one_batch_is_learnt_and_the_targets_stay_frozen(tmp_path):
    model = build(hidden_dropout=0.0).train()
    frozen = {name: value.clone() for name, value in model.quantizer.state_dict().items()}
    assert set(frozen) == {"projection", "codebooks"}
    assert not any(name.startswith("quantizer") for name, _ in model.named_parameters())
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    waves = sound(4, 32_000)
    losses = []
    for _ in range(60):
        torch.manual_seed(7)  # the same masks and noise in each step
        loss = model(waves).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert sum(losses[-5:]) / 5 < 0.6 * losses[0]

    model.save_pretrained(tmp_path)
    loaded = BestRqForPreTraining.from_pretrained(tmp_path)
    for name, value in loaded.quantizer.state_dict().items():
        assert torch.equal(value, frozen[name])
    assert torch.equal(loaded.encoder.front_end.mel_filters, model.encoder.front_end.mel_filters)
    alone = BestRqEncoder.from_pretrained(tmp_path).eval()
    assert torch.equal(alone(waves)[0], model.encoder.eval()(waves)[0])


def test_bad_input_is_an_error():
    encoder = BestRqEncoder(BestRqConfig(**SIZES)).eval()
    with pytest.raises(ValueError, match=r"\(items, samples\) is needed"):
        encoder(torch.zeros(16_000))
    waves = sound(1, 1_000)
    left = torch.ones(1, 1_000, dtype=torch.long)
    left[0, :10] = 0
    with pytest.raises(ValueError, match="pad on the right"):
        encoder(waves, attention_mask=left)
    with pytest.raises(ValueError, match="both must agree"):
        encoder(waves, attention_mask=left[:, 1:])
    with pytest.raises(ValueError, match="hidden_size is 30"):
        BestRqConfig(hidden_size=30)
    with pytest.raises(ValueError, match="must be odd"):
        BestRqConfig(conv_kernel_size=4)


def transcripts_of(*ids: list[int]) -> torch.Tensor:
    width = max(len(item) for item in ids)
    return torch.tensor([item + [-100] * (width - len(item)) for item in ids])


def test_transcripts_add_a_ctc_loss_of_the_items_heard_whole():
    model = build(ctc_characters="abc ", ctc_share=1.0, hidden_dropout=0.0)
    waves, mask = padded_batch((16_000, 9_001, 16_000))
    texts = transcripts_of([1, 2, 2, 3], [4, 1], [])  # the last one has none: it is masked, and predicts
    output = model(waves, mask, transcripts=texts)
    assert output.ctc_logits.shape == (3, 50, 5)
    assert not output.masked[:2].any() and output.masked[2].any()
    predicted = torch.nn.functional.cross_entropy(
        output.logits[output.masked].flatten(0, 1), output.labels[output.masked].flatten()
    )
    written = [
        torch.nn.functional.ctc_loss(
            output.ctc_logits[item, :steps].log_softmax(-1)[:, None], texts[item, None, :count], [steps], [count]
        )
        for item, steps, count in ((0, 50, 4), (1, 30, 2))
    ]
    torch.testing.assert_close(output.loss, predicted + sum(written) / 2)
    everything = model(waves[:2], mask[:2], transcripts=texts[:2])  # nothing is masked: no NaN
    assert everything.loss.isfinite() and not everything.masked.any()
    nothing = model(waves, mask, transcripts=torch.full((3, 1), -100))
    assert nothing.loss.isfinite() and nothing.masked.any(1).all()


def test_ctc_learns_to_write():
    model = build(ctc_characters="ab", ctc_share=1.0, hidden_dropout=0.0)
    texts = transcripts_of([1, 2], [2, 1, 1])
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    for _ in range(200):
        optimizer.zero_grad()
        output = model(sound(2, 16_000), transcripts=texts)
        output.loss.backward()
        optimizer.step()
    best = [torch.unique_consecutive(row).tolist() for row in output.ctc_logits.argmax(-1)]
    assert [[index for index in row if index] for row in best] == [[1, 2], [2, 1, 1]]


def test_transcripts_need_a_head_and_settings_that_make_sense():
    with pytest.raises(ValueError, match="no CTC head"):
        build()(sound(1, 16_000), transcripts=torch.tensor([[1]]))
    for wrong in ({"ctc_characters": "aa"}, {"ctc_weight": -1.0}, {"ctc_share": 2.0}):
        with pytest.raises(ValueError, match="ctc_"):
            BestRqConfig(**SIZES, **wrong)
