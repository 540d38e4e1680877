"""FeatureUnits: the codes of any speech or vision encoder, one of its layers + k-means, as AudioPaLM makes its audio tokens.

Papers: AudioPaLM (arXiv 2306.12925, section 3.1), HuBERT (arXiv 2106.07447), w2v-BERT (arXiv 2108.06209).

    waveform (S,) ─ feature extractor ─ encoder up to `layer` (F, D) ─ mean of groups (T, D) ─ nearest centroid (T,)
    picture (3, H, W) ─ size, mean, deviation ─ encoder up to `layer` (1 + h w, D) ─ patches (h w, D) ─ nearest centroid (h w,)

The encoder is built with `layer` layers: those above are neither stored nor run. Features are not normalised before
k-means, which AudioPaLM found to hurt.

Shapes: S samples, F encoder frames (50 Hz as a rule), T codes (25 Hz), H x W pixels, h x w patches, D width, K centroids.
"""

import json
import logging
import math
import os
import threading
from collections.abc import Mapping, Sequence
from typing import Any, cast

import torch
from torch import nn
from transformers import AutoConfig, AutoFeatureExtractor, AutoModel, PreTrainedConfig, PreTrainedModel
from transformers import initialization as init
from transformers.models.auto.feature_extraction_auto import feature_extractor_class_from_name

from .configuration_best_rq import BestRqConfig
from .configuration_feature_units import FeatureUnitsConfig
from .configuration_mfcc import MfccConfig
from .image_fitting import check_image, fit_image
from .media_tokenizer import MediaTokenizer, weights_fingerprint
from .modeling_best_rq import BestRqEncoder
from .modeling_mfcc import MfccEncoder
from .vision_encoders import image_preparation, is_vision_config, normalise, vision_model, vision_part

# encoders that take raw waveforms, need no feature extractor and say their frame rate
OWN_ENCODERS: dict[str, tuple[Any, Any]] = {
    BestRqConfig.model_type: (BestRqConfig, BestRqEncoder),
    MfccConfig.model_type: (MfccConfig, MfccEncoder),
}
LAYER_LISTS = ("layers", "layer", "h", "blocks")  # what classes call the list of their layers
# what a config says about the place it was saved at, not about the encoder
_INCIDENTAL_SETTINGS = (
    "_name_or_path",
    "architectures",
    "auto_map",
    "dtype",
    "id2label",
    "label2id",
    "processor_class",
    "torch_dtype",
    "transformers_version",
)


