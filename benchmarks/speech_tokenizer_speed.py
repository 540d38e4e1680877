"""Speech -> codes: `FeatureUnits.encode` beside the usual route, the whole encoder and scikit-learn's predict.

    python benchmarks/speech_tokenizer_speed.py [--encoder DIR | --large] [--layer 6] [--codes 100] [--utterances 12] [--rounds 3]

Without --encoder it is HuBERT base at random (12 layers of 768, 94M parameters), or HuBERT large (24 of 1024, 316M). Both routes run
in one process and alternate utterance by utterance; the best of the rounds counts. Their codes must be the same. The hours of sound
an hour say how long 1,000 hours take to tokenise; with the steps of k-means on features of that width also how long a code book takes
that has heard all of them.
"""

import argparse
import time

import numpy as np
import torch
from sklearn.cluster import MiniBatchKMeans
from transformers import AutoFeatureExtractor, AutoModel, HubertConfig, HubertModel, Wav2Vec2FeatureExtractor
from transformers.utils import logging

from triglot.modeling.tokenizers.modeling_feature_units import FeatureUnits
from triglot.processing.audio_io import load_audio
from triglot.training.data.demo_world import DemoWorldArguments, demo_world
from triglot.training.streaming_kmeans import StreamingKmeans

LARGE = {
    "hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16, "intermediate_size": 4096, "do_stable_layer_norm": True,
    "feat_extract_norm": "layer", "conv_bias": True,
}  # fmt: skip


class UsualRoute:
    """All layers run, their hidden states kept, one of them averaged to 25 Hz and clustered by scikit-learn."""

    def __init__(self, encoder, extractor, layer: int, codes: int, group: int):
        self.encoder, self.extractor, self.layer, self.codes, self.group = encoder, extractor, layer, codes, group
        self.kmeans = MiniBatchKMeans(codes, n_init=1, max_iter=3, random_state=0)

    @torch.inference_mode()
    def features(self, wave: np.ndarray) -> np.ndarray:
        inputs = self.extractor(wave, sampling_rate=self.extractor.sampling_rate, return_tensors="pt")
        frames = self.encoder(**inputs, output_hidden_states=True).hidden_states[self.layer][0]
        whole = len(frames) // self.group * self.group
        means = frames[:whole].unflatten(0, (-1, self.group)).mean(1)
        if whole < len(frames):
            means = torch.cat([means, frames[whole:].mean(0, keepdim=True)])
        return means.numpy()

    def encode(self, wave: np.ndarray) -> np.ndarray:
        return self.kmeans.predict(self.features(wave))


def clustered_frames(codes: int, width: int, rounds: int = 3) -> float:
    """Frames a second of a k-means step once it has begun."""
    kmeans = StreamingKmeans(codes, width, batch_size=max(4096, codes), init_frames=codes)
    generator, best = torch.Generator().manual_seed(0), float("inf")
    kmeans.add(torch.randn(codes, width, generator=generator))
    for _ in range(rounds):
        frames = torch.randn(kmeans.batch_size, width, generator=generator)
        start = time.perf_counter()
        kmeans.add(frames)
        best = min(best, time.perf_counter() - start)
    return kmeans.batch_size / best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--encoder")
    parser.add_argument("--large", action="store_true", help="HuBERT large at random")
    parser.add_argument("--layer", type=int, default=6)
    parser.add_argument("--codes", type=int, default=100)
    parser.add_argument("--utterances", type=int, default=12)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    logging.set_verbosity_error()
    logging.disable_progress_bar()

    torch.manual_seed(0)
    if arguments.encoder:
        encoder = AutoModel.from_pretrained(arguments.encoder).eval()
        extractor = AutoFeatureExtractor.from_pretrained(arguments.encoder)
    else:
        config = HubertConfig(**LARGE) if arguments.large else HubertConfig()
        encoder, extractor = HubertModel(config).eval(), Wav2Vec2FeatureExtractor(do_normalize=True)
    world = demo_world(
        DemoWorldArguments(
            sentences=arguments.utterances, phrases=True, languages="en es", speakers="", directions="ring"
        )
    )
    waves = [load_audio(row["audio"], target_rate=extractor.sampling_rate) for row in world][: arguments.utterances]
    units = FeatureUnits.from_encoder(encoder, arguments.layer, feature_extractor=extractor)
    usual = UsualRoute(encoder, extractor, arguments.layer, arguments.codes, units.config.group_size)
    frames = np.concatenate([usual.features(wave) for wave in waves])
    if len(frames) < 4 * arguments.codes:
        parser.error(
            f"{len(frames)} frames are too few for {arguments.codes} codes: centroids would coincide; take more --utterances"
        )
    usual.kmeans.fit(frames)
    units.set_centroids(torch.from_numpy(usual.kmeans.cluster_centers_.astype(np.float32)))

    ways = {
        "usual route": lambda wave: usual.encode(wave),
        "FeatureUnits": lambda wave: units.encode([torch.from_numpy(wave)])[0].numpy(),
    }
    best = {name: np.full(len(waves), np.inf) for name in ways}
    same = total = 0
    for _ in range(arguments.rounds):
        for number, wave in enumerate(waves):
            codes = {}
            for name, way in ways.items():
                start = time.perf_counter()
                codes[name] = way(wave)
                best[name][number] = min(best[name][number], time.perf_counter() - start)
            same += int((codes["usual route"] == codes["FeatureUnits"]).sum())
            total += len(codes["usual route"])
    seconds = sum(len(wave) for wave in waves) / extractor.sampling_rate
    layers, size = encoder.config.num_hidden_layers, sum(weight.numel() for weight in encoder.parameters()) / 1e6
    print(
        f"torch {torch.__version__}, {torch.get_num_threads()} threads; {type(encoder).__name__} of {layers} layers, {size:.0f}M, "
        f"layer {arguments.layer}, {arguments.codes} codes; {seconds:.0f} s of speech, best of {arguments.rounds}"
    )
    print("| way | s of work | hours of sound an hour | |\n|---|---|---|---|")
    slowest = best["usual route"].sum()
    for name, times in best.items():
        print(f"| {name} | {times.sum():.2f} | {seconds / times.sum():.1f} | {slowest / times.sum():.2f}x |")
    print(f"the same codes in {same} of {total} places")
    encoding, frames = 1000 / (seconds / best["FeatureUnits"].sum()), 1000 * 3600 * units.frame_rate
    for codes in (arguments.codes, 10_000):
        rate = clustered_frames(codes, units.config.feature_dim)
        print(
            f"a code book of {codes} from 1,000 hours: {encoding:.0f} h for the features, {frames / rate / 3600:.1f} h for the steps "
            f"({rate:.0f} frames/s)"
        )


if __name__ == "__main__":
    main()
