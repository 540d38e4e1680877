"""RateAligner: every frame hears the codes it shares time with, at any ratio."""

from fractions import Fraction

import pytest

from triglot.modeling.decoders.rate_aligner import NO_CODE, RateAligner

RATES = [
    (25, 50),
    (25, 75),
    (25, 25),
    (50, 12.5),
    (50, 75),
    (25, 12.5),
    (25, Fraction(16_000, 512)),
    (12.5, 75),
    (50, 50),
]


@pytest.mark.parametrize(("codes_per_second", "frames_per_second"), RATES)
@pytest.mark.parametrize("codes", [1, 2, 7, 40])
def test_a_frame_hears_the_codes_that_it_shares_time_with(codes_per_second, frames_per_second, codes):
    aligner = RateAligner(codes_per_second, frames_per_second)
    heard = aligner.heard(codes)
    code, frame = 1 / Fraction(codes_per_second), 1 / Fraction(frames_per_second)
    assert heard.shape == (aligner.frames(codes), aligner.slots)
    assert (len(heard) - 1) * frame < codes * code <= len(heard) * frame
    for place, row in enumerate(heard.tolist()):
        shared = [k for k in range(codes) if k * code < (place + 1) * frame and (k + 1) * code > place * frame]
        assert [k for k in row if k != NO_CODE] == shared
        assert row == sorted(row, key=lambda k: k == NO_CODE)  # the slots are filled from the first on


@pytest.mark.parametrize(("codes_per_second", "frames_per_second"), RATES)
def test_blocks_are_whole_numbers_of_both(codes_per_second, frames_per_second):
    aligner = RateAligner(codes_per_second, frames_per_second)
    assert aligner.frames(aligner.block_codes) == aligner.block_frames
    assert aligner.codes(aligner.block_frames) == aligner.block_codes
    whole, block = aligner.heard(3 * aligner.block_codes), aligner.heard(aligner.block_codes)
    later = whole[2 * aligner.block_frames :]
    assert (later - 2 * aligner.block_codes)[later != NO_CODE].tolist() == block[block != NO_CODE].tolist()


def test_peers_ratio_is_repetition():
    assert RateAligner(25, 50).heard(3).tolist() == [[0], [0], [1], [1], [2], [2]]
    assert RateAligner(50, 12.5).heard(6).tolist() == [[0, 1, 2, 3], [4, 5, NO_CODE, NO_CODE]]


@pytest.mark.parametrize("rates", [(25, 86.1328125), (0, 50), (25, -1), (25, 24.99)])
def test_rates_that_do_not_belong_together(rates):
    with pytest.raises(ValueError, match="frames/s"):
        RateAligner(*rates)
