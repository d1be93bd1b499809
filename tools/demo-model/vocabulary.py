"""What the demo model can name: the alphabet, the colours, the shapes, and the wordings of its questions."""

# Letters and digits without the pairs that many fonts draw alike (0/O, 1/I): the two digits stay out.
ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZ23456789"

# Short real words mixed in among the random strings.
WORDS = (
    "STOP OPEN EXIT SALE FREE TAXI BUS CAFE BAR ZOO PARK SHOP PUSH PULL WAIT SLOW FAST HOT COLD TEA MILK EGGS RICE "
    "FISH SALT SOAP BREAD FRUIT HOTEL MUSIC WATER LIGHT NORTH SOUTH EAST WEST LEFT RIGHT UP DOWN GO NO YES HELP MENU "
    "BOOK DOOR GATE ROOM LIFT POOL BEACH LUNCH TODAY NEW OLD BIG RED HELLO WORLD PIZZA SUSHI APPLE BREAKS CLOSED "
    "POLICE SCHOOL MARKET GARDEN BAKERY"
).split()

# Name -> centre of its range in RGB. Dark ones write, light ones are written on; later in training also the reverse.
DARK = {
    "black": (18, 18, 18), "red": (200, 25, 30), "green": (15, 125, 40), "blue": (25, 55, 200),
    "purple": (125, 30, 155), "brown": (115, 65, 25),
}
LIGHT = {
    "white": (250, 250, 250), "yellow": (250, 228, 60), "orange": (250, 160, 45), "pink": (252, 178, 205),
    "gray": (190, 190, 190),
}
COLOURS = {**DARK, **LIGHT}
COLOUR_NAMES = list(COLOURS)

SHAPES = ("circle", "square", "triangle")
PLURALS = {"circle": "circles", "square": "squares", "triangle": "triangles"}

# Classes of the dense labels: 0 is "nothing here", then the alphabet, then the shapes.
MARKS = ["empty", *ALPHABET, *SHAPES]
MARK_ID = {name: i for i, name in enumerate(MARKS)}
COLOUR_ID = {name: i for i, name in enumerate(COLOUR_NAMES)}

# {x} is the plural of a shape in counting questions, and "colour" also appears as "color" (see wordings()).
_TEMPLATES = {
    "read": ["What does it say?", "What does the sign say?", "Read the text.", "What is written here?",
             "What text is in the picture?", "What is the text?"],
    "text colour": ["What colour is the text?", "Which colour is the text?", "What colour are the letters?",
                    "What is the colour of the text?", "Which colour are the letters?"],
    "background colour": ["What colour is the background?", "Which colour is the background?",
                          "What is the colour of the background?", "What is the background colour?"],
    "shape colour": ["What colour is the shape?", "Which colour is the shape?", "What is the colour of the shape?"],
    "count": ["How many {x} are there?", "How many {x} do you see?", "Count the {x}.",
              "How many {x} are in the picture?"],
    "which shape": ["Which shape is it?", "What shape is it?", "Which shape do you see?",
                    "What shape is in the picture?"],
}


def wordings(kind, x=""):
    """Every way to ask a question of one kind."""
    lines = [t.replace("{x}", x) for t in _TEMPLATES[kind]]
    return lines + [t.replace("colour", "color") for t in lines if "colour" in t]


def all_questions():
    """Every question of every kind, for the tokenizer."""
    for kind in _TEMPLATES:
        for x in [*PLURALS.values(), "shapes"] if kind == "count" else [""]:
            yield from wordings(kind, x)
