"""Settings that all decoders by diffusion have in common (`DiffusionProcess`)."""

from transformers import PreTrainedConfig

SCHEDULES = ("linear", "scaled_linear", "squaredcos_cap_v2")
PREDICTIONS = ("v_prediction", "epsilon", "sample")


class DiffusionConfig(PreTrainedConfig):
    r"""Settings of a `DiffusionProcess`; configs of decoders inherit from it.

    Args:
        num_train_timesteps: Steps T of the noise that training draws from.
        beta_schedule: How the noise grows, as diffusers names it: "squaredcos_cap_v2" (arXiv 2102.09672), "linear" (arXiv 2006.11239)
            or "scaled_linear" (arXiv 2112.10752).
        beta_start: Variance of the noise of the first step, before signal and noise are scaled; not of "squaredcos_cap_v2".
        beta_end: That of the last.
        prediction_type: What the network says: "v_prediction" (arXiv 2202.00512), "epsilon" (the noise) or "sample" (the clean signal).
        sampling_steps: Steps of a decode; 1 to `num_train_timesteps`.
        guidance_scale: How much more than it says the condition counts (arXiv 2207.12598); 1 for no guidance, which halves the work.
        condition_dropout: Share of the training items whose condition is left out, for guidance.

    Raises:
        ValueError: settings out of range, or guidance without dropout.
    """

    num_train_timesteps: int = 1000
    beta_schedule: str = "squaredcos_cap_v2"
    beta_start: float = 0.0001
    beta_end: float = 0.02
    prediction_type: str = "v_prediction"
    sampling_steps: int = 8
    guidance_scale: int | float = 1.0
    condition_dropout: float = 0.1

    def __post_init__(self, **kwargs):
        super().__post_init__(**kwargs)
        for name, allowed in (("beta_schedule", SCHEDULES), ("prediction_type", PREDICTIONS)):
            if getattr(self, name) not in allowed:
                raise ValueError(f"{name} is {getattr(self, name)!r}; allowed is {', '.join(allowed)}.")
        if not 0 < self.beta_start <= self.beta_end < 1:
            raise ValueError(
                f"beta_start is {self.beta_start} and beta_end {self.beta_end}; above 0, the first no larger, and below 1 are needed."
            )
        if not 1 <= self.sampling_steps <= self.num_train_timesteps:
            raise ValueError(
                f"sampling_steps is {self.sampling_steps}; allowed is 1 to num_train_timesteps, {self.num_train_timesteps}."
            )
        if not 0 <= self.condition_dropout < 1 or self.guidance_scale < 0:
            raise ValueError(
                f"condition_dropout is {self.condition_dropout} and guidance_scale {self.guidance_scale}; 0 up to below 1 and at least 0 "
                "are needed."
            )
        if self.guidance_scale != 1 and not self.condition_dropout:
            raise ValueError(f"guidance_scale is {self.guidance_scale} without condition_dropout; set it above 0.")


__all__ = ["DiffusionConfig"]
