"""Small neural codecs with random weights, of the real classes."""

import torch
from transformers import (
    DacConfig,
    DacModel,
    EncodecConfig,
    EncodecModel,
    MimiConfig,
    MimiModel,
    XcodecConfig,
    XcodecModel,
)

KINDS = ("encodec", "dac", "mimi", "xcodec")


def build_codec(kind: str):
    """A random codec in evaluation mode, with several levels of 16 entries."""
    torch.manual_seed(0)
    if kind == "encodec":
        config = EncodecConfig(
            target_bandwidths=[0.6, 1.2, 2.4], sampling_rate=24_000, num_filters=4, hidden_size=16, codebook_size=16,
            num_lstm_layers=1,
        )  # fmt: skip
        model = EncodecModel(config)
    elif kind == "dac":
        config = DacConfig(
            encoder_hidden_size=4, decoder_hidden_size=64, hidden_size=64, n_codebooks=4, codebook_size=16, codebook_dim=4,
            sampling_rate=16_000,
        )  # fmt: skip
        model = DacModel(config)
    elif kind == "xcodec":
        hubert = {
            "model_type": "hubert", "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16,
            "conv_dim": [8] * 7, "num_conv_pos_embeddings": 4, "num_conv_pos_embedding_groups": 2,
        }  # fmt: skip
        dac = {"model_type": "dac", "encoder_hidden_size": 4, "decoder_hidden_size": 64, "hidden_size": 16}
        config = XcodecConfig(
            acoustic_model_config=dac, semantic_model_config=hubert, codebook_size=16, target_bandwidths=[0.2, 0.4, 0.8],
        )  # fmt: skip
        model = XcodecModel(config)
    else:
        config = MimiConfig(
            num_filters=4, hidden_size=32, num_hidden_layers=1, num_attention_heads=2, num_key_value_heads=2, head_dim=16,
            intermediate_size=32, num_quantizers=4, codebook_size=16, codebook_dim=8, vector_quantization_hidden_dimension=8,
            upsample_groups=32,
        )  # fmt: skip
        model = MimiModel(config)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():  # what random weights leave at zero would make all codes alike
        for name, tensor in model.state_dict().items():
            if name.endswith("embed_sum") or name.endswith("codebook.embed"):
                tensor.copy_(torch.randn(tensor.shape, generator=generator))
            elif name.endswith("cluster_usage"):
                tensor.fill_(1.0)
        if (
            kind == "encodec"
        ):  # its encoder says nearly the same of everything: entries where that lies, and small ones after
            said = model.encoder(0.3 * torch.randn(1, 1, 16 * 320, generator=generator))[0].T
            for level, layer in enumerate(model.quantizer.layers):
                layer.codebook.embed.copy_(said if level == 0 else said.std(0) * layer.codebook.embed)
    return model.eval()
