"""A tiny image tokenizer without training: a picture is a grid of patches, a code the nearest of K colours."""

import torch
from torch.nn.functional import interpolate
from transformers import AutoConfig, AutoModel, AutoProcessor, PreTrainedConfig, pipeline

from triglot import MediaTokenizer


class PatchConfig(PreTrainedConfig):
    model_type = "test_patches"
    codebook_size: int = 8
    grid: list | None = None
    fingerprint: str = ""
    patch_side: int = 8


class PatchReader(MediaTokenizer):
    """Encodes alone, as feature units do."""

    config_class = PatchConfig
    modality = "image"

    def __init__(self, config):
        super().__init__(config)
        colours = torch.rand(config.codebook_size, 3, generator=torch.Generator().manual_seed(0))
        self.centroids = torch.nn.Parameter(colours, requires_grad=False)
        self.post_init()

    def _init_weights(self, module):
        pass

    @property
    def codebook_size(self):
        return self.config.codebook_size

    def encode(self, media):
        for item in media:
            if item.ndim != 3 or item.shape[0] != 3 or item.dtype != torch.float32:
                raise ValueError(f"{item.dtype} {tuple(item.shape)}")
        patches = [interpolate(item[None], self.grid, mode="area")[0].flatten(1).T for item in media]
        return [torch.cdist(patch, self.centroids.cpu()).argmin(1) for patch in patches]

    def compute_fingerprint(self, state_dict=None):
        return self.config.fingerprint


class PatchTokenizer(PatchReader):
    """Draws as well, as a VQ-VAE does."""

    def decode(self, codes):
        side = self.config.patch_side
        drawn = [self.centroids[item].T.unflatten(1, self.grid) for item in codes]
        return [item.repeat_interleave(side, 1).repeat_interleave(side, 2) for item in drawn]


def seeing(checkpoint, tokenizer_class=PatchTokenizer):
    """(model, processor) of a random checkpoint with such a tokenizer for its image codes."""
    processor, model = AutoProcessor.from_pretrained(checkpoint), AutoModel.from_pretrained(checkpoint)
    entry = processor.modalities[2]
    processor.codecs.image_tokenizer = tokenizer_class(PatchConfig(codebook_size=entry["size"], grid=entry["grid"]))
    return model, processor


def seeing_pipeline(task, model, processor, **options):
    return pipeline(task, model=model, processor=processor, tokenizer=processor.tokenizer, **options)


def seeing_checkpoint(checkpoint, folder):
    """A folder with such a tokenizer in it; loads in this process only."""
    AutoConfig.register(PatchConfig.model_type, PatchConfig, exist_ok=True)
    AutoModel.register(PatchConfig, PatchTokenizer, exist_ok=True)
    for part in seeing(checkpoint):
        part.save_pretrained(folder)
    return folder
