"""DiffusionProcess: from a signal to Gaussian noise and back, whatever the signal is.

Papers: DDPM (arXiv 2006.11239), v-prediction (arXiv 2202.00512), zero signal at step T (arXiv 2305.08891), DPM-Solver++ (arXiv 2211.01095),
classifier-free guidance (arXiv 2207.12598).

    clean (B, ...) ─ noised at step t ─ network(noised, t) ─ loss                                   training
    noise (B, ...) ─ network ─ DPM-Solver++ ─ ... few times ... ─▶ clean (B, ...)                    sampling

Noise at step t is sqrt(a_t) clean + sqrt(1 - a_t) noise, a_t falling from about 1 to exactly 0 at the last step: what sampling
starts from is what training ended in. With the prediction "epsilon" a_T stays above 0, since the noise alone would say nothing there.

diffusers (`pip install diffusers`) is imported when a process is made, and not before.

Shapes: B items, any shape of an item; steps int64 (B,) in 0..T-1.
"""

from collections.abc import Callable
from typing import Any

import torch

from .configuration_diffusion import DiffusionConfig
from .diffusers_parts import diffusers_class

Network = Callable[
    [torch.Tensor, torch.Tensor], torch.Tensor
]  # (noised (B, ...), steps (B,)) -> what is predicted, (B, ...)


