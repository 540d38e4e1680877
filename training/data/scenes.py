"""Scenes, the fixed part of the demo world: `object relation object` in English, Spanish and Hindi.

    a small red circle is above a big blue square
    un círculo rojo pequeño está encima de un cuadrado azul grande
    एक छोटा लाल वृत्त एक बड़े नीले वर्ग के ऊपर है

An object is size x colour x shape. Sentences are lower case, without a full stop.
"""

import random
from dataclasses import dataclass

SCENE_LANGUAGES = ("en", "es", "hi")

# each word: English, (Spanish masculine, feminine), (Hindi direct, oblique)
SIZES = {
    "small": (("pequeño", "pequeña"), ("छोटा", "छोटे")),
    "big": (("grande", "grande"), ("बड़ा", "बड़े")),
}
COLOURS = {
    "red": (("rojo", "roja"), ("लाल", "लाल")),
    "green": (("verde", "verde"), ("हरा", "हरे")),
    "blue": (("azul", "azul"), ("नीला", "नीले")),
    "yellow": (("amarillo", "amarilla"), ("पीला", "पीले")),
    "black": (("negro", "negra"), ("काला", "काले")),
    "white": (("blanco", "blanca"), ("सफ़ेद", "सफ़ेद")),
    "pink": (("rosa", "rosa"), ("गुलाबी", "गुलाबी")),
    "brown": (("marrón", "marrón"), ("भूरा", "भूरे")),
}
# each shape: Spanish word, feminine?, (Hindi direct, oblique)
SHAPES = {
    "circle": ("círculo", False, ("वृत्त", "वृत्त")),
    "square": ("cuadrado", False, ("वर्ग", "वर्ग")),
    "triangle": ("triángulo", False, ("त्रिभुज", "त्रिभुज")),
    "star": ("estrella", True, ("तारा", "तारे")),
    "heart": ("corazón", False, ("दिल", "दिल")),
    "cross": ("cruz", True, ("क्रॉस", "क्रॉस")),
}
RELATIONS = {
    "above": ("encima de", "के ऊपर"),
    "below": ("debajo de", "के नीचे"),
    "to the left of": ("a la izquierda de", "के बाईं ओर"),
    "to the right of": ("a la derecha de", "के दाईं ओर"),
}
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
            shape, feminine, _ = SHAPES[self.shape]
            size, colour = SIZES[self.size][0][feminine], COLOURS[self.colour][0][feminine]
            return f"{'una' if feminine else 'un'} {shape} {colour} {size}"
        words = (SIZES[self.size][1], COLOURS[self.colour][1], SHAPES[self.shape][2])
        return " ".join(("एक", *(forms[oblique] for forms in words)))


@dataclass(frozen=True)
class Scene:
    """Two objects and where the first is, seen from the second."""

    first: SceneObject
    relation: str
    second: SceneObject

    def sentence(self, language: str) -> str:
        """The scene in "en", "es" or "hi".

        Raises:
            KeyError: another language.
        """
        spanish, hindi = RELATIONS[self.relation]
        sentences = {
            "en": f"{self.first.phrase('en')} is {self.relation} {self.second.phrase('en')}",
            "es": f"{self.first.phrase('es')} está {spanish} {self.second.phrase('es')}",
            "hi": f"{self.first.phrase('hi')} {self.second.phrase('hi', oblique=True)} {hindi} है",
        }
        return sentences[language]

    @property
    def held_out(self) -> bool:
        """Whether the first object's (colour, shape, relation) is one that training never shows."""
        numbers = (
            list(table).index(word)
            for table, word in ((COLOURS, self.first.colour), (SHAPES, self.first.shape), (RELATIONS, self.relation))
        )
        colour, shape, relation = numbers
        return (colour * len(SHAPES) * len(RELATIONS) + shape * len(RELATIONS) + relation) % HELD_OUT_EVERY == 0


def random_scene(rng: random.Random, held_out: bool = False) -> Scene:
    """A scene with two different objects, held out or not."""
    while True:
        one, other = (
            SceneObject(rng.choice(list(SIZES)), rng.choice(list(COLOURS)), rng.choice(list(SHAPES))) for _ in range(2)
        )
        scene = Scene(one, rng.choice(list(RELATIONS)), other)
        if (one.colour, one.shape) != (other.colour, other.shape) and scene.held_out == held_out:
            return scene
