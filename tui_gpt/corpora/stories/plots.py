"""The plots of `stories`. Each is a function that continues the story after its opening sentence.

Every sentence in which the hero could be lost names the hero again, and the object of the plot always has the same
name, so that a short context is enough to follow the story. The options of one choice never share a beginning (see
`grammar.py`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from tui_gpt.corpora.stories.grammar import Interpreter


class Hero(NamedTuple):
    """The hero: name and pronouns."""

    name: str
    he: str
    him: str
    his: str

    @property
    def His(self) -> str:
        return self.his.capitalize()


WHENS = (
    *(" One sunny morning,", " One rainy day,", " One cold winter day,", " One warm afternoon,"),
    *(" One windy day,", " One quiet evening,"),
)
COLORS = ("red", "blue", "green", "yellow")
TOYS = ("ball", "kite", "drum", "hat", "boat", "train")
HELPERS = ("n old owl", " friendly goat", " wise turtle", " kind deer", " gentle cow", " busy beaver")
FAMILY = ("mother", "father", "grandmother", "grandfather", "aunt", "uncle")


def _noun(phrase: str) -> str:
    """Return the last word of a phrase."""
    return phrase.rpartition(" ")[2]


def _helper(interpreter: Interpreter) -> str:
    """Write a helper after an "a" that is already written ("n old owl", " kind deer"), and return the noun."""
    return _noun(interpreter.choose(HELPERS))


def _lost(t: Interpreter, hero: Hero) -> None:
    name, _, him, _ = hero
    color = t.choose(COLORS)
    t.literal(" ")
    toy = t.choose(TOYS)
    t.choose((" very much.", " and took it everywhere.", " more than anything."))
    t.choose(WHENS)
    t.literal(f" the {toy} was gone. {name} looked ")
    t.choose(("under the bed", "behind the door", "in every room", "all over the yard"))
    t.choose((", but it was not there.", " and felt very sad."))
    t.literal(" A")
    helper = _helper(t)
    t.choose((f' said, "Do not cry, {name}."', f' said, "I will help you, {name}."', f" came by to help {him} look."))
    t.literal(f" Soon {name} saw something {color} ")
    t.choose(("in the tall grass", "near the pond", "inside a box", "under some leaves", "up in a tree"))
    t.literal(f". It was the {toy}!")
    t.choose(
        (
            f" {name} gave the {helper} a big hug.",
            f' "Thank you," said {name}, and the {helper} smiled.',
            f" {name} and the {helper} played until dark.",
            f" {name} danced all the way home with the {toy}.",
        )
    )


REACHABLE = {
    "shiny apple": "ate the apple in the shade",
    "ripe pear": "cut the pear in two and shared it",
    "golden bell": "rang the bell all the way home",
    "silver key": "opened an old chest with the key",
    "white balloon": "tied the balloon to the gate",
    "paper plane": "made the plane fly over the fields",
}
CLIMBERS = {
    "n old owl": "flew up",
    " quick squirrel": "climbed up",
    " clever crow": "flapped its wings",
    " tall horse": "stretched its neck",
    " nimble goat": "made a great leap",
}


def _out_of_reach(t: Interpreter, hero: Hero) -> None:
    name = hero.name
    t.choose(WHENS)
    t.literal(f" {name} saw a ")
    thing = t.choose(tuple(REACHABLE))
    t.choose((" at the top of a tree.", " on the roof of a barn.", " high on a wall.", " on a thin branch."))
    noun = _noun(thing)
    t.choose(
        (
            f" {name} jumped and jumped but could not reach the {noun}.",
            f" {name} tried to climb up but slid back down.",
            f' "I am too small," said {name}.',
            f' "It is too high for me," said {name}.',
        )
    )
    t.choose((" Just then, a", " Then a"))
    climber = t.choose(tuple(CLIMBERS))
    helper = _noun(climber)
    t.literal(f" {CLIMBERS[climber]} and brought the {noun} to {name}. {name} and the {helper} {REACHABLE[thing]}.")
    t.choose(
        (
            " They were friends from that day on.",
            f" {name} had never been so happy.",
            f' "What a day!" laughed {name}.',
            f' "You are a good friend," said {name}.',
        )
    )


DISHES = {
    "a cake": ("no sugar", "no eggs", "no butter"),
    "a pie": ("no apples", "no plums", "no berries"),
    "some bread": ("no flour", "no milk", "no yeast"),
    "some cookies": ("no honey", "no nuts", "no butter"),
}
CHORES = {
    "sweep the floor": "swept the floor",
    "carry the wood": "carried the wood",
    "wash the windows": "washed the windows",
    "feed the hens": "fed the hens",
    "rake the leaves": "raked the leaves",
}


def _baking(t: Interpreter, hero: Hero) -> None:
    name, he, _, his = hero
    dish = t.choose(tuple(DISHES))
    t.literal(f" for {his} ")
    guest = t.choose(FAMILY)
    t.choose((f". But {he} had ", f". But {he} could find "))
    missing = _noun(t.choose(DISHES[dish]))
    t.literal(f", so {name} asked a")
    helper = _helper(t)
    t.literal(f'. "I have {missing}," said the {helper}, "but first help me ')
    chore = t.choose(tuple(CHORES))
    t.literal(f'." {name} {CHORES[chore]} and got the {missing}.')
    t.choose((" Soon", " That evening,", " Before long,"))
    t.literal(f" {name} took the warm {_noun(dish)} to {his} {guest}.")
    t.choose(
        (
            f' "You are a good cook, {name}!"',
            f' "Thank you, {name}, I love it!"',
            f' "Please bake some more, {name}!"',
            f" {name} saved the last piece for the {helper}.",
        )
    )


FEARS = {
    "the dark": (" One night, the lamp went out,", "slept until morning"),
    "thunder": (" One evening, a storm came over the hills,", "slept through the storm"),
    "deep water": (" One hot day, all the others went to swim,", "swam across the pond"),
    "the tall bridge": (" One day, the way to market led over the bridge,", "walked over the bridge"),
    "the noisy train": (" One morning, everyone went to the station,", "rode the train"),
    "the big slide": (" One afternoon, everyone was at the park,", "went down the slide"),
}
CHARMS = ("little lantern", "soft blanket", "smooth stone", "wooden whistle", "lucky coin")
ADVICE = {
    "count to ten": "counted to ten",
    "sing a song": "sang a song",
    "take a deep breath": "took a deep breath",
    "think of a happy day": "thought of a happy day",
}


def _fear(t: Interpreter, hero: Hero) -> None:
    name, _, him, his = hero
    scene, deed = FEARS[t.choose(tuple(FEARS))]
    t.literal(f".{scene} and {name} ")
    t.choose(("wanted to hide", "began to shake", "wanted to run away", "closed both eyes"))
    t.literal(f". {hero.His} ")
    elder = t.choose(FAMILY)
    t.literal(f" gave {him} a ")
    noun = _noun(t.choose(CHARMS))
    t.choose((f'. "Hold the {noun} and ', f'. "Keep this {noun} and '))
    advice = t.choose(tuple(ADVICE))
    t.literal(f'," said {his} {elder}. {name} {ADVICE[advice]}. Then {name} {deed}.')
    t.choose((f' "I did it!" shouted {name}.', f' "I am brave now," said {name}.', f" {name} was not afraid any more."))
    t.choose(
        (
            f" {name} still has the {noun}.",
            f" The next day, {name} gave the {noun} to a friend.",
            f" {hero.His} {elder} was very proud of {name}.",
        )
    )


CREATURES = ("baby bird", "tiny snail", "little bee", "lost lamb", "small butterfly", "fluffy chick")
CARE = {
    "cold": "wrapped it in a warm scarf",
    "hungry": "gave it some crumbs and water",
    "tired": "made it a bed of soft hay",
    "scared": "sang it a quiet song",
}


def _rescue(t: Interpreter, hero: Hero) -> None:
    name = hero.name
    t.choose(WHENS)
    t.literal(f" {name} found a ")
    creature = _noun(t.choose(CREATURES))
    t.choose((" under a bush.", " beside the road.", " near the well.", " in the wet grass.", " behind the barn."))
    t.choose((f" The {creature} was ", f" The poor {creature} was "))
    need = t.choose(tuple(CARE))
    t.literal(f", so {name} {CARE[need]}. The next day, the {creature} was ")
    t.choose(("much better", "strong again", "well and happy"))
    t.literal(f". A week later, {name} found a ")
    gift = _noun(t.choose(("shiny shell", "white feather", "round pebble", "pink flower", "four-leaf clover")))
    t.choose((" by the door.", " on the window.", " on the step."))
    t.literal(f" It was a gift from the {creature}.")
    t.choose(
        (
            f" {name} kept the {gift} in a box.",
            f" {name} showed the {gift} to everyone.",
            f' "What a kind {creature}!" said {name}.',
        )
    )


PATIENCE = {
    "Wait for the sun": "waited for the sun",
    "Sing to it": "sang to the seed every night",
    "Give it time": "waited and waited",
    "Talk to it": "talked to the seed each day",
}


def _seed(t: Interpreter, hero: Hero) -> None:
    name, _, _, his = hero
    giver = t.choose(FAMILY)
    t.literal(f". {name} put the seed in ")
    t.choose(("a clay pot", "the garden", "an old boot", "a wooden box", "the soft ground"))
    t.choose((f", but nothing grew, and {name} was sad.", f", but nothing came up, and {name} was worried."))
    t.literal(' "')
    advice = t.choose(tuple(PATIENCE))
    t.literal('," said a')
    helper = _helper(t)
    t.literal(f". So {name} {PATIENCE[advice]}.")
    t.choose((" After many days,", " At the end of spring,", " When the rain was over,", " One bright morning,"))
    t.literal(f" {name} found a ")
    noun = _noun(t.choose(("red rose", "purple tulip", "huge pumpkin", "yellow sunflower", "bean plant", "tiny tree")))
    t.choose((f' there. "Look!" cried {name}.', f" there. {name} jumped for joy."))
    t.choose(
        (
            f" {name} showed the {noun} to {his} {giver}.",
            f" {name} and the {helper} danced around the {noun}.",
            f" It was the finest {noun} in the village.",
        )
    )


def _sharing(t: Interpreter, hero: Hero) -> None:
    name, _, _, his = hero
    color = t.choose(COLORS)
    t.literal(" ")
    toy = t.choose(TOYS)
    t.choose((f" for {his} birthday.", " and played with it all day.", " and liked it very much."))
    t.literal(" A little ")
    friend = t.choose(("squirrel", "lamb", "hedgehog", "pony", "goat", "piglet"))
    t.choose((' asked, "May I play too?"', ' asked, "Can I have a turn?"', ' asked, "Will you share it?"'))
    t.choose((f' "No, the {toy} is mine," said {name}.', f' "No," said {name}, and held the {toy} tight.'))
    t.literal(f" The {friend} ")
    t.choose(("walked away slowly.", "went home alone.", "sat down and cried.", "looked at the ground."))
    t.choose((f" {name} played on, but it was no fun.", f" Now {name} was alone and felt sad."))
    t.literal(f" So {name} brought the {color} {toy} to the {friend}. ")
    t.choose(('"I am sorry,"', '"Now it is your turn,"', '"Let us play together,"'))
    t.literal(f" said {name}, and they played until ")
    t.choose(("the sun went down.", "the stars came out.", "supper was ready."))


OBSTACLES = {
    "a wide river": "a path of flat stones",
    "a steep hill": "an easy way around it",
    "a dark tunnel": "the way with a lantern",
    "a thick hedge": "a hole to crawl through",
    "a muddy field": "a dry path along the fence",
}


def _journey(t: Interpreter, hero: Hero) -> None:
    name, _, him, _ = hero
    elder = t.choose(FAMILY)
    t.literal(" with a basket of ")
    goods = t.choose(("apples", "cookies", "fresh bread", "cherries", "warm rolls", "wild berries"))
    t.choose((f". Soon {name} came to ", f". Halfway there, {name} came to "))
    obstacle = t.choose(tuple(OBSTACLES))
    t.choose((f'. "How can I go on?" said {name}.', f'. "Oh no, I cannot pass," said {name}.'))
    t.literal(" A")
    helper = _helper(t)
    t.literal(f" showed {him} {OBSTACLES[obstacle]}.")
    t.choose((f" {name} gave the {helper} some {_noun(goods)}", f" {name} thanked the {helper}"))
    t.literal(" and walked on, ")
    t.choose(("singing", "whistling", "humming"))
    t.choose((" all the way.", " a merry tune."))
    t.literal(f" {hero.His} {elder} was ")
    t.choose(("waiting at the gate.", "sitting in the garden.", "looking out of the window."))
    t.choose((f' "Welcome, {name}!"', f' "There you are, {name}!"', f" They ate the {_noun(goods)} together."))


BUILDS = {
    "boat": "sailed the boat across the lake",
    "treehouse": "sat in the treehouse and watched the stars",
    "sled": "raced the sled down the snowy hill",
    "raft": "floated the raft down the river",
    "swing": "took turns on the swing until bedtime",
    "windmill": "watched the windmill turn in the breeze",
}


def _building(t: Interpreter, hero: Hero) -> None:
    name = hero.name
    thing = t.choose(tuple(BUILDS))
    t.literal(f". {name} worked all ")
    t.choose(("day", "week", "summer"))
    t.literal(" with ")
    t.choose(("old boards", "sticks and string", "wood and nails"))
    t.choose((", but a strong wind blew it down.", ", but in the rain it fell apart.", ", but it broke in two."))
    t.choose((f' "I will never finish," said {name}.', f' "I give up," said {name} with a sigh.'))
    t.literal(" Then a")
    helper = _helper(t)
    t.choose((" brought strong rope.", " brought a big hammer.", " brought good wood.", " brought long nails."))
    t.choose((f' "You can do it, {name}," said the {helper}.', f' "Let us try again, {name}," said the {helper}.'))
    t.choose((f" By evening, the {thing} was ", f" After a week, the {thing} was ", f" Soon the {thing} was "))
    t.choose(("ready.", "finished.", "as good as new."))
    t.literal(f" {name} and the {helper} {BUILDS[thing]}.")


PLOTS: dict[Callable[[Hero], str], Callable[[Interpreter, Hero], None]] = {
    lambda hero: f" {hero.name} loved {hero.his} ": _lost,
    lambda hero: f" {hero.name} liked to take long walks.": _out_of_reach,
    lambda hero: f" {hero.name} wanted to bake ": _baking,
    lambda hero: f" {hero.name} was afraid of ": _fear,
    lambda hero: f" {hero.name} was always kind to others.": _rescue,
    lambda hero: f" {hero.name} got a tiny seed from {hero.his} ": _seed,
    lambda hero: f" {hero.name} had a new ": _sharing,
    lambda hero: f" {hero.name} set out to visit {hero.his} ": _journey,
    lambda hero: f" {hero.name} dreamed of building a ": _building,
}
