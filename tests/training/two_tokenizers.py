"""Two tokenizers and a few spoken rows, for the tests of what compares small models on them."""

import torch

from triglot.modeling.tokenizers.configuration_speech_vqvae import SpeechVqvaeConfig
from triglot.modeling.tokenizers.modeling_speech_vqvae import SpeechVqvae
from triglot.training.data.demo_world import DemoWorldArguments, demo_world


def spoken_rows():
    """Three sentences, each in two languages that are not the default ones."""
    return demo_world(DemoWorldArguments(sentences=3, languages="en hi"))


def two_tokenizers(checkpoint, folder):
    """{"units": 30 codes, "vq": 8 codes}: folders of tokenizers with random weights."""
    torch.manual_seed(0)
    model = SpeechVqvae(SpeechVqvaeConfig(codebook_size=8, code_dim=4, hidden_size=16, num_blocks=1)).train()
    model(torch.randn(2, 16_000))
    model.save_pretrained(folder)
    return {"units": checkpoint / "speech_tokenizer", "vq": folder}
