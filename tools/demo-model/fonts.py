"""Which fonts teach and which only test. All come from Debian packages; see README.md for the list."""
from functools import lru_cache
from pathlib import Path

from PIL import ImageFont

ROOTS = (Path("/usr/share/fonts"), Path("/usr/share/texmf/fonts"))

# Training begins with these few plain faces.
PLAIN = ["DejaVuSans", "LiberationSans-Regular", "Roboto-Regular"]
# Then these join.
COMMON = ["DejaVuSans-Bold", "LiberationSans-Bold", "FreeSans", "FreeSansBold", "Lato-Regular", "Lato-Bold",
          "Roboto-Medium", "Cabin-Regular", "Andika-Regular"]
# And at last these: serif, mono and rounded faces, all upright.
ALL = ["DejaVuSerif", "DejaVuSerif-Bold", "DejaVuSansMono", "DejaVuSansMono-Bold", "LiberationSerif-Regular",
       "LiberationSerif-Bold", "LiberationMono-Regular", "LiberationMono-Bold", "FreeSerif", "FreeSerifBold",
       "FreeMonoBold", "Lato-Black", "Lato-Heavy", "Lato-Medium", "Roboto-Bold", "Roboto-Black", "Cabin-Bold",
       "Andika-Bold", "Cantarell-Regular", "Cantarell-Bold", "Inconsolata", "Play-Regular", "Play-Bold",
       "Quicksand-Medium", "Quicksand-Bold"]
# Late in training, so that unseen faces look less strange: more serif, mono, narrow and drawn ones.
MORE = ["CharisSIL-Regular", "CharisSIL-Bold", "GentiumPlus-Regular", "GentiumBookPlus-Bold", "LinBiolinum_R", "LinBiolinum_RB",
        "LinLibertine_R", "LinLibertine_RB", "texgyreadventor-regular", "texgyreadventor-bold", "texgyrebonum-regular",
        "texgyrebonum-bold", "texgyrecursor-bold", "texgyreheroscn-bold", "texgyrepagella-regular", "texgyrepagella-bold",
        "texgyreschola-regular", "texgyreschola-bold", "texgyretermes-bold", "JetBrainsMono-Medium", "JetBrainsMono-Bold",
        "FiraCode-Medium", "FiraCode-Bold", "mononoki-Regular", "mononoki-Bold", "ComicNeue-Bold", "Courier Prime Bold",
        "Courier Prime Sans", "Oxygen-Sans", "Oxygen-Sans-Bold", "OxygenMono-Regular", "UniversalisADFStd-Regular",
        "UniversalisADFStd-Bold", "GilliusADF-Regular", "GilliusADF-Bold", "BaskervaldADFStd-Bold",
        "RomandeADFStd-DemiBold", "LibrisADFStd-Regular", "LibrisADFStd-Bold", "Verana-Regular", "Verana-Bold",
        "VeranaSans-Regular", "VeranaSans-Bold", "TribunADFStd-Regular", "TribunADFStd-Bold", "Karla-Medium", "Karla-Bold",
        "DoulosSIL-Regular", "cmunbx", "cmunss", "cmunsx", "cmunbtl", "Century-Catalogue"]
# Never seen in training: four families, sans, serif, bold and mono.
UNSEEN = ["OpenSans-Regular", "Carlito-Bold", "Caladea-Regular", "Hack-Regular"]
STAGES = [PLAIN, PLAIN + COMMON, PLAIN + COMMON + ALL, PLAIN + COMMON + ALL + MORE]
SEEN = STAGES[2]        # of the held-out pictures: the faces that training has always had


@lru_cache(maxsize=1)
def _files():
    return {p.stem: p for root in ROOTS for p in sorted(root.rglob("*")) if p.suffix in (".ttf", ".otf")}


@lru_cache(maxsize=4096)
def load(name, size):
    """A font of the given face and size in pixels."""
    return ImageFont.truetype(str(_files()[name]), size)


@lru_cache(maxsize=65536)
def advance(name, size, letter):
    return load(name, size).getlength(letter)


@lru_cache(maxsize=4096)
def cap_height(name, size):
    box = load(name, size).getbbox("H", anchor="ls")
    return -box[1]
