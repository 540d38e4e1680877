"""Words for places and what belongs to them: cities, countries, languages, lessons, and ways to go there."""

from .inflection import _parallel
from .words_things import PLACES

CITIES = _parallel("""
    madrid | madrid | मैड्रिड
    barcelona | barcelona | बार्सिलोना
    london | londres | लंदन
    paris | parís | पेरिस
    delhi | delhi | दिल्ली
    mumbai | bombay | मुंबई
    berlin | berlín | बर्लिन
    rome | roma | रोम
    tokyo | tokio | टोक्यो
    jaipur | jaipur | जयपुर
""")
COUNTRIES = _parallel("""
    spain | españa | स्पेन
    india | india | भारत
    mexico | méxico | मेक्सिको
    france | francia | फ़्रांस
    germany | alemania | जर्मनी
    japan | japón | जापान
    italy | italia | इटली
    england | inglaterra | इंग्लैंड
    canada | canadá | कनाडा
""")
TONGUES = _parallel("""
    english | inglés | अंग्रेज़ी
    spanish | español | स्पेनिश
    hindi | hindi | हिंदी
    french | francés | फ़्रेंच
    german | alemán | जर्मन
    italian | italiano | इतालवी
    japanese | japonés | जापानी
""")
SUBJECTS_TAUGHT = _parallel("""
    mathematics | matemáticas | गणित
    history | historia | इतिहास
    science | ciencias | विज्ञान
    chemistry | química | रसायन
""")
RELATIONS = _parallel("""
    next to | al lado de | के बगल में
    in front of | delante de | के सामने
    behind | detrás de | के पीछे
    near | cerca de | के पास
    far from | lejos de | से दूर
""")
SIDES = _parallel("""
    left | izquierda | बाईं ओर
    right | derecha | दाईं ओर
""")
BY = _parallel("""
    by train | en tren | ट्रेन से
    by bus | en autobús | बस से
    by car | en coche | कार से
    by bicycle | en bicicleta | साइकिल से
    by taxi | en taxi | टैक्सी से
    on foot | a pie | पैदल
""")
# where one goes
DESTINATIONS = tuple(noun for noun in PLACES if noun.en != "bridge")
