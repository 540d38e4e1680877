"""Words for people: names, relatives, jobs, greetings, moods, illnesses and the body."""

from .inflection import _adjectives, _nouns, _parallel, _rows

NAMES = _parallel("""
    maria f | maría | मारिया
    lucia f | lucía | लूसिया
    priya f | priya | प्रिया
    emma f | emma | एमा
    carlos m | carlos | कार्लोस
    pedro m | pedro | पेद्रो
    ravi m | ravi | रवि
    rahul m | rahul | राहुल
    david m | david | डेविड
    arjun m | arjun | अर्जुन
    pablo m | pablo | पाब्लो
""")
# English | Spanish gender | Hindi gender, with "respect" where Hindi takes the plural
PEOPLE = _rows("""
    mother | madre f | माँ f respect
    father | padre m | पिता_जी m respect
    grandmother | abuela f | दादी f respect
    grandfather | abuelo m | दादा_जी m respect
    uncle | tío m | चाचा m respect
    aunt | tía f | चाची f respect
    husband | marido m | पति m respect
    wife | esposa f | पत्नी f
    brother | hermano m | भाई m
    sister | hermana f | बहन f
    son | hijo m | बेटा m
    daughter | hija f | बेटी f
    friend | amigo m | दोस्त m
    teacher | profesora f | अध्यापिका f respect
    doctor | médico m | डॉक्टर m respect
""")
MOODS = {  # all with estar
    **_adjectives("""
        happy | contento estar | ख़ुश
        sad | triste estar | उदास
        tired | cansado estar | थका हुआ
        angry | enfadado estar | नाराज़
        sick | enfermo estar | बीमार
        busy | ocupado estar | व्यस्त
        ready | listo estar | तैयार
    """)
}
# English after "to be", Spanish after "tener", Hindi after को
SENSATIONS = _parallel("""
    hungry | hambre | भूख लगी है
    thirsty | sed | प्यास लगी है
    sleepy | sueño | नींद आ रही है
    cold | frío | ठंड लग रही है
    hot | calor | गर्मी लग रही है
    afraid | miedo | डर लग रहा है
    in a hurry | prisa | जल्दी है
""")
ILLNESSES = _parallel("""
    a fever | fiebre | बुख़ार
    a cough | tos | खाँसी
    a cold | un resfriado | ज़ुकाम
""")
# has it a left and a right?
BODY = _nouns("""
    head | cabeza f | सिर m
    back | espalda f | पीठ f
    stomach | estómago m | पेट m
    throat | garganta f | गला m
""")
BODY_PAIRS = _nouns("""
    knee | rodilla f | घुटना m
    hand | mano f | हाथ m
    foot feet | pie m | पैर m
    eye | ojo m | आँख f
    arm | brazo m | बाँह f
""")
LEFT_RIGHT = _adjectives("""
    left | izquierdo | बायाँ
    right | derecho | दायाँ
""")
# English | Spanish (m, f) | Hindi, the same for men and women
JOBS = _rows("""
    doctor | médico médica | डॉक्टर
    engineer | ingeniero ingeniera | इंजीनियर
    lawyer | abogado abogada | वकील
    singer | cantante cantante | गायक गायिका
    writer | escritor escritora | लेखक लेखिका
    actor actress | actor actriz | अभिनेता अभिनेत्री
    farmer | agricultor agricultora | किसान
    driver | conductor conductora | ड्राइवर
    painter | pintor pintora | चित्रकार
""")
GREETINGS = _parallel("""
    hello | hola | नमस्ते
    good morning | buenos días | सुप्रभात
    good evening | buenas tardes | शुभ संध्या
""")
