"""Words for times and weather: days, months, parts of the day, habits, meals and forecasts."""

from .inflection import _parallel

DAYS = _parallel("""
    monday | lunes | सोमवार
    tuesday | martes | मंगलवार
    wednesday | miércoles | बुधवार
    thursday | jueves | गुरुवार
    friday | viernes | शुक्रवार
    saturday | sábado | शनिवार
    sunday | domingo | रविवार
""")
MONTHS = _parallel("""
    january | enero | जनवरी
    february | febrero | फ़रवरी
    march | marzo | मार्च
    april | abril | अप्रैल
    may | mayo | मई
    june | junio | जून
    july | julio | जुलाई
    august | agosto | अगस्त
    september | septiembre | सितंबर
    october | octubre | अक्टूबर
    november | noviembre | नवंबर
    december | diciembre | दिसंबर
""")
MONTH_DAYS = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
SEASONS = _parallel("""
    in summer | en verano | गर्मियों में
    in winter | en invierno | सर्दियों में
    in spring | en primavera | वसंत में
    in autumn | en otoño | पतझड़ में
""")
# English | Spanish | Hindi, first and last hour at which it is said
DAY_PARTS = (
    (("in the morning", "de la mañana", "सुबह"), 6, 11),
    (("in the afternoon", "de la tarde", "दोपहर"), 1, 3),
    (("in the evening", "de la tarde", "शाम"), 5, 7),
    (("at night", "de la noche", "रात"), 9, 11),
)
FUTURE_TIMES = _parallel("""
    tomorrow | mañana | कल
    the day after tomorrow | pasado mañana | परसों
    tonight | esta noche | आज रात को
    this evening | esta tarde | आज शाम को
    next week | la próxima semana | अगले हफ़्ते
    next month | el próximo mes | अगले महीने
    next year | el próximo año | अगले साल
    soon | pronto | जल्द ही
    after dinner | después de la cena | रात के खाने के बाद
    before breakfast | antes del desayuno | नाश्ते से पहले
""") + tuple((f"on {en}", f"el {es}", f"{hi} को") for en, es, hi in DAYS)


def _days(day: str) -> str:
    """The Spanish plural: lunes, sábados."""
    return day if day.endswith("s") else day + "s"


HABIT_TIMES = _parallel("""
    every day | todos los días | हर रोज़
    every week | todas las semanas | हर हफ़्ते
    every month | todos los meses | हर महीने
    every morning | todas las mañanas | हर सुबह
    every night | todas las noches | हर रात
    twice a week | dos veces por semana | हफ़्ते में दो बार
""") + tuple((f"every {en}", f"todos los {_days(es)}", f"हर {hi} को") for en, es, hi in DAYS)
FREQUENCIES = _parallel("""
    always | siempre | हमेशा
    often | a menudo | अक्सर
    sometimes | a veces | कभी कभी
    usually | normalmente | आम तौर पर
    rarely | rara vez | कम ही
""")
WEATHER = _parallel("""
    it will rain | lloverá | बारिश होगी
    it will snow | nevará | बर्फ़ गिरेगी
    it will be sunny | hará sol | धूप निकलेगी
    it will be windy | hará viento | तेज़ हवा चलेगी
    it will be cold | hará frío | ठंड होगी
    it will be hot | hará calor | गर्मी होगी
    it will be cloudy | estará nublado | बादल छाए रहेंगे
    it will be foggy | habrá niebla | कोहरा होगा
    there will be a storm | habrá una tormenta | तूफ़ान आएगा
""")
WEATHER_NOW = _parallel("""
    it is raining | está lloviendo | बारिश हो रही है
    it is snowing | está nevando | बर्फ़ गिर रही है
    it is very sunny | hace mucho sol | बहुत धूप है
    it is very windy | hace mucho viento | बहुत तेज़ हवा चल रही है
    it is very cold | hace mucho frío | बहुत ठंड है
    it is very hot | hace mucho calor | बहुत गर्मी है
    it is cloudy | está nublado | बादल छाए हुए हैं
    it is foggy | hay niebla | कोहरा है
""")
WEATHER_HABITS = _parallel("""
    rains | llueve | बारिश होती है
    snows | nieva | बर्फ़ गिरती है
    is sunny | hace sol | धूप होती है
    is windy | hace viento | तेज़ हवा चलती है
    is cold | hace frío | ठंड होती है
    is hot | hace calor | गर्मी होती है
    is foggy | hay niebla | कोहरा होता है
""")
MEALS = _parallel("""
    breakfast | desayuno m | नाश्ता
    lunch | almuerzo m | दोपहर का खाना
    dinner | cena f | रात का खाना
""")
