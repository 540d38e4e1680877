"""Speech as a signal: log-mel, levels, F0, and a harmonic and a noise source shaped by one filter a frame. No weights.

What decoders of speech share. Magnitudes are natural logarithms.
Shapes: S samples, N = ceil(S / hop) frames, M mel bands, F bins of a filter, C sources. Frame n is centred on sample
(n + 1/2) hop everywhere.
"""

import functools
import math
from collections.abc import Sequence
from typing import Any

import torch
from torch.nn import functional as F

ACTIVE_RANGE = 10 ** (-35 / 20)  # frames within 35 dB of the loudest one count as speech
VOICING_THRESHOLD = 0.5  # normalised autocorrelation from which a frame is voiced; white noise stays below 0.25
CORRELATION_SECONDS = 0.032  # two periods of 62 Hz


# ---------------------------------------------------------------- analysis of waveforms


def _constant(make):
    """Caches what `make(*sizes, device)` returns: no buffers, so nothing is lost when weights are loaded on "meta"."""

    @functools.lru_cache(maxsize=32)
    @functools.wraps(make)
    def cached(*arguments):
        with torch.inference_mode(False), torch.no_grad():  # tensors born in inference mode cannot be trained through
            return make(*arguments)

    return cached


@_constant
def hann_window(size: int, device: torch.device) -> torch.Tensor:
    """Periodic Hann window (size,)."""
    return torch.hann_window(size, device=device, dtype=torch.float32)


def _mel_points(bands: int, sampling_rate: int) -> torch.Tensor:
    """Edges and centres of the bands in Hz (bands + 2,), equally spaced in mel from 0 to the Nyquist frequency."""
    top = 2595.0 * math.log10(1.0 + sampling_rate / 2 / 700.0)
    mel = torch.linspace(0.0, top, bands + 2, dtype=torch.float64, device="cpu")
    return 700.0 * (10.0 ** (mel / 2595.0) - 1.0)


