"""Everyday phrases: correct in three languages, one translation each, many words, and the same for the same seed."""

import random
import unicodedata

import pytest

from triglot import TriglotError
from triglot.training.data import phrases
from triglot.training.data.phrases import (
    ADJECTIVES,
    NOUNS,
    PATTERNS,
    TOPICS,
    inflection,
    number_words,
    random_fragment,
    random_phrase,
)
from triglot.training.data.scenes import SCENE_LANGUAGES

ALPHABETS = {
    "en": set("abcdefghijklmnopqrstuvwxyz "),
    "es": set("abcdefghijklmnopqrstuvwxyzáéíóúüñ "),
    "hi": {chr(code) for code in range(0x0901, 0x094E) if chr(code) not in "\u093d\u0950"} | {" "},
}

# of every pattern, what it makes with its name for a seed; read and checked by hand
CHECKED = """
time_now
    it is eleven at night
    son las once de la noche
    रात के ग्यारह बजे हैं
minutes
    it is three minutes past seven in the morning
    son las siete y tres minutos de la mañana
    सुबह के सात बजकर तीन मिनट हुए हैं
today
    today is sunday the twenty fifth of january
    hoy es domingo veinticinco de enero
    आज रविवार पच्चीस जनवरी है
birthday
    the birthday of maria is on the fifteenth of april
    el cumpleaños de maría es el quince de abril
    मारिया का जन्मदिन पंद्रह अप्रैल को है
meeting
    the meeting with pedro is on wednesday at a quarter past eleven at night
    la reunión con pedro es el miércoles a las once y cuarto de la noche
    पेद्रो के साथ मीटिंग बुधवार को रात सवा ग्यारह बजे है
price_question
    how much do these green umbrellas cost
    cuánto cuestan estos paraguas verdes
    इन हरे छातों की क़ीमत क्या है
price
    that red phone costs thirty six rupees
    ese teléfono rojo cuesta treinta y seis rupias
    उस लाल फ़ोन की क़ीमत छत्तीस रुपये है
in_another_colour
    do you have this spoon in red
    tiene usted esta cuchara en rojo
    क्या आपके पास यह चम्मच लाल रंग में है
i_need
    i need twelve plates of meat and five eggs
    necesito doce platos de carne y cinco huevos
    मुझे बारह प्लेट मांस और पाँच अंडे चाहिए
needs_thing
    emma needs a red chair
    emma necesita una silla roja
    एमा को एक लाल कुर्सी चाहिए
how_it_is
    this belt is very beautiful
    este cinturón es muy bonito
    यह बेल्ट बहुत सुंदर है
comparison
    my train is newer than that motorbike
    mi tren es más nuevo que esa moto
    मेरी ट्रेन उस मोटरसाइकिल से ज़्यादा नई है
where_it_is
    the park is far from the famous cinema
    el parque está lejos del cine famoso
    पार्क मशहूर सिनेमाघर से दूर है
between
    the village is between the pharmacy and the school
    el pueblo está entre la farmacia y la escuela
    गाँव दवाख़ाने और स्कूल के बीच में है
is_there
    is there a hotel behind the museum
    hay un hotel detrás del museo
    क्या संग्रहालय के पीछे कोई होटल है
nearest
    excuse me where is the nearest shop
    disculpe dónde está la tienda más cercana
    माफ़ कीजिए सबसे नज़दीकी दुकान कहाँ है
turn
    go straight for thirty six metres and turn left at the library
    siga recto treinta y seis metros y gire a la izquierda en la biblioteca
    छत्तीस मीटर सीधे जाइए और पुस्तकालय पर बाईं ओर मुड़िए
street
    to get to the temple take the fourth street on the left
    para llegar al templo tome la cuarta calle a la izquierda
    मंदिर तक पहुँचने के लिए बाईं ओर की चौथी गली में जाइए
how_far
    the hotel is thirty two minutes from the station by train
    el hotel está a treinta y dos minutos de la estación en tren
    होटल स्टेशन से ट्रेन से बत्तीस मिनट की दूरी पर है
please_bring
    please bring me eight plates of chicken with oil
    por favor tráigame ocho platos de pollo con aceite
    कृपया मेरे लिए आठ प्लेट चिकन तेल के साथ लाइए
likes
    the children like bread with fish
    a los niños les gusta el pan con pescado
    बच्चों को मछली के साथ ब्रेड पसंद है
likes_fruit
    the children like apples and eggs
    a los niños les gustan las manzanas y los huevos
    बच्चों को सेब और अंडे पसंद हैं
prefers
    pedro prefers ice cream to chocolate
    pedro prefiere el helado al chocolate
    पेद्रो को चॉकलेट से ज़्यादा आइसक्रीम पसंद है
table_for
    please give us a table for eight people far from the garden
    por favor denos una mesa para ocho personas lejos del jardín
    कृपया हमें बग़ीचे से दूर आठ लोगों के लिए एक मेज़ दीजिए
for_meal
    for lunch we want fresh cheese and twelve bowls of rice
    para el almuerzo queremos queso fresco y doce tazones de arroz
    दोपहर के खाने के लिए हमें ताज़ा पनीर और बारह कटोरी चावल चाहिए
age
    your grandmother is thirty six years old
    su abuela tiene treinta y seis años
    आपकी दादी छत्तीस साल की हैं
siblings
    your wife has six daughters and five friends
    su esposa tiene seis hijas y cinco amigos
    आपकी पत्नी की छह बेटियाँ और पाँच दोस्त हैं
job
    our doctor is a lawyer in mumbai
    nuestro médico es abogado en bombay
    हमारे डॉक्टर मुंबई में वकील हैं
lives_with
    our teacher lives in berlin with ravi
    nuestra profesora vive en berlín con ravi
    हमारी अध्यापिका रवि के साथ बर्लिन में रहती हैं
doing_now
    my doctor is eating a mango
    mi médico está comiendo un mango
    मेरे डॉक्टर एक आम खा रहे हैं
habit
    carlos buys the potatoes every sunday
    carlos compra las patatas todos los domingos
    कार्लोस हर रविवार को आलू ख़रीदता है
frequency
    your mother usually makes bread
    su madre normalmente hace pan
    आपकी माँ आम तौर पर ब्रेड बनाती हैं
future
    the children will listen to the story this evening
    los niños escucharán el cuento esta tarde
    बच्चे आज शाम को कहानी सुनेंगे
forecast
    on wednesday it will be foggy in delhi and it will be windy in rome
    el miércoles habrá niebla en delhi y hará viento en roma
    बुधवार को दिल्ली में कोहरा होगा और रोम में तेज़ हवा चलेगी
weather_now
    today it is raining in barcelona but it is very hot in london
    hoy está lloviendo en barcelona pero hace mucho calor en londres
    आज बार्सिलोना में बारिश हो रही है लेकिन लंदन में बहुत गर्मी है
climate
    in france it is usually sunny in march
    en francia normalmente hace sol en marzo
    फ़्रांस में मार्च में आम तौर पर धूप होती है
temperature
    on tuesday the temperature in barcelona will be thirty seven degrees
    el martes la temperatura en barcelona será de treinta y siete grados
    मंगलवार को बार्सिलोना में तापमान सैंतीस डिग्री होगा
if_it_rains
    if it snows on friday david will sleep in the bedroom
    si el viernes nieva david dormirá en el dormitorio
    अगर शुक्रवार को बर्फ़ गिरेगी तो डेविड शयनकक्ष में सोएगा
introduction
    hello my name is rahul and i am from london
    hola me llamo rahul y soy de londres
    नमस्ते मेरा नाम राहुल है और मैं लंदन से हूँ
how_is
    good morning ravi how is pedro
    buenos días ravi cómo está pedro
    सुप्रभात रवि पेद्रो कैसा है
thanks
    thank you very much for the interesting story
    muchas gracias por el cuento interesante
    दिलचस्प कहानी के लिए बहुत धन्यवाद
see_you
    see you on sunday at a quarter past seven in the evening in front of the stadium
    nos vemos el domingo a las siete y cuarto de la tarde delante del estadio
    रविवार को शाम सवा सात बजे स्टेडियम के सामने मिलते हैं
speaks
    our aunt speaks a little english but does not speak hindi
    nuestra tía habla un poco de inglés pero no habla hindi
    हमारी चाची को थोड़ी अंग्रेज़ी आती है लेकिन हिंदी नहीं आती
do_you_speak
    good evening do you speak french and japanese
    buenas tardes habla usted francés y japonés
    शुभ संध्या क्या आप फ़्रेंच और जापानी बोलते हैं
lies
    my lamps are next to the table in the bedroom
    mis lámparas están al lado de la mesa en el dormitorio
    मेरे लैंप शयनकक्ष में मेज़ के बगल में हैं
where_is_my
    where is our yellow umbrella
    dónde está nuestro paraguas amarillo
    हमारा पीला छाता कहाँ है
there_are
    there are nineteen suitcases and twenty two newspapers in the living room
    hay diecinueve maletas y veintidós periódicos en el salón
    बैठक में उन्नीस सूटकेस और बाईस अख़बार हैं
please_do
    please eat a mango on saturday
    por favor coma un mango el sábado
    कृपया शनिवार को एक आम खाइए
has_to
    arjun has to bring milk on saturday
    arjun tiene que traer leche el sábado
    अर्जुन को शनिवार को दूध लाना है
can
    your aunt can close the window today
    su tía puede cerrar la ventana hoy
    आपकी चाची आज खिड़की बंद कर सकती हैं
class_hours
    the mathematics class starts at a quarter past seven and ends at ten in the morning
    la clase de matemáticas empieza a las siete y cuarto y termina a las diez de la mañana
    गणित की कक्षा सुबह सवा सात बजे शुरू होती है और दस बजे ख़त्म होती है
exam
    the italian exam is on tuesday the twenty ninth of june
    el examen de italiano es el martes veintinueve de junio
    इतालवी की परीक्षा मंगलवार उनतीस जून को है
students
    there are eighteen students in the history class
    hay dieciocho estudiantes en la clase de historia
    इतिहास की कक्षा में अठारह विद्यार्थी हैं
page
    please read page twenty one of the german book
    por favor lea la página veintiuno del libro de alemán
    कृपया जर्मन की किताब का पृष्ठ इक्कीस पढ़िए
opens
    every sunday the airport opens at seven in the morning
    todos los domingos el aeropuerto abre a las siete de la mañana
    हर रविवार को हवाई अड्डा सुबह सात बजे खुलता है
studies
    my grandmother wants to study german in paris
    mi abuela quiere estudiar alemán en parís
    मेरी दादी पेरिस में जर्मन की पढ़ाई करना चाहती हैं
wants
    we want to eat an apple on wednesday
    queremos comer una manzana el miércoles
    हम बुधवार को एक सेब खाना चाहते हैं
departure
    the train to paris leaves at a quarter past three in the afternoon from platform nineteen
    el tren a parís sale a las tres y cuarto de la tarde del andén diecinueve
    पेरिस जाने वाली ट्रेन दोपहर सवा तीन बजे प्लेटफ़ॉर्म उन्नीस से चलती है
journey
    how long does the journey from rome to delhi take by train
    cuánto dura el viaje de roma a delhi en tren
    रोम से दिल्ली तक की यात्रा में ट्रेन से कितना समय लगता है
tickets
    please give me ten tickets to london for monday
    por favor deme diez billetes a londres para el lunes
    कृपया मुझे सोमवार के लिए लंदन के दस टिकट दीजिए
hotel_room
    i need a room near the bank for nine people and five nights
    necesito una habitación cerca del banco para nueve personas y cinco noches
    मुझे बैंक के पास नौ लोगों और पाँच रातों के लिए एक कमरा चाहिए
late
    the flight from delhi to rome is fourteen minutes late
    el vuelo de delhi a roma tiene catorce minutos de retraso
    दिल्ली से रोम की उड़ान चौदह मिनट देर से है
trip
    in may the children will travel to london by train with rahul
    en mayo los niños viajarán a londres en tren con rahul
    मई में बच्चे राहुल के साथ ट्रेन से लंदन की यात्रा करेंगे
goes
    we will return to the hospital on monday
    volveremos al hospital el lunes
    हम सोमवार को अस्पताल लौटेंगे
goes_often
    we go to the temple by bus twice a week
    vamos al templo en autobús dos veces por semana
    हम हफ़्ते में दो बार बस से मंदिर जाते हैं
because
    rahul is tired because the children are buying the tomatoes
    rahul está cansado porque los niños están comprando los tomates
    राहुल थका हुआ है क्योंकि बच्चे टमाटर ख़रीद रहे हैं
moods
    your grandfather is happy but your doctor is angry
    su abuelo está contento pero su médico está enfadado
    आपके दादा जी ख़ुश हैं लेकिन आपके डॉक्टर नाराज़ हैं
feels
    carlos is sleepy and your husband is in a hurry
    carlos tiene sueño y su marido tiene prisa
    कार्लोस को नींद आ रही है और आपके पति को जल्दी है
is_ill
    our mother has a fever and cannot go to the stadium
    nuestra madre tiene fiebre y no puede ir al estadio
    हमारी माँ को बुख़ार है और वे स्टेडियम नहीं जा सकती हैं
pain
    i have pain in the right eye every day
    me duele el ojo derecho todos los días
    हर रोज़ मेरी दाईं आँख में दर्द होता है
medicine
    please take this medicine after dinner for ten days
    por favor tome esta medicina después de la cena durante diez días
    कृपया दस दिन तक रात के खाने के बाद यह दवा लीजिए
"""
_LINES = [line.strip() for line in CHECKED.strip().splitlines()]
CHECKED_PHRASES = {_LINES[row]: tuple(_LINES[row + 1 : row + 4]) for row in range(0, len(_LINES), 4)}