class DiffusionProcess:
    """Noise, losses and samples by the schedule of a config.

    Example:
        >>> process = DiffusionProcess(DiffusionConfig(sampling_steps=4))
        >>> process.sample(lambda noised, steps: torch.zeros_like(noised), torch.randn(2, 3, 8, 8)).shape
        torch.Size([2, 3, 8, 8])
    """

    def __init__(self, config: DiffusionConfig):
        self.config = config
        self._shared: dict[str, Any] = {
            "num_train_timesteps": config.num_train_timesteps,
            "beta_schedule": config.beta_schedule,
            "beta_start": config.beta_start,
            "beta_end": config.beta_end,
            "prediction_type": config.prediction_type,
            "rescale_betas_zero_snr": config.prediction_type != "epsilon",
        }
        self.schedule: Any = diffusers_class("DDPMScheduler")(**self._shared, clip_sample=False)

    @property
    def signal(self) -> torch.Tensor:
        """a_t: the share of the signal's variance that is left, float32 (T,)."""
        kept = self.schedule.alphas_cumprod.clone()
        if self._shared["rescale_betas_zero_snr"]:
            kept[-1] = 0.0  # diffusers keeps 2^-24 for the sake of its solvers
        return kept

    def _of(self, steps: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
        """a_t of each item, shaped to be multiplied with `like`."""
        kept = self.signal.to(like.device)[steps.to(like.device)]
        return kept.reshape(-1, *[1] * (like.ndim - 1)).to(torch.float32)

    # ---- training

    def draw_steps(self, count: int, device: torch.device | str = "cpu") -> torch.Tensor:
        """Steps to learn from, int64 (`count`,), by torch's global generator: one of each of `count` equal spans, in random order.

        Losses differ far more between steps than between items, so that drawing them evenly steadies the gradient.
        """
        spans = (torch.arange(count) + torch.rand(count)) / count
        steps = (spans * self.config.num_train_timesteps).long().clamp_max(self.config.num_train_timesteps - 1)
        return steps[torch.randperm(count)].to(device)

    def noised(self, clean: torch.Tensor, noise: torch.Tensor, steps: torch.Tensor) -> torch.Tensor:
        """What is left of `clean` after each item's step, beside the noise."""
        kept = self._of(steps, clean)
        return kept.sqrt() * clean + (1 - kept).sqrt() * noise

    def target(self, clean: torch.Tensor, noise: torch.Tensor, steps: torch.Tensor) -> torch.Tensor:
        """What the network is to say."""
        if self.config.prediction_type == "epsilon":
            return noise
        if self.config.prediction_type == "sample":
            return clean
        kept = self._of(steps, clean)
        return kept.sqrt() * noise - (1 - kept).sqrt() * clean

    def clean_of(self, said: torch.Tensor, noised: torch.Tensor, steps: torch.Tensor) -> torch.Tensor:
        """The clean signal that follows from what the network said."""
        if self.config.prediction_type == "sample":
            return said
        kept = self._of(steps, noised)
        if self.config.prediction_type == "epsilon":
            return (noised - (1 - kept).sqrt() * said) / kept.sqrt()
        return kept.sqrt() * noised - (1 - kept).sqrt() * said

    def loss(
        self, network: Network, clean: torch.Tensor, weights: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """One draw of steps and noise, by torch's global generator.

        Args:
            network: What learns.
            clean: float (B, ...), about of mean 0 and variance 1.
            weights: What each number counts, broadcastable to `clean`: 0 where there is padding; None for 1.

        Returns:
            (mean squared difference to `target`, the network's clean signal, detached).
        """
        steps = self.draw_steps(len(clean), clean.device)
        noise = torch.randn(clean.shape, dtype=torch.float32).to(clean)  # drawn on the CPU: the same on every device
        noised = self.noised(clean, noise, steps)
        said = network(noised, steps)
        missed = (said.float() - self.target(clean, noise, steps).float()).square()
        if weights is None:
            loss = missed.mean()
        else:
            weights = weights.to(missed).expand_as(missed)
            loss = (missed * weights).sum() / weights.sum().clamp_min(1)
        return loss, self.clean_of(said.detach().float(), noised.float(), steps)

    # ---- what a right process fulfils

    def posterior(
        self, clean: torch.Tensor, noised: torch.Tensor, steps: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The Gaussian of step t - 1, given step t and the clean signal (arXiv 2006.11239, section 2, eq. 6 and 7).

        Args:
            steps: 1..T-1.

        Returns:
            (mean (B, ...), variance (B, 1, ...)).
        """
        now, before = self._of(steps, clean), self._of(steps - 1, clean)
        alpha = now / before
        mean = (before.sqrt() * (1 - alpha) * clean + alpha.sqrt() * (1 - before) * noised) / (1 - now)
        return mean, (1 - before) / (1 - now) * (1 - alpha)

    def posterior_kl(
        self, network: Network, clean: torch.Tensor, noise: torch.Tensor, steps: torch.Tensor
    ) -> torch.Tensor:
        """KL of the true posterior of step t - 1 from the predicted one, nats a number, float32 (B,): L_{t-1} of DDPM, of equal variances."""
        noised = self.noised(clean, noise, steps)
        said = self.clean_of(network(noised, steps).float(), noised, steps)
        true, variance = self.posterior(clean, noised, steps)
        predicted, _ = self.posterior(said, noised, steps)
        return ((true - predicted).square() / (2 * variance)).flatten(1).mean(1)

    # ---- sampling

    def scale_of(self, guidance_scale: float | None) -> float:
        """What is asked for, or `config.guidance_scale` for None.

        Raises:
            ValueError: below 0, or guidance of a model that was never without its condition.
        """
        scale = float(self.config.guidance_scale if guidance_scale is None else guidance_scale)
        if not scale >= 0 or (scale != 1 and not self.config.condition_dropout):
            raise ValueError(
                f"guidance_scale is {scale:g}; at least 0 is needed, and 1 for a model that was trained without condition_dropout."
            )
        return scale

    @torch.no_grad()
    def sample(
        self,
        network: Network,
        noise: torch.Tensor,
        steps: int | None = None,
        *,
        without: Network | None = None,
        guidance_scale: float | None = None,
        clip: float | None = None,
    ) -> torch.Tensor:
        """The way back by DPM-Solver++ of second order: the same noise gives the same signal.

        Args:
            network: Knows the condition.
            noise: float (B, ...), Gaussian.
            steps: Default: `config.sampling_steps`.
            without: The network without the condition; needed where `guidance_scale` is not 1.
            guidance_scale: Default: `config.guidance_scale`.
            clip: Bound of the numbers of the result; None for none.

        Returns:
            float32 (B, ...).

        Raises:
            ValueError: a number of steps outside 1..T, or guidance without `without`.
        """
        steps = self.config.sampling_steps if steps is None else steps
        scale = self.scale_of(guidance_scale)
        if not 1 <= steps <= self.config.num_train_timesteps:
            raise ValueError(f"{steps} sampling steps; allowed is 1 to {self.config.num_train_timesteps}.")
        if scale != 1 and without is None:
            raise ValueError(f"guidance_scale is {scale}; the network without its condition is needed for guidance.")
        solver: Any = diffusers_class("DPMSolverMultistepScheduler")(
            **self._shared, algorithm_type="dpmsolver++", solver_order=2, timestep_spacing="trailing"
        )
        solver.set_timesteps(steps)
        signal = noise.float()
        for step in solver.timesteps:
            at = step.reshape(1).expand(len(signal)).to(signal.device)
            said = network(signal, at).float()
            if scale != 1 and without is not None:
                plain = without(signal, at).float()
                said = plain + scale * (said - plain)
            signal = solver.step(said, step, signal).prev_sample
        return signal if clip is None else signal.clamp(-clip, clip)


__all__ = ["DiffusionProcess"]
