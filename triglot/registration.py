"""Tells transformers' AutoClasses and `pipeline` about Triglot's classes; done once a process by `import triglot`."""

import transformers
from transformers import AutoConfig, AutoModel, AutoModelForCausalLM, AutoProcessor
from transformers.pipelines import PIPELINE_REGISTRY

from triglot.modeling.decoders.configuration_audiolm import AudioLmConfig
from triglot.modeling.decoders.configuration_code_hifigan import CodeHifiGanConfig
from triglot.modeling.decoders.configuration_codec_decoder import CodecDecoderConfig
from triglot.modeling.decoders.configuration_fastspeech2 import FastSpeech2Config
from triglot.modeling.decoders.configuration_image_diffusion import ImageDiffusionConfig
from triglot.modeling.decoders.configuration_image_gan import ImageGanConfig
from triglot.modeling.decoders.configuration_image_super_resolution import ImageSuperResolutionConfig
from triglot.modeling.decoders.configuration_latent_diffusion import LatentDiffusionConfig
from triglot.modeling.decoders.configuration_mel_diffusion import MelDiffusionConfig
from triglot.modeling.decoders.configuration_mel_vocoder import MelVocoderConfig
from triglot.modeling.decoders.configuration_soundstorm import SoundStormConfig
from triglot.modeling.decoders.configuration_speaker_encoder import SpeakerEncoderConfig
from triglot.modeling.decoders.configuration_text_to_unit import TextToUnitConfig
from triglot.modeling.decoders.configuration_unit_vocoder import UnitVocoderConfig
from triglot.modeling.decoders.modeling_audiolm import AudioLm
from triglot.modeling.decoders.modeling_code_hifigan import CodeHifiGan
from triglot.modeling.decoders.modeling_codec_decoder import CodecDecoder
from triglot.modeling.decoders.modeling_fastspeech2 import FastSpeech2
from triglot.modeling.decoders.modeling_image_diffusion import ImageDiffusion
from triglot.modeling.decoders.modeling_image_gan import ImageGan
from triglot.modeling.decoders.modeling_image_super_resolution import ImageSuperResolution
from triglot.modeling.decoders.modeling_latent_diffusion import LatentDiffusion
from triglot.modeling.decoders.modeling_mel_diffusion import MelDiffusion
from triglot.modeling.decoders.modeling_mel_vocoder import MelVocoder
from triglot.modeling.decoders.modeling_soundstorm import SoundStorm
from triglot.modeling.decoders.modeling_speaker_encoder import SpeakerEncoder
from triglot.modeling.decoders.modeling_text_to_unit import TextToUnit
from triglot.modeling.decoders.modeling_unit_vocoder import UnitVocoder
from triglot.modeling.language_model.configuration_triglot import TriglotConfig
from triglot.modeling.language_model.modeling_triglot import TriglotForConditionalGeneration
from triglot.modeling.tokenizers.configuration_best_rq import BestRqConfig
from triglot.modeling.tokenizers.configuration_codec_units import CodecUnitsConfig
from triglot.modeling.tokenizers.configuration_feature_units import FeatureUnitsConfig
from triglot.modeling.tokenizers.configuration_image_dvae import ImageDvaeConfig
from triglot.modeling.tokenizers.configuration_image_vqvae import ImageVqvaeConfig
from triglot.modeling.tokenizers.configuration_mfcc import MfccConfig
from triglot.modeling.tokenizers.configuration_speech_vqvae import SpeechVqvaeConfig
from triglot.modeling.tokenizers.modeling_best_rq import BestRqEncoder
from triglot.modeling.tokenizers.modeling_codec_units import CodecUnits
from triglot.modeling.tokenizers.modeling_feature_units import FeatureUnits
from triglot.modeling.tokenizers.modeling_image_dvae import ImageDvae
from triglot.modeling.tokenizers.modeling_image_vqvae import ImageVqvae
from triglot.modeling.tokenizers.modeling_mfcc import MfccEncoder
from triglot.modeling.tokenizers.modeling_speech_vqvae import SpeechVqvae
from triglot.processing.processing_triglot import TriglotProcessor

# a new tokenizer or decoder is one more line here
COMPONENTS = (
    (BestRqConfig, BestRqEncoder),
    (MfccConfig, MfccEncoder),
    (FeatureUnitsConfig, FeatureUnits),
    (SpeechVqvaeConfig, SpeechVqvae),
    (CodecUnitsConfig, CodecUnits),
    (ImageVqvaeConfig, ImageVqvae),
    (ImageDvaeConfig, ImageDvae),
    (CodecDecoderConfig, CodecDecoder),
    (UnitVocoderConfig, UnitVocoder),
    (CodeHifiGanConfig, CodeHifiGan),
    (FastSpeech2Config, FastSpeech2),
    (MelVocoderConfig, MelVocoder),
    (MelDiffusionConfig, MelDiffusion),
    (SoundStormConfig, SoundStorm),
    (AudioLmConfig, AudioLm),
    (TextToUnitConfig, TextToUnit),
    (SpeakerEncoderConfig, SpeakerEncoder),
    (ImageDiffusionConfig, ImageDiffusion),
    (ImageGanConfig, ImageGan),
    (LatentDiffusionConfig, LatentDiffusion),
    (ImageSuperResolutionConfig, ImageSuperResolution),
)


def register() -> None:
    """Registers config, models, processor, codec components and pipelines. Calling it again changes nothing."""
    for config_class, model_class in COMPONENTS:
        AutoConfig.register(config_class.model_type, config_class, exist_ok=True)
        AutoModel.register(config_class, model_class, exist_ok=True)
    AutoConfig.register(TriglotConfig.model_type, TriglotConfig, exist_ok=True)
    for name in TriglotConfig.auto_classes:
        getattr(transformers, name).register(TriglotConfig, TriglotForConditionalGeneration, exist_ok=True)
    AutoProcessor.register(TriglotConfig, TriglotProcessor, exist_ok=True)

    pipelines = TriglotProcessor.pipeline_classes()
    for task, pipeline_class in pipelines.items():
        if task not in PIPELINE_REGISTRY.supported_tasks:
            PIPELINE_REGISTRY.register_pipeline(
                task, pipeline_class=pipeline_class, pt_model=AutoModelForCausalLM, type="multimodal"
            )
    TriglotConfig.in_process_pipelines = {
        task: {
            "impl": f"{pipeline_class.__module__.rpartition('.')[2]}.{pipeline_class.__name__}",
            "pt": ["AutoModelForCausalLM"],
            "type": "multimodal",
        }
        for task, pipeline_class in pipelines.items()
    }
