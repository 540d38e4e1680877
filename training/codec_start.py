"""Where a DAC begins to learn: as a linear transform that loses little, its code books where vectors lie.

Started at random, most of a short training goes into carrying sound through the layers at all. Here every strided convolution begins as
the projection of a block of its input onto the block's principal directions, found on some of the recordings; the decoder's layer of the
same stride begins as its transpose. Residual units begin as identities, activations nearly so. The codec then gives back what it hears
before the first step, less what the code books lose, and learns from there what to keep.

Code books begin as residual clusters along principal directions. A code book of DAC (arXiv 2306.06546, section 3.2) compares angles only,
so one of its dimensions begins as a constant: then the angle tells the size as well, and silence is an entry of its own.
"""

import torch
from sklearn.cluster import MiniBatchKMeans
from torch.nn import functional as F
from transformers import DacModel
from transformers.models.dac.modeling_dac import DacResidualUnit, Snake1d

SMALL = 0.01  # times the deviation that keeps a signal's size, for weights that nothing asks for yet
# power to which the widths of the first layer's directions are divided out: high frequencies are weak, and tell sounds apart
EVENED = 0.75
NEARLY_LINEAR = 0.01  # slope of activations between strides


@torch.no_grad()
def begin_codec(codec: DacModel, waveforms: torch.Tensor) -> None:
    """Both of the below: float (B, S) of sound -> encoder, decoder and quantizer of `codec` are set."""
    begin_convolutions(codec, waveforms)
    begin_code_books(codec, codec.encoder(waveforms[:, None]).transpose(1, 2).flatten(0, 1))


