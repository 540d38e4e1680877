"""How the demo world is divided: which sentences, scene triples and voices training never meets.

seed -> parallel items, scenes and phrases mixed, each with `sentence(language)`

Membership does not depend on counts or seeds: a sentence is held out by a hash of its English, and a translation is
unique, so no training set of any size shares a sentence with a held-out set in any language.
"""

import hashlib
import random
from collections.abc import Sequence

from ...processing.errors import TriglotError
from .phrases import Phrase, random_phrase
from .scenes import Scene, random_scene

Item = Scene | Phrase

SCENES_SHARE = 0.4  # of a set's items, until all scenes are used
HELD_OUT_ONE_IN = 20  # sentences
_PATIENCE = 500  # draws without anything new after which a kind of sentence is used up

RATES = (140, 210)  # words/min
PITCHES = (30, 70)  # espeak-ng's scale; 50 is the voice's own

# espeak-ng's variants without whispers, croaks, robots and other effects. Of variants that sound alike (RMS distance of
# mean log-mel spectra, in nepers, + semitones of F0 / 6, below 0.41) one is kept; the median distance of a voice to its
# nearest neighbour is 0.75.
TRAINING_VOICES = (
    *("Alex", "Alicia", "Andrea", "Andy", "Denis", "Diogo", "Gene", "Gene2", "Hugo", "Lee", "Marco", "Mario"),
    *("Michael", "Mike", "Nguyen", "Reed", "RicishayMax", "Storm", "Tweaky", "adam", "anika", "aunty", "belinda"),
    *("boris", "david", "edward", "f1", "f3", "f4", "f5", "grandma", "gustave", "ian", "iven", "iven4", "john"),
    *("kaukovalta", "klatt4", "linda", "m4", "m5", "m7", "m8", "marcelo", "max", "michel", "miguel", "mike2"),
    *("norbert", "pedro", "rob", "robert", "sandro", "steph", "travis", "victor"),
)
# Each at a distance of at least 0.69 from every training voice, and at most 0.15 outside of their convex hull
# (in the first four principal components of the spectra, and F0); 86 to 235 Hz.
HELD_OUT_VOICES = ("Annie", "antonio", "ed", "f2", "m1", "m3", "pablo", "paul", "quincy", "shelby")


def is_held_out(item: Item) -> bool:
    """Whether training must not meet the item: by the hash of its English, or by its scene triple."""
    digest = hashlib.sha256(item.sentence("en").encode()).digest()
    return int.from_bytes(digest[:8], "big") % HELD_OUT_ONE_IN == 0 or (isinstance(item, Scene) and item.held_out)


def training_sentences(count: int, seed: int = 0, scenes_share: float = SCENES_SHARE) -> list[Item]:
    """Different items for training.

    Args:
        count: How many.
        seed: The same seed gives the same items, and a shorter list is the beginning of a longer one.
        scenes_share: How many of them are scenes; when all scenes are used, phrases follow.

    Raises:
        TriglotError: a count or share out of range, or more items than there are.
    """
    return _sentences(count, seed, scenes_share, held_out=False)


def held_out_sentences(count: int, seed: int = 0, scenes_share: float = SCENES_SHARE) -> list[Item]:
    """Different items that no training set contains; of the scenes about half have a held-out triple.

    Args:
        count: How many.
        seed: As in `training_sentences`.
        scenes_share: As in `training_sentences`.

    Raises:
        TriglotError: a count or share out of range, or more items than there are.
    """
    return _sentences(count, seed, scenes_share, held_out=True)


def held_out_triples(count: int, seed: int = 0) -> list[Scene]:
    """Different scenes whose first object's (colour, shape, relation) training never shows.

    Raises:
        TriglotError: a count out of range.
    """
    _check(count, 1.0)
    rng = random.Random(f"triples {seed}")
    scenes: dict[Scene, None] = {}
    misses = 0
    while len(scenes) < count:
        before = len(scenes)
        scenes[random_scene(rng, held_out=True)] = None
        misses = 0 if len(scenes) > before else misses + 1
        if misses > _PATIENCE:
            raise TriglotError(f"count is {count}; there are about {len(scenes)} scenes of held-out triples.")
    return list(scenes)


def random_speaker(rng: random.Random, voices: Sequence[str] = TRAINING_VOICES) -> str:
    """One of the voices at a random rate and pitch, as `parse_speaker` reads it: "f3-180-55".

    Raises:
        TriglotError: no voices, or one that is in neither list.
    """
    unknown = sorted(set(voices) - set(TRAINING_VOICES) - set(HELD_OUT_VOICES))
    if unknown or not voices:
        raise TriglotError(
            f"voices is {list(voices)!r}; one or more of TRAINING_VOICES or HELD_OUT_VOICES are needed."
        )
    return f"{rng.choice(voices)}-{rng.randint(*RATES)}-{rng.randint(*PITCHES)}"


def _check(count: int, scenes_share: float) -> None:
    if count < 0 or not 0 <= scenes_share <= 1:
        raise TriglotError(f"count {count} and scenes_share {scenes_share}; at least 0, and 0 to 1, are needed.")


def _sentences(count: int, seed: int, scenes_share: float, held_out: bool) -> list[Item]:
    _check(count, scenes_share)
    rng = random.Random(f"{'held out' if held_out else 'training'} {seed}")
    items: dict[Item, None] = {}
    misses = {True: 0, False: 0}  # draws in vain since the last success, of scenes and of phrases
    while len(items) < count:
        scene = rng.random() < scenes_share
        if misses[scene] > _PATIENCE:
            if not scene or scenes_share == 1:
                raise TriglotError(f"count is {count}; there are about {len(items)} such sentences.")
            scene = False
        # draw until something of that kind is new: the shares are then kept however rare new ones are
        triple = held_out and rng.random() < 0.5
        while misses[scene] <= _PATIENCE:
            item = random_scene(rng, triple) if scene else random_phrase(rng)
            if is_held_out(item) == held_out and item not in items:
                items[item] = None
                misses[scene] = 0
                break
            misses[scene] += 1
    return list(items)
