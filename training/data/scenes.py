"""Scenes, the fixed part of the demo world: `object relation object` in English, Spanish and Hindi, and in French.

    a small red circle is above a big blue square
    un círculo rojo pequeño está encima de un cuadrado azul grande
    एक छोटा लाल वृत्त एक बड़े नीले वर्ग के ऊपर है
    un petit cercle rouge est au-dessus d'un grand carré bleu

An object is size x colour x shape. Sentences are lower case, without a full stop. triglot-tiny never hears French: it is there to be
learnt later.
"""

import functools
import itertools
import random
import re
from dataclasses import dataclass

SCENE_LANGUAGES = ("en", "es", "hi")  # of the whole demo world
LATER_LANGUAGES = ("fr",)  # of scenes alone

# each word: English, (Spanish masculine, feminine), (Hindi direct, oblique), (French masculine, feminine)
SIZES = {
    "small": (("pequeño", "pequeña"), ("छोटा", "छोटे"), ("petit", "petite")),
    "big": (("grande", "grande"), ("बड़ा", "बड़े"), ("grand", "grande")),
}
COLOURS = {
    "red": (("rojo", "roja"), ("लाल", "लाल"), ("rouge", "rouge")),
    "green": (("verde", "verde"), ("हरा", "हरे"), ("vert", "verte")),
    "blue": (("azul", "azul"), ("नीला", "नीले"), ("bleu", "bleue")),
    "yellow": (("amarillo", "amarilla"), ("पीला", "पीले"), ("jaune", "jaune")),
    "black": (("negro", "negra"), ("काला", "काले"), ("noir", "noire")),
    "white": (("blanco", "blanca"), ("सफ़ेद", "सफ़ेद"), ("blanc", "blanche")),
    "pink": (("rosa", "rosa"), ("गुलाबी", "गुलाबी"), ("rose", "rose")),
    "brown": (("marrón", "marrón"), ("भूरा", "भूरे"), ("marron", "marron")),
}
# each shape: Spanish word, feminine?, (Hindi direct, oblique), (French word, feminine?)
SHAPES = {
    "circle": ("círculo", False, ("वृत्त", "वृत्त"), ("cercle", False)),
    "square": ("cuadrado", False, ("वर्ग", "वर्ग"), ("carré", False)),
    "triangle": ("triángulo", False, ("त्रिभुज", "त्रिभुज"), ("triangle", False)),
    "star": ("estrella", True, ("तारा", "तारे"), ("étoile", True)),
    "heart": ("corazón", False, ("दिल", "दिल"), ("cœur", False)),
    "cross": ("cruz", True, ("क्रॉस", "क्रॉस"), ("croix", True)),
}
RELATIONS = {
    "above": ("encima de", "के ऊपर", "au-dessus d'"),
    "below": ("debajo de", "के नीचे", "en dessous d'"),
    "to the left of": ("a la izquierda de", "के बाईं ओर", "à gauche d'"),
    "to the right of": ("a la derecha de", "के दाईं ओर", "à droite d'"),
}
OPPOSITES = {
    "above": "below", "below": "above", "to the left of": "to the right of", "to the right of": "to the left of",
}  # fmt: skip
HELD_OUT_EVERY = 10  # every 10th (colour, shape, relation) triple of the first object never occurs in training


@dataclass(frozen=True)
class SceneObject:
    """One drawn thing, by its English words."""

    size: str
    colour: str
    shape: str

    def phrase(self, language: str, oblique: bool = False) -> str:
        """The noun phrase; `oblique` is the Hindi case before a postposition."""
        if language == "en":
            return f"a {self.size} {self.colour} {self.shape}"
        if language == "es":
            shape, feminine, *_ = SHAPES[self.shape]
            size, colour = SIZES[self.size][0][feminine], COLOURS[self.colour][0][feminine]
            return f"{'una' if feminine else 'un'} {shape} {colour} {size}"
        if language == "fr":
            shape, feminine = SHAPES[self.shape][3]
            size, colour = SIZES[self.size][2][feminine], COLOURS[self.colour][2][feminine]
            return f"{'une' if feminine else 'un'} {size} {shape} {colour}"
        words = (SIZES[self.size][1], COLOURS[self.colour][1], SHAPES[self.shape][2])
        return " ".join(("एक", *(forms[oblique] for forms in words)))


