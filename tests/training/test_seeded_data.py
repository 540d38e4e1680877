"""seeded_data: chances of rows and batches by seed, epoch and place; a run that is cut off anywhere ends with the same bits."""

import pytest
import torch
from safetensors.torch import load_file
from speech_rows import speech_rows
from transformers import Trainer

from triglot.training.seeded_data import drawn_by, seeded_data
from triglot.training.train_codec import CodecArguments, train_codec
from triglot.training.train_encoder import EncoderArguments, train_encoder
from triglot.training.train_speaker_encoder import SpeakerEncoderArguments, train_speaker_encoder

STEPS = {"max_steps": 8, "batch_size": 2, "save_steps": 2, "logging_steps": 4}
CODEC = CodecArguments(
    **STEPS, encoder_hidden_size=4, decoder_hidden_size=32, ratios="8 8 4 2", levels=2, level_size=16, code_dim=4, crop_seconds=0.2
)  # fmt: skip
ENCODER = EncoderArguments(
    **STEPS, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32, crop_seconds=0.5, augmented_share=0.5
)  # fmt: skip
SPEAKER = SpeakerEncoderArguments(
    **STEPS, hidden_size=16, pooled_size=16, embedding_size=8, crop_seconds=0.3, bf16=False
)
RUNS = {
    "codec": (train_codec, CODEC),
    "encoder": (train_encoder, ENCODER),
    "speaker_encoder": (train_speaker_encoder, SPEAKER),
}


class Draws:
    def __len__(self):
        return 3

    def __getitem__(self, index):
        return index, float(torch.rand(()))


def test_draws_depend_on_seed_epoch_and_place_alone():
    def told(seed, epoch):
        parts = seeded_data(Draws(), lambda rows: (list(rows), float(torch.rand(()))), seed)
        rows, collate = parts["train_dataset"], parts["data_collator"]
        rows.epoch = epoch
        torch.rand(int(torch.randint(1, 9, ())))
        return collate([rows[2], rows[0]])

    assert told(0, 0) == told(0, 0)
    seen = [told(0, 0), told(1, 0), told(0, 1)]
    assert len({batch[1] for batch in seen}) == 3
    assert len({draw for batch, _ in seen for _, draw in batch}) == 6


def test_the_global_generator_is_left_alone():
    before = torch.get_rng_state()
    with drawn_by(5):
        first = torch.rand(3)
    assert torch.equal(torch.get_rng_state(), before)
    with drawn_by(5):
        assert torch.equal(torch.rand(3), first)


@pytest.mark.parametrize("kind", RUNS)
@pytest.mark.parametrize("stop_after", [3, 6])
def test_a_run_cut_off_ends_with_the_same_bits(kind, stop_after, tmp_path, monkeypatch):
    """Eight steps over five rows: epochs end in the middle of a stretch between checkpoints."""
    train, arguments = RUNS[kind]
    rows = speech_rows(5)
    if kind == "encoder":
        rows = rows.add_column("transcript", ["a"] * 5)

    class Stop(Exception):
        pass

    steps = []
    training_step = Trainer.training_step

    def stopping(self, *args, **kwargs):
        if len(steps) == stop_after:
            steps.append(None)
            raise Stop
        steps.append(self.state.global_step)
        return training_step(self, *args, **kwargs)

    whole = load_file(train(rows, tmp_path / "whole", arguments) / "model.safetensors")
    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "training_step", stopping)
        with pytest.raises(Stop):
            train(rows, tmp_path / "cut", arguments)
    torch.rand(100)
    again = load_file(train(rows, tmp_path / "cut", arguments) / "model.safetensors")
    assert whole.keys() == again.keys()
    for name, weight in whole.items():
        assert torch.equal(weight, again[name]), name
    other = load_file(train(rows, tmp_path / "other", arguments, seed=1) / "model.safetensors")
    assert any(not torch.equal(weight, other[name]) for name, weight in whole.items())
