"""Words for actions: verbs with the objects that they take, and verbs of motion."""

from .inflection import _rows

# English base, third person, -ing [preposition] | Spanish infinitive, he, they, we, gerund, command [preposition] |
# Hindi [postposition ... ] stem (after a comma) | objects, "a" before those that are indefinite
_VERBS = """
read reads reading | leer lee leen leemos leyendo lea | , पढ़ | the book, the newspaper, the letter, a story, a poem
write writes writing | escribir escribe escriben escribimos escribiendo escriba | , लिख | a letter, an email, a poem, the answer
eat eats eating | comer come comen comemos comiendo coma | , खा | an apple, a banana, soup, rice, fish, a mango, bread
drink drinks drinking | beber bebe beben bebemos bebiendo beba | , पी | tea, coffee, milk, juice
buy buys buying | comprar compra compran compramos comprando compre | , ख़रीद | bread, a shirt, a gift, a toy, the potatoes, the flowers, a book, the eggs
sell sells selling | vender vende venden vendemos vendiendo venda | , बेच | the oranges, the flowers, bread, fish, the shirts, the toys, the mangoes
wash washes washing | lavar lava lavan lavamos lavando lave | , धो | the plates, the car, the shirts, the grapes, the spoons
clean cleans cleaning | limpiar limpia limpian limpiamos limpiando limpie | साफ़, कर | the kitchen, the bathroom, the garage, the windows, the table, the house
cook cooks cooking | cocinar cocina cocinan cocinamos cocinando cocine | , पका | fish, rice, the potatoes, meat, chicken
open opens opening | abrir abre abren abrimos abriendo abra | , खोल | the door, the window, the box, the shop, the bottle
close closes closing | cerrar cierra cierran cerramos cerrando cierre | बंद, कर | the door, the window, the box, the shop, the drawer
watch watches watching | ver ve ven vemos viendo vea | , देख | the film, the match, the television, the photos
listen listens listening to | escuchar escucha escuchan escuchamos escuchando escuche | , सुन | the song, music, the radio, the story
sing sings singing | cantar canta cantan cantamos cantando cante | , गा | a song, the songs
repair repairs repairing | reparar repara reparan reparamos reparando repare | ठीक, कर | the car, the computer, the clock, the door, the bicycle, the chair, the fan, the road
look looks looking for | buscar busca buscan buscamos buscando busque | , ढूँढ | the key, the phone, the ball, the umbrella, the medicine, the photo
pay pays paying | pagar paga pagan pagamos pagando pague | , चुका | the bill, the rent
bring brings bringing | traer trae traen traemos trayendo traiga | , ला | milk, the medicine, a chair, the plates, the cake, the umbrella
send sends sending | enviar envía envían enviamos enviando envíe | , भेज | a message, an email, the money, a gift, the photos
make makes making | hacer hace hacen hacemos haciendo haga har | , बना | tea, coffee, a cake, a salad, soup, bread
cut cuts cutting | cortar corta cortan cortamos cortando corte | , काट | the onions, the carrots, the lemons, bread, the cake, the tree
turn_on turns_on turning_on | encender enciende encienden encendemos encendiendo encienda | चालू, कर | the fan, the television, the computer, the radio, the lamp
turn_off turns_off turning_off | apagar apaga apagan apagamos apagando apague | बंद, कर | the fan, the television, the computer, the radio, the lamp
wait waits waiting for | esperar espera esperan esperamos esperando espere | का इंतज़ार, कर | the bus, the train, the taxi, the letter, the answer
use uses using | usar usa usan usamos usando use | का इस्तेमाल, कर | the computer, the phone, the bicycle, the camera, the umbrella
choose chooses choosing | elegir elige eligen elegimos eligiendo elija | , चुन | a film, a book, a gift, the dress, a song
sleep sleeps sleeping in | dormir duerme duermen dormimos durmiendo duerma en | में, सो | the bedroom, the hotel, the living room
walk walks walking in | caminar camina caminan caminamos caminando camine en | में, टहल | the park, the garden, the market
run runs running in | correr corre corren corremos corriendo corra en | में, दौड़ | the park, the garden, the stadium
swim swims swimming in | nadar nada nadan nadamos nadando nade en | में, तैर | the river
work works working in | trabajar trabaja trabajan trabajamos trabajando trabaje en | में काम, कर | the bank, the hospital, the factory, the university, the office, the hotel, the library
"""
_GOING = _rows("""
    go goes | ir va van vamos | जा
    arrive arrives | llegar llega llegan llegamos | पहुँच
    return returns | volver vuelve vuelven volvemos | लौट
""")