@dataclass(frozen=True)
class Scene:
    """Two objects and where the first is, seen from the second."""

    first: SceneObject
    relation: str
    second: SceneObject

    def sentence(self, language: str) -> str:
        """The scene in "en", "es", "hi" or "fr".

        Raises:
            KeyError: another language.
        """
        spanish, hindi, french = RELATIONS[self.relation]
        sentences = {
            "en": f"{self.first.phrase('en')} is {self.relation} {self.second.phrase('en')}",
            "es": f"{self.first.phrase('es')} está {spanish} {self.second.phrase('es')}",
            "hi": f"{self.first.phrase('hi')} {self.second.phrase('hi', oblique=True)} {hindi} है",
            "fr": f"{self.first.phrase('fr')} est {french}{self.second.phrase('fr')}",
        }
        return sentences[language]

    @property
    def turned(self) -> "Scene":
        """The same picture, told from its other object: a is above b, b is below a."""
        return Scene(self.second, OPPOSITES[self.relation], self.first)

    @property
    def held_out(self) -> bool:
        """Whether the first object's (colour, shape, relation) is one that training never shows."""
        numbers = (
            list(table).index(word)
            for table, word in ((COLOURS, self.first.colour), (SHAPES, self.first.shape), (RELATIONS, self.relation))
        )
        colour, shape, relation = numbers
        return (colour * len(SHAPES) * len(RELATIONS) + shape * len(RELATIONS) + relation) % HELD_OUT_EVERY == 0


def parse_scene(sentence: str, language: str) -> Scene | None:
    """The scene that `Scene.sentence` says so; None for any other words.

    Raises:
        KeyError: another language than "en", "es", "hi" or "fr".
    """
    for relation, pattern in _patterns(language).items():
        found = pattern.fullmatch(" ".join(sentence.split()))
        if found:
            first, second = (_phrases(language, oblique)[found[place]] for place, oblique in ((1, False), (2, True)))
            return Scene(first, relation, second)
    return None


@functools.cache
def _phrases(language: str, oblique: bool) -> dict[str, SceneObject]:
    things = itertools.starmap(SceneObject, itertools.product(SIZES, COLOURS, SHAPES))
    return {thing.phrase(language, oblique): thing for thing in things}


@functools.cache
def _patterns(language: str) -> dict[str, re.Pattern[str]]:
    """{relation: what a sentence with it looks like, its phrases as groups}."""
    one, other = SceneObject("small", "red", "circle"), SceneObject("big", "blue", "square")
    patterns = {}
    for relation in RELATIONS:
        pattern = re.escape(Scene(one, relation, other).sentence(language))
        for thing, oblique in ((other, True), (one, False)):  # the later one first: the alternatives hold both
            known = "|".join(map(re.escape, _phrases(language, oblique)))
            pattern = pattern.replace(re.escape(thing.phrase(language, oblique)), f"({known})", 1)
        patterns[relation] = re.compile(pattern)
    return patterns


def random_scene(rng: random.Random, held_out: bool = False) -> Scene:
    """A scene with two different objects, held out or not."""
    while True:
        one, other = (
            SceneObject(rng.choice(list(SIZES)), rng.choice(list(COLOURS)), rng.choice(list(SHAPES))) for _ in range(2)
        )
        scene = Scene(one, rng.choice(list(RELATIONS)), other)
        if (one.colour, one.shape) != (other.colour, other.shape) and scene.held_out == held_out:
            return scene