NUMBERS = {  # by hand, apart from the tables of the module
    "en": {0: "zero", 13: "thirteen", 21: "twenty one", 40: "forty", 58: "fifty eight", 100: "one hundred"},
    "es": {
        1: "uno",
        16: "dieciséis",
        21: "veintiuno",
        22: "veintidós",
        30: "treinta",
        31: "treinta y uno",
        67: "sesenta y siete",
        99: "noventa y nueve",
        100: "cien",
    },
    "hi": {
        6: "छह",
        11: "ग्यारह",
        15: "पंद्रह",
        19: "उन्नीस",
        21: "इक्कीस",
        25: "पच्चीस",
        29: "उनतीस",
        33: "तैंतीस",
        36: "छत्तीस",
        39: "उनतालीस",
        45: "पैंतालीस",
        49: "उनचास",
        50: "पचास",
        55: "पचपन",
        59: "उनसठ",
        64: "चौंसठ",
        69: "उनहत्तर",
        75: "पचहत्तर",
        79: "उनासी",
        80: "अस्सी",
        84: "चौरासी",
        89: "नवासी",
        90: "नब्बे",
        99: "निन्यानवे",
        100: "सौ",
    },
}


@pytest.fixture(scope="module")
def sample():
    rng = random.Random(0)
    return [random_phrase(rng) for _ in range(50_000)]