@_constant
def mel_bank(bands: int, fft: int, sampling_rate: int, device: torch.device) -> torch.Tensor:
    """Triangles (fft // 2 + 1, bands); each sums to 1, so a flat spectrum gives flat bands."""
    points = _mel_points(bands, sampling_rate)
    frequency = torch.arange(fft // 2 + 1, dtype=torch.float64, device="cpu")[:, None] * (sampling_rate / fft)
    up = (frequency - points[:-2]) / (points[1:-1] - points[:-2])
    down = (points[2:] - frequency) / (points[2:] - points[1:-1])
    bank = torch.minimum(up, down).clamp(min=0.0)
    nearest = (points[1:-1] * fft / sampling_rate).round().long()
    bank[nearest, torch.arange(bands, device="cpu")] += 1e-3  # a band narrower than a bin still hears its nearest bin
    return (bank / bank.sum(0)).to(device=device, dtype=torch.float32)


@_constant
def mel_to_bins(bands: int, size: int, sampling_rate: int, device: torch.device) -> torch.Tensor:
    """Linear interpolation (bands, size // 2 + 1) of band values to the bins of an FFT of `size`."""
    centres = _mel_points(bands, sampling_rate)[1:-1]
    frequency = torch.arange(size // 2 + 1, dtype=torch.float64, device="cpu") * (sampling_rate / size)
    frequency = frequency.clamp(float(centres[0]), float(centres[-1]))
    right = torch.searchsorted(centres, frequency).clamp(1, bands - 1)
    share = (frequency - centres[right - 1]) / (centres[right] - centres[right - 1])
    matrix = torch.zeros(bands, len(frequency), dtype=torch.float64, device="cpu")
    column = torch.arange(len(frequency), device="cpu")
    matrix[right - 1, column] = 1.0 - share
    matrix[right, column] += share
    return matrix.to(device=device, dtype=torch.float32)


def split_frames(waveform: torch.Tensor, size: int, hop: int) -> torch.Tensor:
    """(..., S) -> (..., ceil(S / hop), size): frame n is centred on sample (n + 1/2) hop; zeros beyond the ends."""
    missing = -waveform.shape[-1] % hop
    left = (size - hop) // 2
    return F.pad(waveform, (left, size - hop - left + missing)).unfold(-1, size, hop)


def log_mel(waveform: torch.Tensor, config: Any) -> torch.Tensor:
    """Natural logarithm of mel magnitudes, (..., S) -> (..., N, M), not below log(`log_floor`)."""
    frames = split_frames(waveform, config.mel_window, config.hop_length)
    spectrum = torch.fft.rfft(frames * hann_window(config.mel_window, waveform.device), n=config.mel_fft)
    power = spectrum.real.square() + spectrum.imag.square()
    bank = mel_bank(config.num_mel_bins, config.mel_fft, config.sampling_rate, waveform.device)
    return 0.5 * torch.log((power @ bank).clamp(min=config.log_floor**2))


def active_frames(waveform: torch.Tensor, hop: int) -> tuple[torch.Tensor, float]:
    """Which frames of (S,) are speech, bool (N,), and their RMS: those within 35 dB of the loudest one."""
    level = split_frames(waveform, 2 * hop, hop).square().mean(-1).sqrt()
    active = level > ACTIVE_RANGE * level.max()
    return active, float(level[active].square().mean().sqrt()) if bool(active.any()) else 0.0


def normalise_level(waveform: torch.Tensor, hop: int, wanted: float) -> torch.Tensor:
    """Scales (S,) so that its active frames have the RMS `wanted`; silence stays as it is."""
    level = active_frames(waveform, hop)[1]
    return waveform * (wanted / level) if level > 0.0 else waveform


def stft_loss(made: torch.Tensor, wanted: torch.Tensor, sizes: Sequence[int], floor: float) -> torch.Tensor:
    """Multi-resolution STFT loss of (B, S) against (B, S): spectral convergence + L1 of log-magnitudes, mean over FFT sizes.

    Parallel WaveGAN (arXiv 1910.11480), section 2.2; hops are a quarter of the sizes, magnitudes below `floor` count as it.
    """
    losses = []
    for size in sizes:
        window, magnitudes = hann_window(size, made.device), []
        for item in (made, wanted):
            spectrum = torch.stft(item, size, size // 4, window=window, return_complex=True)
            magnitudes.append((spectrum.real.square() + spectrum.imag.square()).clamp(min=floor**2).sqrt())
        ours, theirs = magnitudes
        convergence = (ours - theirs).norm(dim=(-2, -1)) / theirs.norm(dim=(-2, -1)).clamp(min=1e-3)
        losses.append(convergence.mean() + (ours.log() - theirs.log()).abs().mean())
    return torch.stack(losses).mean()


def spectral_losses(
    made: torch.Tensor,
    wanted: torch.Tensor,
    sizes: Sequence[int],
    config: Any,
    frames: torch.Tensor | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """`stft_loss` and the L1 of log-mel of (B, S) against (B, S).

    Args:
        made, wanted: Zero where padded.
        sizes: Of the STFTs.
        config: Of the log-mel.
        frames: bool (B, N), those of the log-mel that count; None for all.
    """
    gap = (log_mel(made, config) - log_mel(wanted, config)).abs().mean(-1)
    counted = torch.ones_like(gap) if frames is None else frames.to(gap)
    mel = (gap * counted).sum() / counted.sum().clamp(min=1.0)
    return stft_loss(made, wanted, sizes, config.log_floor), mel


def _correlate(frames: torch.Tensor, window: int, floor: float) -> torch.Tensor:
    """Normalised correlation of the first `window` samples of each frame with the frame, (n, W + L) -> (n, L + 1)."""
    frames = frames - frames.mean(-1, keepdim=True)
    size = 1 << (frames.shape[-1] - 1).bit_length()
    head = torch.fft.rfft(frames[:, :window], n=size)
    product = torch.fft.irfft(head.conj() * torch.fft.rfft(frames, n=size), n=size)
    lags = frames.shape[-1] - window
    energy = F.pad(frames.double().square().cumsum(-1), (1, 0))
    energy = (energy[:, window:] - energy[:, : lags + 1]).float().clamp(min=0.0)
    return product[:, : lags + 1] / (energy[:, :1] * energy + floor**2).sqrt()


def _pick_peaks(correlation: torch.Tensor, penalty: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Best local maximum of correlation - penalty over lags, (n, lags) -> lag (n,) refined by a parabola, height (n,)."""
    middle = correlation[:, 1:-1]
    peak = (middle >= correlation[:, :-2]) & (middle > correlation[:, 2:])
    best = (middle - penalty[1:-1]).masked_fill(~peak, -2.0).argmax(-1, keepdim=True) + 1
    before, height, after = (correlation.gather(1, best + step).squeeze(1) for step in (-1, 0, 1))
    bend = before - 2.0 * height + after
    shift = torch.where(bend < -1e-6, 0.5 * (before - after) / bend.clamp(max=-1e-6), torch.zeros_like(bend))
    return best.squeeze(1) + shift.clamp(-0.5, 0.5), height


def estimate_f0(
    waveform: torch.Tensor, sampling_rate: int, hop: int = 160, min_f0: float = 60.0, max_f0: float = 500.0
) -> torch.Tensor:
    """F0 of every frame by normalised autocorrelation.

    Two passes: the first prefers short lags slightly, the second prefers lags near the median of the first, which
    removes octave errors. A frame is voiced where the correlation exceeds 0.5; five frames vote.

    Args:
        waveform: float (S,); its gain does not matter.
        sampling_rate: Hz.
        hop: Samples between frames.
        min_f0: Hz, as `max_f0`.

    Returns:
        float32 (ceil(S / hop),) in Hz; 0 where unvoiced.
    """
    waveform = waveform.float()
    window, longest = round(CORRELATION_SECONDS * sampling_rate), math.ceil(sampling_rate / min_f0) + 1
    shortest = max(2, math.floor(sampling_rate / max_f0) - 1)
    level = active_frames(waveform, hop)[1]
    if level == 0.0:
        return torch.zeros(-(-waveform.shape[-1] // hop), device=waveform.device)
    frames = split_frames(waveform, window + longest, hop)
    floor = window * (ACTIVE_RANGE * level) ** 2 / 4  # what is 35 dB below speech is not voiced
    correlation = torch.cat([_correlate(part, window, floor)[:, shortest:] for part in frames.split(4096)])
    octaves = torch.log2(torch.arange(shortest, longest + 1, device=waveform.device, dtype=torch.float32))
    lag, height = _pick_peaks(correlation, 0.05 * (octaves - octaves[0]))
    sure = height > 0.8 if bool((height > 0.8).any()) else height > VOICING_THRESHOLD
    if not bool(sure.any()):
        return torch.zeros_like(height)
    usual = torch.log2((lag[sure] + shortest).median())
    lag, height = _pick_peaks(correlation, 0.1 * (octaves - usual).square())
    f0 = (sampling_rate / (lag + shortest)).clamp(min_f0, max_f0)
    voiced = split_frames((height > VOICING_THRESHOLD).float(), 5, 1).sum(-1) >= 3
    return torch.where(voiced, split_frames(f0, 3, 1).median(-1).values, torch.zeros_like(f0))


def fill_unvoiced(f0: torch.Tensor, fallback: torch.Tensor) -> torch.Tensor:
    """Log-F0 without gaps: (B, N) in Hz, 0 = unvoiced -> (B, N), linear between voiced frames, level at the ends.

    `fallback` (B,) is the log-F0 of a row with no voiced frame.
    """
    voiced, frames = f0 > 0, f0.shape[-1]
    place = torch.arange(frames, device=f0.device).expand_as(f0)
    before = place.masked_fill(~voiced, -1).cummax(-1).values
    after = place.masked_fill(~voiced, frames).flip(-1).cummin(-1).values.flip(-1)
    before, after = torch.where(before < 0, after, before), torch.where(after >= frames, before, after)
    none = before >= frames
    before, after = before.clamp(0, frames - 1), after.clamp(0, frames - 1)
    value = torch.log(f0.clamp(min=1.0))
    share = (place - before) / (after - before).clamp(min=1)
    filled = torch.lerp(value.gather(-1, before), value.gather(-1, after), share.to(value))
    return torch.where(none, fallback[:, None].to(value), filled)


# ---------------------------------------------------------------- sources and filters


def to_samples(frames: torch.Tensor, hop: int) -> torch.Tensor:
    """Linear interpolation between the centres of frames, (B, N) -> (B, N hop)."""
    return F.interpolate(frames[:, None], scale_factor=float(hop), mode="linear", align_corners=False)[:, 0]


def harmonic_phase(log_f0: torch.Tensor, config: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """F0 in Hz and its phase in periods since the start, both float64 (B, S), from log-F0 (B, N)."""
    f0 = to_samples(log_f0.double().exp(), config.hop_length)
    return f0, (f0 / config.sampling_rate).cumsum(-1)


def harmonic_source(f0: torch.Tensor, phase: torch.Tensor, sampling_rate: int) -> torch.Tensor:
    """All harmonics of F0 up to 0.475 of the rate, equally strong, power 1: float64 (B, S) -> float32 (B, S).

    K cosines are summed in closed form, as Dirichlet's kernel; the next one fades in with F0, so there are no clicks.
    """
    phase = phase - phase.floor()
    count = 0.475 * sampling_rate / f0
    whole = count.floor()
    turns = (whole + 0.5) * phase
    upper = torch.sin(2 * math.pi * (turns - turns.floor()).float())
    lower = torch.sin(math.pi * phase.float())
    small = lower.abs() < 1e-4
    pulse = torch.where(small, whole.float(), 0.5 * upper / lower.masked_fill(small, 1.0) - 0.5)
    turns = (whole + 1.0) * phase
    pulse = pulse + (count - whole).float() * torch.cos(2 * math.pi * (turns - turns.floor()).float())
    return pulse * torch.sqrt(2.0 / count).float()


def minimum_phase(log_magnitude: torch.Tensor) -> torch.Tensor:
    """Impulse responses (..., 2 (F - 1)) of least delay with the given natural log-magnitudes (..., F).

    The real cepstrum folded onto positive times: energy decays after each pulse, as it does behind vocal folds.
    """
    cepstrum = torch.fft.irfft(log_magnitude)
    half = cepstrum.shape[-1] // 2
    folded = torch.cat([cepstrum[..., :1], 2.0 * cepstrum[..., 1:half], cepstrum[..., half : half + 1]], -1)
    phase = torch.fft.rfft(F.pad(folded, (0, half - 1))).imag
    return torch.fft.irfft(torch.polar(log_magnitude.exp(), phase))


def filter_sources(sources: torch.Tensor, log_magnitude: torch.Tensor, hop: int) -> torch.Tensor:
    """Filters each source with its own filter per frame and adds them: (B, C, S), (B, C, N, F) -> (B, S).

    Windows of two hops add up to one, so a constant filter is an exact convolution but for half a hop of fading in
    and out at the ends; the tail beyond S is dropped.
    """
    responses = minimum_phase(log_magnitude)
    size = 1 << (2 * hop + responses.shape[-1] - 2).bit_length()
    frames = split_frames(sources, 2 * hop, hop) * hann_window(2 * hop, sources.device)
    spectrum = (torch.fft.rfft(frames, n=size) * torch.fft.rfft(responses, n=size)).sum(1)
    pieces = torch.fft.irfft(spectrum, n=size)  # (B, N, size)
    length = (pieces.shape[1] - 1) * hop + size
    waveform = F.fold(pieces.transpose(1, 2), (1, length), (1, size), stride=(1, hop))[:, 0, 0]
    return waveform[:, hop // 2 : hop // 2 + sources.shape[-1]]
