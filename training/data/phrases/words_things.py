"""Words for things: nouns by kind, adjectives, which are said of which, and measures of food and drink."""

from ..scenes import COLOURS as SCENE_COLOURS
from .inflection import Adjective, Noun, _adjectives, _hindi_adjective, _nouns, _spanish_adjective

CLOTHES = _nouns("""
    shirt | camisa f | कमीज़ f
    shoe | zapato m | जूता m
    dress dresses | vestido m | पोशाक f
    hat | sombrero m | टोपी f
    coat | abrigo m | कोट m
    bag | bolso m | थैला m
    umbrella | paraguas m paraguas | छाता m
    belt | cinturón m | बेल्ट f
""")
THINGS = _nouns("""
    key | llave f | चाबी f
    book | libro m | किताब f
    phone | teléfono m | फ़ोन m
    plate | plato m | प्लेट f
    spoon | cuchara f | चम्मच m
    lamp | lámpara f | लैंप m
    pen | bolígrafo m | पेन m
    notebook | cuaderno m | कॉपी f
    clock | reloj m | घड़ी f
    photo | foto f | तस्वीर f
    newspaper | periódico m | अख़बार m
    bottle | botella f | बोतल f
    box boxes | caja f | डिब्बा m
    letter | carta f | चिट्ठी f
""")
SURFACES = _nouns("""
    table | mesa f | मेज़ f
    chair | silla f | कुर्सी f
    bed | cama f | पलंग m
    sofa | sofá m | सोफ़ा m
""")
CONTAINERS = _nouns("""
    cupboard | armario m | अलमारी f
    drawer | cajón m | दराज़ f
    suitcase | maleta f | सूटकेस m
    basket | cesta f | टोकरी f
""")
ROOMS = _nouns("""
    kitchen | cocina f | रसोई f
    bedroom | dormitorio m | शयनकक्ष m
    living_room | salón m | बैठक f
    bathroom | baño m | स्नानघर m
    garden | jardín m | बग़ीचा m
    balcony balconies | balcón m | बालकनी f
    garage | garaje m | गैराज m
    office | oficina f | दफ़्तर m
""")
PLACES = _nouns("""
    bank | banco m | बैंक m
    hospital | hospital m | अस्पताल m
    school | escuela f | स्कूल m
    market | mercado m | बाज़ार m
    pharmacy pharmacies | farmacia f | दवाख़ाना m
    library libraries | biblioteca f | पुस्तकालय m
    museum | museo m | संग्रहालय m
    station | estación f | स्टेशन m
    airport | aeropuerto m | हवाई_अड्डा m
    hotel | hotel m | होटल m
    park | parque m | पार्क m
    church churches | iglesia f | गिरजाघर m
    temple | templo m | मंदिर m
    cinema | cine m | सिनेमाघर m
    bridge | puente m | पुल m
    shop | tienda f | दुकान f
    stadium | estadio m | स्टेडियम m
    village | pueblo m | गाँव m
""")
FOODS = _nouns("""
    apple | manzana f | सेब m
    banana | plátano m | केला m
    orange | naranja f | संतरा m
    mango mangoes | mango m | आम m
    tomato tomatoes | tomate m | टमाटर m
    potato potatoes | patata f | आलू m
    onion | cebolla f | प्याज़ m
    egg | huevo m | अंडा m
    lemon | limón m | नींबू m
""")
DISHES = _nouns("""
    bread | pan m | ब्रेड f
    rice | arroz m | चावल m
    cheese | queso m | पनीर m
    soup | sopa f | सूप m
    fish | pescado m | मछली f
    chicken | pollo m | चिकन m
    meat | carne f | मांस m
    cake | pastel m | केक m
    ice_cream | helado m | आइसक्रीम f
    chocolate | chocolate m | चॉकलेट f
""")
DRINKS = _nouns("""
    tea | té m | चाय f
    coffee | café m | कॉफ़ी f
    milk | leche f | दूध m
    juice | zumo m | जूस m
""")
EXTRAS = _nouns("""
    sugar | azúcar m | चीनी f
    salt | sal f | नमक m
    butter | mantequilla f | मक्खन m
    honey | miel f | शहद m
    oil | aceite m | तेल m
""")
VEHICLES = _nouns("""
    car | coche m | कार f
    bicycle | bicicleta f | साइकिल f
    bus buses | autobús m | बस f
    train | tren m | ट्रेन f
    plane | avión m | हवाई_जहाज़ m
    taxi | taxi m | टैक्सी f
    motorbike | moto f | मोटरसाइकिल f
""")
LESSONS = _nouns("""
    question | pregunta f | सवाल m
    story stories | cuento m | कहानी f
    film | película f | फ़िल्म f
    song | canción f | गाना m
    game | juego m | खेल m
""")
OTHERS = _nouns("""
    door | puerta f | दरवाज़ा m
    window | ventana f | खिड़की f
    television | televisión f | टीवी m
    computer | ordenador m | कंप्यूटर m
    music | música f | संगीत m
    email | correo_electrónico m correos_electrónicos | ईमेल m
    house | casa f | घर m
    gift | regalo m | तोहफ़ा m
    medicine | medicina f | दवा f
    match matches | partido m | मैच m
""")
NOUNS = {
    noun.en: noun
    for group in (
        *(CLOTHES, THINGS, SURFACES, CONTAINERS, ROOMS, PLACES, FOODS, DISHES, DRINKS, EXTRAS, VEHICLES, LESSONS),
        OTHERS,
    )
    for noun in group
}
COUNTED = (*CLOTHES, *THINGS, *SURFACES, *CONTAINERS, *FOODS)  # what phrases say several of
ADJECTIVES = _adjectives("""
    small smaller | pequeño | छोटा
    big bigger | grande | बड़ा
    new newer | nuevo | नया
    old older | viejo | पुराना
    cheap cheaper | barato | सस्ता
    expensive | caro | महँगा
    beautiful | bonito | सुंदर
    comfortable | cómodo | आरामदायक
    heavy heavier | pesado | भारी
    clean cleaner | limpio estar | साफ़
    dirty dirtier | sucio estar | गंदा
    fast faster | rápido | तेज़
    famous | famoso | मशहूर
    easy easier | fácil | आसान
    difficult | difícil | कठिन
    interesting | interesante | दिलचस्प
    fresh fresher | fresco estar | ताज़ा
    sweet sweeter | dulce | मीठा
    hot hotter | caliente estar | गरम
    cold colder | frío estar | ठंडा
    good better | bueno | अच्छा
""")
COLOURS = {
    en: Adjective(en, en, (*es, _spanish_adjective(es[0])[2], _spanish_adjective(es[1])[2]), hi, False)
    for en, es, hi in ((en, es, _hindi_adjective(hi[0])) for en, (es, hi, _) in SCENE_COLOURS.items())
}
# which qualities are said of which nouns
QUALITIES = (
    (CLOTHES, "small big new old cheap expensive beautiful comfortable clean dirty"),
    (THINGS, "small big new old cheap expensive beautiful heavy clean dirty"),
    (SURFACES, "small big new old cheap expensive beautiful comfortable heavy clean dirty"),
    (CONTAINERS, "small big new old cheap expensive heavy clean dirty"),
    (ROOMS, "small big beautiful clean dirty comfortable"),
    (PLACES, "small big new old beautiful famous"),
    (VEHICLES, "small big new old cheap expensive fast comfortable clean dirty"),
    (LESSONS, "easy difficult interesting beautiful"),
    (FOODS, "small big fresh sweet cheap expensive"),
    (DISHES, "fresh cheap expensive cold good"),
    (DRINKS, "sweet hot cold cheap expensive good"),
)
# measure: English one and several, Spanish one, several and gender, Hindi (the same for all numbers)
MEASURES = {
    "cup": ("cup cups", "taza tazas f", "कप"),
    "glass": ("glass glasses", "vaso vasos m", "गिलास"),
    "bottle": ("bottle bottles", "botella botellas f", "बोतल"),
    "kilo": ("kilo kilos", "kilo kilos m", "किलो"),
    "plate": ("plate plates", "plato platos m", "प्लेट"),
    "bowl": ("bowl bowls", "tazón tazones m", "कटोरी"),
    "litre": ("litre litres", "litro litros m", "लीटर"),
}
WATER = Noun("water", "waters", "agua", "aguas", "f", "पानी", "पानी", "पानी", "पानी", "m")
MEASURED = (
    ("cup", tuple(NOUNS[word] for word in ("tea", "coffee", "milk"))),
    ("glass", (WATER, *(NOUNS[word] for word in ("milk", "juice")))),
    ("bottle", (WATER, *(NOUNS[word] for word in ("milk", "juice", "oil")))),
    ("litre", (WATER, *(NOUNS[word] for word in ("milk", "juice", "oil")))),
    ("plate", tuple(NOUNS[word] for word in ("rice", "fish", "meat", "chicken"))),
    ("bowl", tuple(NOUNS[word] for word in ("soup", "rice"))),
    ("kilo", tuple(NOUNS[word] for word in ("rice", "cheese", "fish", "meat", "sugar", "salt", "chicken"))),
)