def test_one_translation_each(sample):
    """A sentence of one language has exactly one translation, so that a translation can be checked by equality."""
    triples = {tuple(phrase.sentence(language) for language in SCENE_LANGUAGES) for phrase in sample}
    for column in range(3):
        assert len({triple[column] for triple in triples}) == len(triples)
    assert len(triples) > 40_000


def test_many_words(sample):
    for language in SCENE_LANGUAGES:
        assert len({word for phrase in sample for word in phrase.sentence(language).split()}) >= 520


def test_length_letters_and_normal_form(sample):
    for language in SCENE_LANGUAGES:
        for phrase in sample:
            sentence = phrase.sentence(language)
            assert 3 <= len(sentence.split()) <= 20, sentence
            assert set(sentence) <= ALPHABETS[language], sentence
            assert sentence == " ".join(sentence.split())
            assert unicodedata.normalize("NFC", sentence) == sentence


def test_neighbouring_words(sample):
    """an apple; del, al; e italiano."""
    english = " ".join(f"{phrase.english} ." for phrase in sample)
    spanish = " ".join(f"{phrase.spanish} ." for phrase in sample)
    assert not any(f" a {vowel}" in english for vowel in "aeio")
    assert " an apple" in english and " a uniform" not in english
    assert not any(wrong in spanish for wrong in (" de el ", " a el ", " y i", " y hindi"))
    assert all(right in spanish for right in (" del ", " al ", " e italiano", " e hindi"))


