"""Words for actions: verbs with the objects that they take, and verbs of motion."""

from .inflection import _rows

# English base, third person, -ing [preposition] | Spanish infinitive, he, they, we, gerund, command [preposition] |
# Hindi [postposition ... ] stem (after a comma) | objects, "a" before those that are indefinite
_VERBS = """
read reads reading | leer lee leen leemos leyendo lea | , पढ़ | the book, the newspaper, the letter, a story
write writes writing | escribir escribe escriben escribimos escribiendo escriba | , लिख | a letter, an email, a story, a book
eat eats eating | comer come comen comemos comiendo coma | , खा | an apple, a banana, soup, rice, fish, a mango, bread
drink drinks drinking | beber bebe beben bebemos bebiendo beba | , पी | tea, coffee, milk, juice
buy buys buying | comprar compra compran compramos comprando compre | , ख़रीद | bread, a shirt, a gift, the potatoes, a book, the eggs, the tomatoes
wash washes washing | lavar lava lavan lavamos lavando lave | , धो | the plates, the car, the shirts, the spoons
clean cleans cleaning | limpiar limpia limpian limpiamos limpiando limpie | साफ़, कर | the kitchen, the bathroom, the garage, the windows, the table, the house
cook cooks cooking | cocinar cocina cocinan cocinamos cocinando cocine | , पका | fish, rice, the potatoes, meat, chicken
open opens opening | abrir abre abren abrimos abriendo abra | , खोल | the door, the window, the box, the shop, the bottle
close closes closing | cerrar cierra cierran cerramos cerrando cierre | बंद, कर | the door, the window, the box, the shop, the drawer
watch watches watching | ver ve ven vemos viendo vea | , देख | the film, the match, the television, the photos
listen listens listening to | escuchar escucha escuchan escuchamos escuchando escuche | , सुन | the song, music, the story
repair repairs repairing | reparar repara reparan reparamos reparando repare | ठीक, कर | the car, the computer, the clock, the door, the bicycle, the chair
bring brings bringing | traer trae traen traemos trayendo traiga | , ला | milk, the medicine, a chair, the plates, the cake, the umbrella
make makes making | hacer hace hacen hacemos haciendo haga har | , बना | tea, coffee, a cake, soup, bread
turn_on turns_on turning_on | encender enciende encienden encendemos encendiendo encienda | चालू, कर | the television, the computer, the lamp
turn_off turns_off turning_off | apagar apaga apagan apagamos apagando apague | बंद, कर | the television, the computer, the lamp
sleep sleeps sleeping in | dormir duerme duermen dormimos durmiendo duerma en | में, सो | the bedroom, the hotel, the living room
walk walks walking in | caminar camina caminan caminamos caminando camine en | में, टहल | the park, the garden, the market
work works working in | trabajar trabaja trabajan trabajamos trabajando trabaje en | में काम, कर | the bank, the hospital, the office, the hotel, the library
"""
_GOING = _rows("""
    go goes | ir va van vamos | जा
    arrive arrives | llegar llega llegan llegamos | पहुँच
    return returns | volver vuelve vuelven volvemos | लौट
""")
