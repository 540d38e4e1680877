"""MfccEncoder: mel-frequency cepstral coefficients as a speech encoder with nothing to train.

`FeatureUnits.from_encoder(MfccEncoder(MfccConfig()), layer=1)` and k-means make the tokens that HuBERT starts from (arXiv
2106.07447, section 4.2): the floor that learnt tokens are measured against.

    waveform (B, S) ─ log-mel (B, N, M) ─ cosine transform (B, N, C) ─ with two orders of slopes ─ (B, N, 3 C)

Shapes: B items, S samples, N = S / hop frames (100 Hz), M mel bins, C coefficients.
"""

import math

import torch
import torch.nn.functional as F
from torch import nn
from transformers import PreTrainedModel
from transformers import initialization as init
from transformers.modeling_outputs import BaseModelOutput

from .configuration_mfcc import DERIVATIVES, MfccConfig
from .mel_energies import log_mel_energies, mel_bank


class MfccEncoder(PreTrainedModel):
    """Waveforms (B, S) -> features (B, N, D) at 100 Hz, D = 3 coefficients, always computed in float32."""

    config: MfccConfig
    config_class = MfccConfig
    main_input_name = "input_values"
    input_modalities = "audio"
    _auto_class = "AutoModel"

    def __init__(self, config: MfccConfig):
        super().__init__(config)
        # fixed, but parameters: transformers asks them for the device
        bins = config.num_mel_bins
        self.mel_filters = nn.Parameter(torch.empty(config.window_length // 2 + 1, bins), requires_grad=False)
        self.cosines = nn.Parameter(torch.empty(bins, config.num_coefficients), requires_grad=False)
        self.layers = nn.ModuleList([nn.Identity()])
        self.post_init()

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if module is self:
            init.copy_(self.mel_filters, mel_bank(self.config))
            init.copy_(self.cosines, self._cosines())

    def _cosines(self) -> torch.Tensor:
        """The orthonormal cosine transform (M, C)."""
        bins = self.config.num_mel_bins
        place = torch.arange(bins, dtype=torch.float64, device="cpu")[:, None] + 0.5
        order = torch.arange(self.config.num_coefficients, dtype=torch.float64, device="cpu")
        matrix = torch.cos(math.pi * place * order / bins) * math.sqrt(2.0 / bins)
        matrix[:, 0] /= math.sqrt(2.0)
        return matrix.float()

    def forward(self, input_values: torch.Tensor, return_dict: bool | None = None) -> BaseModelOutput | tuple:
        """Features of waveforms float (B, S).

        Raises:
            ValueError: not (B, S), or an empty item.
        """
        if input_values.ndim != 2 or input_values.shape[1] == 0:
            raise ValueError(f"input_values has the shape {tuple(input_values.shape)}; (items, samples) is needed.")
        config = self.config
        with torch.autocast(input_values.device.type, enabled=False):
            log_mel = log_mel_energies(input_values.float(), self.mel_filters, config, config.hop_length)
            orders = [log_mel @ self.cosines.float()]
            while len(orders) < DERIVATIVES:
                orders.append(self._slopes(orders[-1]))
        hidden = self.layers[0](torch.cat(orders, -1))
        output = BaseModelOutput(last_hidden_state=hidden)
        return output.to_tuple() if return_dict is False else output

    def _slopes(self, values: torch.Tensor) -> torch.Tensor:
        """Least-squares slope a frame over `slope_span` frames on either side, the ends repeated: (B, N, C) -> the same."""
        span = self.config.slope_span
        padded = F.pad(values.transpose(1, 2), (span, span), mode="replicate")
        steps = torch.arange(-span, span + 1, device=values.device, dtype=values.dtype)
        windows = padded.unfold(-1, 2 * span + 1, 1)
        return ((windows * steps).sum(-1) / steps.square().sum()).transpose(1, 2)


__all__ = ["MfccEncoder"]