@torch.no_grad()
def begin_convolutions(codec: DacModel, waveforms: torch.Tensor) -> None:
    """Makes a codec of random weights a transform along principal directions and back.

    Args:
        codec: Its encoder and decoder are set; their ratios mirror each other.
        waveforms: float (B, S) to find directions in; a minute or two is plenty.
    """
    encoder, decoder = codec.encoder, codec.decoder
    for module in codec.modules():
        if isinstance(module, torch.nn.Conv1d):
            torch.nn.init.normal_(module.weight, std=(module.in_channels * module.kernel_size[0]) ** -0.5)
        if isinstance(module, (torch.nn.Conv1d, torch.nn.ConvTranspose1d)) and module.bias is not None:
            torch.nn.init.zeros_(module.bias)
    for module in codec.modules():
        if isinstance(module, DacResidualUnit):
            module.conv2.weight.mul_(SMALL)
    outer = [encoder.snake1, decoder.snake1, *(block.snake1 for block in [*encoder.block, *decoder.block])]
    for activation in outer:
        assert isinstance(activation, Snake1d)
        activation.alpha.fill_(NEARLY_LINEAR)
    taps = encoder.conv1.kernel_size[0]
    hidden = waveforms[:, None]
    directions, widths = _principal_directions(_blocks(F.pad(hidden, (taps // 2, taps // 2)), taps, 1), taps)
    widths = (widths / widths[0].clamp(min=1e-8)).clamp(min=1e-4) ** EVENED
    _place(encoder.conv1.weight, (directions / widths).T[:, None])
    # neighbouring windows overlap, so each sample comes back as often as a window has taps
    _place(decoder.conv2.weight, (directions * widths).T[None].flip(2) / taps)
    hidden = encoder.conv1(hidden)
    for down, up in zip(encoder.block, reversed(decoder.block), strict=True):
        stride, first = down.conv1.stride[0], down.conv1.padding[0]
        channels = hidden.shape[1]
        directions, _ = _principal_directions(_blocks(hidden, stride, stride), down.conv1.out_channels)
        kernel = directions.T.reshape(-1, channels, stride)
        _place(down.conv1.weight, kernel, first)
        _place(up.conv_t1.weight, kernel, up.conv_t1.padding[0])
        hidden = down(hidden)
    for layer in (encoder.conv2, decoder.conv1):
        size = min(layer.in_channels, layer.out_channels)
        _place(layer.weight, torch.eye(size, device=hidden.device)[..., None], layer.kernel_size[0] // 2)


def _blocks(hidden: torch.Tensor, taps: int, step: int) -> torch.Tensor:
    """(B, C, T) -> one row (C taps) for each block of `taps`, `step` apart."""
    return hidden.unfold(2, taps, step).transpose(1, 2).flatten(2).flatten(0, 1)


def _principal_directions(vectors: torch.Tensor, most: int) -> tuple[torch.Tensor, torch.Tensor]:
    """(n, D) -> (D, at most `most`), orthonormal columns, the widest first; and how wide, RMS."""
    vectors = vectors.double()
    squares, directions = torch.linalg.eigh(vectors.T @ vectors / len(vectors))
    return directions.flip(1)[:, :most].float(), squares.clamp(min=0.0).sqrt().flip(0)[:most].float()


def _place(weight: torch.Tensor, kernel: torch.Tensor, first: int = 0) -> None:
    """Makes `weight` small and writes `kernel` into its first channels, from tap `first` on; what does not fit is left out."""
    weight.mul_(SMALL)
    here = tuple(min(ours, theirs) for ours, theirs in zip(weight.shape[:2], kernel.shape[:2], strict=True))
    weight[: here[0], : here[1], first : first + kernel.shape[2]] = kernel[: here[0], : here[1]].to(weight)


@torch.no_grad()
def begin_code_books(codec: DacModel, latents: torch.Tensor) -> None:
    """Starts every level where vectors lie.

    A level projects the residual onto its principal directions, less one, and back; its entries are the means of clusters there.

    Args:
        codec: Its quantizer is set.
        latents: float (n, D) of the encoder.
    """
    size, dimension = codec.config.codebook_size, codec.config.codebook_dim
    residual = latents.float().cpu()
    for layer in codec.quantizer.quantizers:
        mean = residual.mean(0)
        centred = residual - mean
        directions, _ = _principal_directions(centred, max(1, dimension - 1))
        projected = centred @ directions  # (n, d - 1)
        vectors = projected
        if dimension > 1:
            constant = projected.square().sum(1).mean().sqrt()
            vectors = torch.cat([projected, constant.expand(len(projected), 1)], 1)
        units = F.normalize(vectors, dim=1)
        count = min(size, len(units))
        clusters = MiniBatchKMeans(count, n_init=1, batch_size=4096, random_state=0).fit_predict(units.numpy())
        members = F.one_hot(torch.from_numpy(clusters).long(), size).float()
        counts = members.sum(0)
        entries = members.T @ vectors / counts.clamp(min=1.0)[:, None]
        empty = counts == 0
        entries[empty] = vectors[torch.randint(len(vectors), (int(empty.sum()),))]
        _set_level(layer, directions, mean, entries)
        nearest = (units @ F.normalize(entries, dim=1).T).argmax(1)
        residual = centred - entries[nearest, : directions.shape[1]] @ directions.T


def _set_level(layer, directions: torch.Tensor, mean: torch.Tensor, entries: torch.Tensor) -> None:
    """`directions` (D, d - 1), or d of them where d is 1; `entries` (K, d)."""
    wide = directions.shape[1]
    for projection in (layer.in_proj, layer.out_proj):
        torch.nn.init.zeros_(projection.weight)
        torch.nn.init.zeros_(projection.bias)
    layer.in_proj.weight[:wide] = directions.T[..., None].to(layer.in_proj.weight)
    layer.in_proj.bias[:wide] = (-mean @ directions).to(layer.in_proj.bias)
    layer.in_proj.bias[wide:] = entries[:, wide:].mean(0).to(layer.in_proj.bias)
    layer.out_proj.weight[:, :wide] = directions[..., None].to(layer.out_proj.weight)
    layer.out_proj.bias.copy_(mean)
    layer.codebook.weight.copy_(entries)