def test_every_topic_and_the_same_for_the_same_seed(sample):
    assert {phrase.topic for phrase in sample} == set(TOPICS)
    rng = random.Random(0)
    assert [random_phrase(rng) for _ in range(500)] == sample[:500]


@pytest.mark.parametrize("pattern", dict.fromkeys(pattern for _, pattern in PATTERNS), ids=lambda item: item.__name__)
def test_patterns_by_hand(pattern):
    english, spanish, hindi = pattern(random.Random(pattern.__name__))
    assert (*phrases._spelt(english, spanish), hindi) == CHECKED_PHRASES[pattern.__name__[1:]]


def test_numbers():
    for language, table in NUMBERS.items():
        words = [number_words(number, language) for number in range(101)]
        assert len(set(words)) == 101
        assert {number: words[number] for number in table} == table
    assert len({number_words(number, "hi") for number in range(101) if " " not in number_words(number, "hi")}) == 101
    assert [number_words(number, "es", "m") for number in (1, 21, 31, 22, 100)] == [
        "un",
        "veintiún",
        "treinta y un",
        "veintidós",
        "cien",
    ]
    assert [number_words(number, "es", "f") for number in (1, 21, 31, 11)] == [
        "una",
        "veintiuna",
        "treinta y una",
        "once",
    ]
    assert [phrases.ordinal_words(number) for number in (1, 3, 20, 21, 30, 31)] == [
        "first",
        "third",
        "twentieth",
        "twenty first",
        "thirtieth",
        "thirty first",
    ]


