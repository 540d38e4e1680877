"""Triglot: one decoder-only transformer that reads and writes text, speech and image tokens.

`import triglot` makes AutoConfig, AutoModel, AutoModelForCausalLM, AutoProcessor and `pipeline` know Triglot's classes.
It is lazy: neither torch nor transformers is imported until they are used; the registration happens when transformers
is first imported, or at once where it has been already.
"""

import os as _os
import sys as _sys
from importlib import import_module as _import_module

from .version import __version__

# From a checkout the rooms lie beside this folder; an installed package has them inside. Without this line a checkout in
# the current folder would hide the rooms of an installed package.
_checkout = _os.path.dirname(_os.path.dirname(_os.path.abspath(__file__)))
if _os.path.isfile(_os.path.join(_checkout, "setup.cfg")) and _os.path.isdir(_os.path.join(_checkout, "modeling")):
    __path__.append(_checkout)

_PUBLIC = {
    "TriglotConfig": "modeling.language_model.configuration_triglot",
    "TriglotModel": "modeling.language_model.modeling_triglot",
    "TriglotForConditionalGeneration": "modeling.language_model.modeling_triglot",
    "extend_text_model": "modeling.language_model.modeling_triglot",
    "MediaTokenizer": "modeling.tokenizers.media_tokenizer",
    "FeatureUnits": "modeling.tokenizers.modeling_feature_units",
    "MfccEncoder": "modeling.tokenizers.modeling_mfcc",
    "CodecUnits": "modeling.tokenizers.modeling_codec_units",
    "SpeechVqvae": "modeling.tokenizers.modeling_speech_vqvae",
    "ImageVqvae": "modeling.tokenizers.modeling_image_vqvae",
    "ImageDvae": "modeling.tokenizers.modeling_image_dvae",
    "BestRqEncoder": "modeling.tokenizers.modeling_best_rq",
    "MediaDecoder": "modeling.decoders.media_decoder",
    "Voice": "modeling.decoders.voice",
    "CodecDecoder": "modeling.decoders.modeling_codec_decoder",
    "SoundStorm": "modeling.decoders.modeling_soundstorm",
    "AudioLm": "modeling.decoders.modeling_audiolm",
    "SpeakerEncoder": "modeling.decoders.modeling_speaker_encoder",
    "MelVocoder": "modeling.decoders.modeling_mel_vocoder",
    "CodeHifiGan": "modeling.decoders.modeling_code_hifigan",
    "FastSpeech2": "modeling.decoders.modeling_fastspeech2",
    "MelDiffusion": "modeling.decoders.modeling_mel_diffusion",
    "TextToUnit": "modeling.decoders.modeling_text_to_unit",
    "ImageDiffusion": "modeling.decoders.modeling_image_diffusion",
    "ImageGan": "modeling.decoders.modeling_image_gan",
    "ImageSuperResolution": "modeling.decoders.modeling_image_super_resolution",
    "LatentDiffusion": "modeling.decoders.modeling_latent_diffusion",
    "UnitVocoder": "modeling.decoders.modeling_unit_vocoder",
    "push_to_hub": "hub_upload",
    "TokenSpace": "processing.token_space",
    "TriglotError": "processing.errors",
    "TriglotCodecs": "processing.codecs_triglot",
    "TriglotProcessor": "processing.processing_triglot",
    "ImageToSpeechPipeline": "processing.pipeline_image_to_speech",
    "SpeechRecognitionPipeline": "processing.pipeline_speech_recognition",
    "SpeechToImagePipeline": "processing.pipeline_speech_to_image",
    "SpeechToSpeechTranslationPipeline": "processing.pipeline_speech_to_speech_translation",
    "SpeechToTextTranslationPipeline": "processing.pipeline_speech_to_text_translation",
    "TaskChainPipeline": "processing.pipeline_task_chain",
    "TextToImagePipeline": "processing.pipeline_text_to_image",
    "TextTranslationPipeline": "processing.pipeline_text_translation",
    "VoiceTextToSpeechPipeline": "processing.pipeline_voice_text_to_speech",
}

__all__ = ["__version__", *_PUBLIC]


def __getattr__(name: str):
    if name not in _PUBLIC:
        raise AttributeError(f"module 'triglot' has no attribute {name!r}")
    value = getattr(_import_module(f"triglot.{_PUBLIC[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def _register() -> None:
    _import_module("triglot.registration").register()


class _RegisterAfterTransformers:
    """An import hook that runs `_register` right after transformers has been imported, then takes itself away."""

    def find_spec(self, fullname, path=None, target=None):
        if fullname != "transformers":
            return None
        _sys.meta_path.remove(self)
        from importlib.util import find_spec

        spec = find_spec("transformers")
        if spec is not None and spec.loader is not None:
            load = spec.loader.exec_module

            def load_and_register(module) -> None:
                load(module)
                _register()

            spec.loader.exec_module = load_and_register  # type: ignore[method-assign]
        return spec


if "transformers" in _sys.modules:
    _register()
else:
    _sys.meta_path.insert(0, _RegisterAfterTransformers())