class FeatureUnits(MediaTokenizer):
    """A tokenizer of speech or pictures made of an encoder's layer and k-means centroids.

    Items are encoded one by one: the group norm of HuBERT base sees padding, so a padded batch would give other codes.
    The model stays in evaluation mode, also after `train()`, since dropout would make the codes random.
    """

    config: FeatureUnitsConfig
    config_class = FeatureUnitsConfig
    main_input_name = "input_values"
    input_modalities = "audio"
    _auto_class = "AutoModel"
    modality = "speech"

    def __init__(self, config: FeatureUnitsConfig):
        super().__init__(config)
        self.modality = config.modality
        if self.sees:
            self.main_input_name, self.input_modalities = "pixel_values", "image"
        encoder_config: Any = truncate_encoder_config(config.encoder_config or {}, config.layer)
        own = OWN_ENCODERS.get(encoder_config.model_type)
        self.encoder: PreTrainedModel = own[1](encoder_config) if own else AutoModel.from_config(encoder_config)
        self.register_buffer("centroids", torch.full((config.codebook_size, config.feature_dim), float("nan")))
        self._extractor: Any = None
        self.post_init()
        self.eval()

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if module is self:  # NaN, not zeros: a code book that was never set must not give codes
            init.constant_(self.centroids, float("nan"))

    @property
    def codebook_size(self) -> int:
        """Number of codes K; 0 before k-means."""
        return self.config.codebook_size

    @property
    def sees(self) -> bool:
        """Whether its encoder takes pictures."""
        return self.config.preparation is not None

    @property
    def sampling_rate(self) -> int | None:
        """Hz of the waveforms it takes; None for pictures."""
        return None if self.sees else self.config.sampling_rate

    @property
    def frame_rate(self) -> float | None:
        """Codes per second of speech, before deduplication; None for pictures."""
        return None if self.sees else self.config.frame_rate

    def train(self, mode: bool = True) -> "FeatureUnits":
        """Keeps evaluation mode, whatever `mode` says."""
        return super().train(False)

    @classmethod
    def from_encoder(
        cls,
        encoder: str | os.PathLike | PreTrainedModel,
        layer: int,
        frame_rate: float = 25.0,
        *,
        feature_extractor: Any = None,
        encoder_frame_rate: float | None = None,
        downsample: str = "mean",
        deduplicate: bool = False,
        fit: str | None = None,
        modality: str | None = None,
    ) -> "FeatureUnits":
        """Builds the tokenizer around a trained encoder; `set_centroids` makes it complete.

        Args:
            encoder: A folder or Hub id with the encoder and its feature extractor, as their `save_pretrained` write
                them, or the full model itself. This project's own encoders need no feature extractor.
            layer: Which hidden state is used, 1 for the output of the first layer.
            frame_rate: Codes per second; this and the next four but the extractor mean nothing for pictures.
            feature_extractor: The encoder's, or its image processor; default: the one saved in the folder.
            encoder_frame_rate: Frames per second of the encoder; default: from its config.
            downsample: "mean" of each group of frames or "stride" for its first.
            deduplicate: Whether repeated codes are dropped.
            fit: How pictures of another size are made to fit: "crop" as CLIP and DINOv2 do, "stretch" as SigLIP does, or "pad";
                default: the one of the first two that the image processor does.
            modality: Name of the modality in a language model; default: "speech" or "image".

        Returns:
            The tokenizer in float32, with no centroids.

        Raises:
            ValueError: no such layer, rates without a whole ratio, no feature extractor, or weights that are missing.
        """
        if isinstance(encoder, PreTrainedModel):
            see = is_vision_config(encoder.config)
            encoder = cast(PreTrainedModel, vision_model(encoder) if see else encoder.base_model)  # without a head
            settings = encoder.config.to_dict()
        else:
            settings, _ = PreTrainedConfig.get_config_dict(encoder)
        own = OWN_ENCODERS.get(settings.get("model_type"))
        if own:
            full: Any = own[0](**{key: value for key, value in settings.items() if key != "model_type"})
        else:
            given: Any = encoder.config if isinstance(encoder, PreTrainedModel) else None
            full = vision_part(given or AutoConfig.from_pretrained(encoder, trust_remote_code=False))
        encoder_config = _plain_settings(full.to_dict())
        truncated = truncate_encoder_config(encoder_config, layer)  # before weights are read: a wrong layer fails fast

        if not own and is_vision_config(full):
            source = None if isinstance(encoder, PreTrainedModel) else encoder
            config = FeatureUnitsConfig(
                encoder_config=encoder_config,
                layer=layer,
                feature_dim=full.hidden_size,
                preparation=image_preparation(full, source, feature_extractor, fit),
                modality=modality or "image",
            )
            return cls(config)._with_weights(encoder, truncated)
        if feature_extractor is None and not own:
            feature_extractor = _load_feature_extractor(encoder)
        extractor_settings = None if feature_extractor is None else _plain_settings(feature_extractor.to_dict())
        if encoder_frame_rate is None:
            encoder_frame_rate = _encoder_frame_rate(full, extractor_settings)
        rate = full.sampling_rate if own else feature_extractor.sampling_rate
        config = FeatureUnitsConfig(
            encoder_config=encoder_config,
            feature_extractor=extractor_settings,
            layer=layer,
            feature_dim=full.hidden_size,
            sampling_rate=rate,
            encoder_frame_rate=encoder_frame_rate,
            frame_rate=float(frame_rate),
            downsample=downsample,
            deduplicate=deduplicate,
            modality=modality or "speech",
        )
        return cls(config)._with_weights(encoder, truncated)

    def _with_weights(
        self, encoder: str | os.PathLike | PreTrainedModel, truncated: PreTrainedConfig
    ) -> "FeatureUnits":
        """Takes the weights of the layers kept from the full encoder."""
        if isinstance(encoder, PreTrainedModel):
            source = encoder.state_dict()
            wanted = self.encoder.state_dict()
            _check_missing(set(wanted) - set(source), type(encoder).__name__)
            self.encoder.load_state_dict({name: source[name] for name in wanted})
        else:
            self.encoder = _load_encoder(type(self.encoder), encoder, truncated)
        return self.float().eval()

    @torch.no_grad()
    def set_centroids(self, centroids: torch.Tensor) -> None:
        """Takes float (K, D) as the code book, and names it by a new fingerprint.

        Raises:
            ValueError: not (K, D), or NaN or infinite values.
        """
        width = self.config.feature_dim
        if centroids.ndim != 2 or centroids.shape[0] == 0 or centroids.shape[1] != width:
            raise ValueError(f"centroids have the shape {tuple(centroids.shape)}; (codes, {width}) is needed.")
        if not bool(centroids.isfinite().all()):
            raise ValueError("centroids hold NaN or infinite values; look at the features that k-means was given.")
        self.centroids = centroids.detach().to(device=self.device, dtype=self.dtype, copy=True)
        self.config.codebook_size = int(centroids.shape[0])
        self.config.fingerprint = self.compute_fingerprint()

    def features(self, media: torch.Tensor) -> torch.Tensor:
        """The encoder's features of one item, which k-means is trained on: at `frame_rate`, or of each patch.

        Args:
            media: A waveform float (S,) at `sampling_rate`, at least 0.05 s; or a picture float (3, H, W) in 0..1, of any size.

        Returns:
            float32 (T, D), or (h w, D), on the model's device.

        Raises:
            ValueError: another shape, too short, or NaN or infinite values in what came or in the features.
        """
        with torch.inference_mode():
            features = self._features(media, "the picture" if self.sees else "waveform")
        return features.clone()  # outside of inference mode, so that autograd accepts it

    def encode(self, media: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """Codes of each item, as `MediaTokenizer.encode` promises; repeats dropped where the config says so."""
        if self.codebook_size == 0 or not bool(self.centroids.isfinite().all()):
            raise ValueError(
                "This tokenizer has no code book yet: give it centroids with set_centroids, or train them with "
                "triglot.training.train_kmeans."
            )
        codes = []
        with torch.inference_mode():
            for index, item in enumerate(media):
                nearest = self._nearest(self._features(item, f"item {index}"))
                codes.append(torch.unique_consecutive(nearest) if self.config.deduplicate else nearest)
        return [
            item.cpu().clone() for item in codes
        ]  # cloned outside of inference mode, so that autograd accepts them

    def compute_fingerprint(self, state_dict: Mapping[str, torch.Tensor] | None = None) -> str:
        """sha256 (hex) over weights, centroids and settings; "" before k-means.

        Weights count with their float16 values, so that a tokenizer saved in float16 keeps its fingerprint.
        """
        weights = self.state_dict() if state_dict is None else state_dict
        if not weights["centroids"].numel() or not bool(weights["centroids"].isfinite().all()):
            return ""
        if self.sees:
            return weights_fingerprint(weights, {"layer": self.config.layer, "preparation": self.config.preparation})
        settings = {
            "layer": self.config.layer,
            "frame_rate": float(self.config.frame_rate),
            "downsample": self.config.downsample,
            "deduplicate": self.config.deduplicate,
            "feature_extractor": self.config.feature_extractor,
        }
        return weights_fingerprint(weights, settings)

    def patch_features(self, pixel_values: torch.Tensor) -> torch.Tensor:
        """The features of pictures that fit, through which gradients flow: float (B, 3, H, W) in 0..1 -> float32 (B, h w, D).

        Raises:
            ValueError: another size than `config.preparation` tells, or an encoder that gives fewer positions than patches.
        """
        preparation: Any = self.config.preparation
        height, width = preparation["image_size"]
        if tuple(pixel_values.shape[1:]) != (3, height, width):
            raise ValueError(
                f"pixel_values has the shape {tuple(pixel_values.shape)}; (pictures, 3, {height}, {width}) is needed."
            )
        pixels = normalise(pixel_values.to(self.device).float(), preparation).to(self.dtype)
        patches = math.prod(self.config.grid or ())
        hidden = self._run_encoder({"pixel_values": pixels})
        if hidden.ndim != 3 or hidden.shape[1] < patches:
            raise ValueError(
                f"The encoder gives {tuple(hidden.shape)} for a picture; (pictures, positions, width) with a position for each of its "
                f"{patches} patches is needed. Take one whose layers keep the patches apart, as CLIP, SigLIP and DINOv2 do."
            )
        return hidden[:, -patches:].float()  # before them a class token

    def _features(self, media: torch.Tensor, name: str) -> torch.Tensor:
        frames = self._picture_features(media, name) if self.sees else self._sound_features(media, name)
        if not bool(frames.isfinite().all()):
            raise ValueError(
                f"The encoder's features of {name} hold NaN or infinite values. Try float32 (weights of some encoders "
                "overflow in float16), and check the checkpoint."
            )
        return frames if self.sees else self._downsample(frames)

    def _picture_features(self, image: torch.Tensor, name: str) -> torch.Tensor:
        preparation: Any = self.config.preparation
        height, width = preparation["image_size"]
        return self.patch_features(fit_image(check_image(image, name), (height, width), preparation["fit"])[None])[0]

    def _sound_features(self, waveform: torch.Tensor, name: str) -> torch.Tensor:
        inputs = self._encoder_inputs(self.check_waveform(waveform, name))
        frames = self._run_encoder(inputs)[0].float()  # (F, D)
        mask = inputs.get("attention_mask")
        if mask is not None and mask.shape[1] == frames.shape[0]:  # w2v-BERT pads to an even number of mel frames
            frames = frames[mask[0].bool()]
        if frames.shape[0] == 0:
            raise ValueError(
                f"{name} has {waveform.numel()} samples, which give the encoder no frame; it is too short."
            )
        return frames

    def _encoder_inputs(self, waveform: torch.Tensor) -> dict[str, torch.Tensor]:
        """Model inputs of one waveform float32 (S,), on the model's device."""
        if self.config.feature_extractor is None:
            # our own front ends compute in float32 whatever the weights are, and round after the logarithm
            dtype = torch.float32 if self.encoder.config.model_type in OWN_ENCODERS else self.dtype
            return {"input_values": waveform[None].to(device=self.device, dtype=dtype)}
        if self._extractor is None:
            self._extractor = _build_feature_extractor(self.config.feature_extractor)
        batch = self._extractor(waveform.cpu().numpy(), sampling_rate=self.config.sampling_rate, return_tensors="pt")
        return {
            name: value.to(device=self.device, dtype=self.dtype if value.is_floating_point() else value.dtype)
            for name, value in batch.items()
        }

    def _run_encoder(self, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
        """What comes out of the last layer kept, (1, F, D), or (B, 1 + h w, D) for pictures.

        A hook takes it there, before any final norm, because that is `hidden_states[layer]` of the full model also
        where the norm after the last layer belongs to the encoder (`do_stable_layer_norm`).
        """
        caught: list[torch.Tensor] = []
        owner = threading.get_ident()

        def catch(module: nn.Module, args: Any, output: Any) -> None:
            if threading.get_ident() == owner:  # another thread may be encoding with the same model
                caught.append(output[0] if isinstance(output, tuple) else output)

        handle = find_layers(self.encoder, self.config.layer)[-1].register_forward_hook(catch)
        try:
            self.encoder(**inputs)
        finally:
            handle.remove()
        return caught[-1]

    def _downsample(self, frames: torch.Tensor) -> torch.Tensor:
        """Encoder frames (F, D) -> (T, D), T = ceil(F / group)."""
        group = self.config.group_size
        if group == 1:
            return frames
        if self.config.downsample == "stride":
            return frames[::group]
        whole = frames.shape[0] // group * group
        means = frames[:whole].unflatten(0, (-1, group)).mean(1)
        if whole == frames.shape[0]:
            return means
        return torch.cat((means, frames[whole:].mean(0, keepdim=True)))

    def _nearest(self, features: torch.Tensor) -> torch.Tensor:
        """Features (T, D) -> the nearest centroid of each, int64 (T,).

        |x - c|^2 = |x|^2 - 2 (x.c - |c|^2 / 2): the largest bracket is the smallest distance. All are seen from the mean of the
        centroids, where the brackets are small: features with a large part in common would lose the digits that tell them apart.
        """
        centroids = self.centroids.float()
        mean = centroids.mean(0)
        centroids = centroids - mean
        return ((features - mean) @ centroids.T - centroids.square().sum(1) / 2).argmax(1)


def truncate_encoder_config(encoder_config: Mapping[str, Any], layer: int) -> PreTrainedConfig:
    """The config of the encoder's first `layer` layers.

    Args:
        encoder_config: Settings of the full encoder, with its `model_type`.
        layer: How many layers to keep, 1 to all.

    Raises:
        ValueError: the encoder has no such layer, or its config does not tell how many it has.
    """
    settings = {key: value for key, value in encoder_config.items() if key not in _INCIDENTAL_SETTINGS}
    model_type = settings.pop("model_type")
    own = OWN_ENCODERS.get(model_type)
    config: PreTrainedConfig = own[0](**settings) if own else AutoConfig.for_model(model_type, **settings)
    depth = getattr(config, "num_hidden_layers", None)
    if depth is None:
        raise ValueError(f"The config of {model_type!r} has no num_hidden_layers, so its layers cannot be counted.")
    if isinstance(layer, bool) or not isinstance(layer, int) or not 1 <= layer <= depth:
        raise ValueError(f"layer is {layer!r}; this {model_type} encoder has {depth} layers: allowed is 1 to {depth}.")
    # What follows the layers is not needed, nor is the vector that masks input in training: it is random in
    # checkpoints that lack it, and would make the fingerprint random.
    unused = {
        "num_hidden_layers": layer,
        "add_adapter": False,
        "use_intermediate_ffn_before_adapter": False,
        "mask_time_prob": 0.0,
        "mask_feature_prob": 0.0,
        "apply_spec_augment": False,
        "ctc_characters": "",
        "vision_use_head": False,
        "use_mask_token": False,
    }
    for name, value in unused.items():
        if hasattr(config, name):
            setattr(config, name, value)
    return config


def find_layers(encoder: nn.Module, depth: int) -> nn.ModuleList:
    """The list of a model's `depth` layers, wherever its class keeps it (`encoder.layers`, `encoder.layer`, `h`, ...).

    Raises:
        ValueError: there is no list of this length.
    """
    lists = [
        (name, module)
        for name, module in encoder.named_modules()
        if isinstance(module, nn.ModuleList) and len(module) == depth and name.split(".")[-1] in LAYER_LISTS
    ]
    if not lists:
        raise ValueError(f"{type(encoder).__name__} holds no list of {depth} layers named {', '.join(LAYER_LISTS)}.")
    return min(lists, key=lambda item: item[0].count("."))[1]


def _plain_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    """As it reads back from JSON (tuples become lists), so that saving and loading changes nothing."""
    return json.loads(json.dumps({key: value for key, value in settings.items() if key not in _INCIDENTAL_SETTINGS}))


def _build_feature_extractor(settings: dict[str, Any]) -> Any:
    name = settings.get("feature_extractor_type")
    extractor_class = feature_extractor_class_from_name(name) if name else None
    if extractor_class is None:
        raise ValueError(f"feature_extractor_type is {name!r}, which this version of transformers does not know.")
    return extractor_class.from_dict(dict(settings))


def _load_feature_extractor(encoder: str | os.PathLike | PreTrainedModel) -> Any:
    if isinstance(encoder, PreTrainedModel):
        raise ValueError(f"{type(encoder).__name__} needs its feature extractor: pass feature_extractor=.")
    try:
        return AutoFeatureExtractor.from_pretrained(encoder, trust_remote_code=False)
    except (OSError, ValueError) as error:
        raise ValueError(
            f"{os.fspath(encoder)!r} holds no feature extractor; save it beside the encoder with its save_pretrained, "
            "or pass feature_extractor=."
        ) from error


def _encoder_frame_rate(config: PreTrainedConfig, extractor: Mapping[str, Any] | None) -> float:
    """Frames per second, from the strides of the convolutions or of the feature extractor (10 ms per mel frame)."""
    if config.model_type in OWN_ENCODERS:
        return config.frame_rate
    strides = getattr(config, "conv_stride", None)
    if strides and extractor is not None:
        samples = 1
        for stride in strides:
            samples *= stride
        return extractor["sampling_rate"] / samples
    if extractor is not None and extractor.get("stride"):
        return 100.0 / extractor["stride"]
    return 50.0


def _load_encoder(
    encoder_class: type[PreTrainedModel], folder: str | os.PathLike, config: PreTrainedConfig
) -> PreTrainedModel:
    reporter = logging.getLogger("transformers")
    level = reporter.level
    reporter.setLevel(logging.ERROR)  # the report would list every weight of the layers left out as unexpected
    try:
        loaded: Any = encoder_class.from_pretrained(
            folder, config=config, dtype=torch.float32, output_loading_info=True
        )
    finally:
        reporter.setLevel(level)
    encoder, report = loaded
    _check_missing(set(report["missing_keys"]), os.fspath(folder))
    return encoder


def _check_missing(missing: set[str], source: str) -> None:
    if missing:
        names = ", ".join(sorted(missing)[:3])
        raise ValueError(
            f"{source} lacks {len(missing)} of the encoder's weights ({names}, ...); they would be random. Give the "
            "encoder as its own save_pretrained writes it."
        )
