"""RateAligner: which codes sound during each frame of a codec, for any ratio of the two rates.

Peers add the two sequences up and ask that the rates be equal, or one a whole multiple of the other. Here a frame hears every
code that it shares time with: 25 codes/s under 50 frames/s are heard twice each, 50 under 12.5 four at a time, 25 under 31.25
one or two.

Shapes: T codes, N frames, C codes that one frame shares time with at most.
"""

from fractions import Fraction

import torch

LARGEST_BLOCK = 64  # codes or frames after which both begin together again; beyond it two rates do not belong together
NO_CODE = -1


class RateAligner:
    """Times of codes and frames.

    Args:
        code_rate: Codes per second.
        frame_rate: Frames per second; as exact as `Fraction` takes it.

    Attributes:
        block_codes, block_frames: The shortest stretch that is a whole number of both.
        slots: C.

    Raises:
        ValueError: rates that are not above 0, or that meet too seldom: more than 64 codes or frames.
    """

    def __init__(self, code_rate: float | Fraction, frame_rate: float | Fraction):
        rates = [Fraction(rate).limit_denominator(10_000) for rate in (code_rate, frame_rate)]
        if min(rates) <= 0:
            raise ValueError(f"{code_rate} codes/s and {frame_rate} frames/s; both must be above 0.")
        ratio = rates[0] / rates[1]
        self.block_codes, self.block_frames = ratio.numerator, ratio.denominator
        if max(self.block_codes, self.block_frames) > LARGEST_BLOCK:
            raise ValueError(
                f"{float(rates[0]):g} codes/s and {float(rates[1]):g} frames/s begin together only every {self.block_codes} codes "
                f"({self.block_frames} frames); at most {LARGEST_BLOCK} are allowed. Take a codec whose frame rate fits."
            )
        starts = [frame * self.block_codes // self.block_frames for frame in range(self.block_frames)]
        ends = [-(-(frame + 1) * self.block_codes // self.block_frames) for frame in range(self.block_frames)]
        self.slots = max(end - start for start, end in zip(starts, ends))
        places = torch.arange(self.slots, device="cpu")
        first, last = torch.tensor(starts, device="cpu")[:, None], torch.tensor(ends, device="cpu")[:, None]
        self._block = torch.where(first + places < last, first + places, NO_CODE)  # (block_frames, C)

    def frames(self, codes: int) -> int:
        """Frames that `codes` codes last, the last one perhaps longer than they."""
        return -(-codes * self.block_frames // self.block_codes)

    def codes(self, frames: int) -> int:
        """Codes that `frames` frames last, the last one perhaps longer than they."""
        return -(-frames * self.block_codes // self.block_frames)

    def heard(self, codes: int, device: torch.device | str = "cpu") -> torch.Tensor:
        """int64 (N, C): the places of the codes of each frame, in order of time, `NO_CODE` after the last.

        Args:
            codes: T; N = `frames(T)`.
            device: Of the result.
        """
        blocks = -(-codes // self.block_codes)
        steps = torch.arange(blocks, device="cpu")[:, None, None] * self.block_codes
        places = torch.where(self._block >= 0, self._block + steps, NO_CODE).flatten(0, 1)[: self.frames(codes)]
        return places.masked_fill(places >= codes, NO_CODE).to(device)
