"""Shared by all tests: offline and quiet, plus two checkpoints: one with random weights, one overfit in minutes."""

import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("HF_DATASETS_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
if "PYTEST_XDIST_WORKER_COUNT" in os.environ:  # the cores are shared out; read by torch when it is imported
    share = max(1, (os.cpu_count() or 1) // int(os.environ["PYTEST_XDIST_WORKER_COUNT"]))
    os.environ.setdefault("OMP_NUM_THREADS", str(share))

import numpy as np
import pytest
import soundfile


@pytest.fixture(autouse=True, scope="session")
def quiet_transformers():
    from transformers.utils import logging

    logging.disable_progress_bar()
    logging.set_verbosity_error()


@pytest.fixture(scope="session")
def random_checkpoint(tmp_path_factory):
    """A whole checkpoint of tiny parts with random weights, laid out as a Hub repository. Do not write into it."""
    import torch
    from transformers import set_seed

    from triglot import BestRqEncoder, FeatureUnits, UnitVocoder
    from triglot.modeling.decoders.configuration_unit_vocoder import UnitVocoderConfig
    from triglot.modeling.tokenizers.configuration_best_rq import BestRqConfig
    from triglot.training.assemble import assemble_checkpoint
    from triglot.training.train_lm import LmArguments, make_model, make_processor, new_base
    from triglot.training.train_text_tokenizer import TextTokenizerArguments, train_text_tokenizer

    set_seed(0)
    root = tmp_path_factory.mktemp("random")
    text = ["a small red circle is above a big blue square", "un círculo rojo pequeño está encima de un cuadrado"]
    train_text_tokenizer(text, root / "text", TextTokenizerArguments(vocab_size=1000, hard_vocab_limit=False))
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    units = FeatureUnits.from_encoder(BestRqEncoder(BestRqConfig(**sizes)), layer=2)
    units.set_centroids(torch.randn(30, 32))
    units.save_pretrained(root / "units")
    vocoder = UnitVocoder(
        UnitVocoderConfig(
            codebook_size=30, fingerprint=units.fingerprint, hidden_size=16, mlp_size=32, depth_codes=1,
            depth_frames=1, f0_hidden_size=16, f0_mlp_size=32, voice_hidden_size=16,
        )
    )  # fmt: skip
    vocoder.save_pretrained(root / "vocoder")
    arguments = LmArguments(
        hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=64,
        image_codes=8, image_grid="2 2", text_budget=6, speech_budget=12,
    )  # fmt: skip
    processor = make_processor(root / "text", units, None, arguments)
    model = make_model(new_base(processor, arguments), processor, arguments)
    torch.nn.init.normal_(model.get_input_embeddings().weight, std=0.5)
    model.save_pretrained(root / "lm")
    return assemble_checkpoint(
        root / "lm", root / "text", root / "units", root / "vocoder", root / "checkpoint", ["en", "es"]
    )


@pytest.fixture(scope="session")
def overfit_checkpoint(tmp_path_factory):
    """The recipe overfit_four, trained here (about two minutes on two cores). Do not write into it.

    TRIGLOT_OVERFIT_DIR names a folder to keep the run in, so that a second test session goes on from it.
    """
    from triglot.training.run_recipe import load_recipe, run_recipe

    folder = os.environ.get("TRIGLOT_OVERFIT_DIR") or tmp_path_factory.mktemp("overfit") / "overfit_four"
    return run_recipe(load_recipe("overfit_four", folder))


@pytest.fixture(scope="session")
def overfit_scenes():
    """The four scenes that overfit_four learns."""
    from triglot.training.data.demo_world import demo_sentences
    from triglot.training.run_recipe import load_recipe

    recipe = load_recipe("overfit_four")
    return demo_sentences(recipe.stages["data"], recipe.seed)


@pytest.fixture(scope="session")
def image_tokenizer(tmp_path_factory):
    """A folder with a VQ-VAE of 8 codes for pictures of 16 x 16. Do not write into it."""
    import torch

    from triglot.modeling.tokenizers.configuration_image_vqvae import ImageVqvaeConfig
    from triglot.modeling.tokenizers.modeling_image_vqvae import ImageVqvae

    config = ImageVqvaeConfig(
        image_size=16, codebook_size=8, code_dim=4, block_out_channels=(8, 8), norm_num_groups=4, layers_per_block=1
    )
    folder = tmp_path_factory.mktemp("pictures") / "vqvae"
    with torch.random.fork_rng():
        torch.manual_seed(0)  # the same in every order of the tests
        model = ImageVqvae(config).train()
        model(torch.rand(8, 3, 16, 16))  # a first step begins the code book
    model.eval().save_pretrained(folder)
    return folder


@pytest.fixture
def wav(tmp_path):
    """A path of one second of a voiced-like tone, 16 kHz."""
    path = tmp_path / "in.wav"
    soundfile.write(path, buzz(1.0), 16_000)
    return str(path)


def buzz(seconds: float, rate: int = 16_000, f0: float = 120.0) -> np.ndarray:
    """float32 (samples,): harmonics of `f0` under a slowly moving envelope; sound that has a pitch."""
    time = np.arange(int(seconds * rate)) / rate
    wave = sum(np.sin(2 * np.pi * f0 * k * time) / k for k in range(1, 20))
    return (0.2 * wave * (0.6 + 0.4 * np.sin(2 * np.pi * 3 * time))).astype(np.float32)