def test_nouns_have_their_forms():
    others = inflection._nouns("""
        pencil | lápiz m | पेंसिल f
        bus_stop | parada_de_autobús f | बस_स्टॉप m
    """)
    nouns = {**NOUNS, **{noun.en: noun for noun in others}}

    def forms(english):
        noun = nouns[english]
        return noun.es_plural, noun.hi_oblique, noun.hi_plural, noun.hi_plural_oblique

    assert forms("shoe") == ("zapatos", "जूते", "जूते", "जूतों")
    assert forms("key") == ("llaves", "चाबी", "चाबियाँ", "चाबियों")
    assert forms("book") == ("libros", "किताब", "किताबें", "किताबों")
    assert forms("pencil") == ("lápices", "पेंसिल", "पेंसिलें", "पेंसिलों")
    assert forms("potato") == ("patatas", "आलू", "आलू", "आलुओं")
    assert forms("medicine") == ("medicinas", "दवा", "दवाएँ", "दवाओं")
    assert forms("airport") == ("aeropuertos", "हवाई अड्डे", "हवाई अड्डे", "हवाई अड्डों")
    assert forms("bus stop") == ("paradas de autobús", "बस स्टॉप", "बस स्टॉप", "बस स्टॉपों")
    assert forms("bus")[0] == "autobuses" and forms("balcony")[0] == "balcones"
    assert forms("kitchen")[2:] == ("रसोइयाँ", "रसोइयों")


def test_adjectives_agree():
    phrase = phrases._noun_phrase
    red_keys = phrase(NOUNS["key"], "our", [phrases.COLOURS["red"]], plural=True)
    assert (red_keys.es, red_keys.hi) == ("nuestras llaves rojas", "हमारी लाल चाबियाँ")
    shoes = phrase(NOUNS["shoe"], "this", [ADJECTIVES["new"], phrases.COLOURS["black"]], plural=True)
    assert (shoes.es, shoes.hi, shoes.oblique) == ("estos zapatos nuevos negros", "ये नए काले जूते", "इन नए काले जूतों")
    clock = phrase(NOUNS["clock"], "that", [ADJECTIVES["new"]])
    assert (clock.es, clock.hi, clock.oblique) == ("ese reloj nuevo", "वह नई घड़ी", "उस नई घड़ी")
    knee = phrase(phrases.BODY_PAIRS[0], "the", [phrases.LEFT_RIGHT["left"]])
    assert (knee.es, knee.oblique) == ("la rodilla izquierda", "बाएँ घुटने")


def test_refused():
    with pytest.raises(TriglotError, match="en, es, hi"):
        random_phrase(random.Random(0)).sentence("fr")
    for number, language in ((101, "en"), (-1, "es"), (5, "fr")):
        with pytest.raises(TriglotError, match="0 to 100"):
            number_words(number, language)


def test_fragments_are_short_and_no_sentence_of_the_world():
    rng = random.Random(0)
    fragments = [random_fragment(rng) for _ in range(3_000)]
    assert all(1 <= len(text.split()) <= 6 for fragment in fragments for text in fragment)
    rng = random.Random(1)
    sentences = {random_phrase(rng).english for _ in range(3_000)}
    assert not sentences & {english for english, _, _ in fragments}
    assert len({english.split()[-1] for english, _, _ in fragments}) > 250  # rare words as well


def test_a_fragment_has_one_translation():
    rng = random.Random(0)
    into_spanish, into_english = {}, {}
    for english, spanish, hindi in (random_fragment(rng) for _ in range(5_000)):
        assert into_spanish.setdefault(english, spanish) == spanish
        into_english.setdefault((spanish, hindi), set()).add(english)
    assert max(map(len, into_english.values())) <= 2  # 'your' and 'his' may be one word, never more
