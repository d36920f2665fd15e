"""The plots of `stories`: wants, obstacles, help and endings, each a function that tells on from its first words.

Every sentence that could lose the thread names the hero again, and what the plot is about returns under the same word,
so that a short context carries both. The options of one choice never begin alike (`telling.py` says why).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from tui_gpt.corpora.telling import Teller


class Hero(NamedTuple):
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
    return phrase.rpartition(" ")[2]


def _helper(teller: Teller) -> str:
    """Writes the helper after an "a" that is already there: "n old owl", " kind deer"."""
    return _noun(teller.pick(HELPERS))


def _lost(t: Teller, hero: Hero) -> None:
    name, _, him, _ = hero
    color = t.pick(COLORS)
    t.say(" ")
    toy = t.pick(TOYS)
    t.pick((" very much.", " and took it everywhere.", " more than anything."))
    t.pick(WHENS)
    t.say(f" the {toy} was gone. {name} looked ")
    t.pick(("under the bed", "behind the door", "in every room", "all over the yard"))
    t.pick((", but it was not there.", " and felt very sad."))
    t.say(" A")
    helper = _helper(t)
    t.pick((f' said, "Do not cry, {name}."', f' said, "I will help you, {name}."', f" came by to help {him} look."))
    t.say(f" Soon {name} saw something {color} ")
    t.pick(("in the tall grass", "near the pond", "inside a box", "under some leaves", "up in a tree"))
    t.say(f". It was the {toy}!")
    t.pick(
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


def _out_of_reach(t: Teller, hero: Hero) -> None:
    name = hero.name
    t.pick(WHENS)
    t.say(f" {name} saw a ")
    thing = t.pick(tuple(REACHABLE))
    t.pick((" at the top of a tree.", " on the roof of a barn.", " high on a wall.", " on a thin branch."))
    noun = _noun(thing)
    t.pick(
        (
            f" {name} jumped and jumped but could not reach the {noun}.",
            f" {name} tried to climb up but slid back down.",
            f' "I am too small," said {name}.',
            f' "It is too high for me," said {name}.',
        )
    )
    t.pick((" Just then, a", " Then a"))
    climber = t.pick(tuple(CLIMBERS))
    helper = _noun(climber)
    t.say(f" {CLIMBERS[climber]} and brought the {noun} to {name}. {name} and the {helper} {REACHABLE[thing]}.")
    t.pick(
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


def _baking(t: Teller, hero: Hero) -> None:
    name, he, _, his = hero
    dish = t.pick(tuple(DISHES))
    t.say(f" for {his} ")
    guest = t.pick(FAMILY)
    t.pick((f". But {he} had ", f". But {he} could find "))
    missing = _noun(t.pick(DISHES[dish]))
    t.say(f", so {name} asked a")
    helper = _helper(t)
    t.say(f'. "I have {missing}," said the {helper}, "but first help me ')
    chore = t.pick(tuple(CHORES))
    t.say(f'." {name} {CHORES[chore]} and got the {missing}.')
    t.pick((" Soon", " That evening,", " Before long,"))
    t.say(f" {name} took the warm {_noun(dish)} to {his} {guest}.")
    t.pick(
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


def _fear(t: Teller, hero: Hero) -> None:
    name, _, him, his = hero
    scene, deed = FEARS[t.pick(tuple(FEARS))]
    t.say(f".{scene} and {name} ")
    t.pick(("wanted to hide", "began to shake", "wanted to run away", "closed both eyes"))
    t.say(f". {hero.His} ")
    elder = t.pick(FAMILY)
    t.say(f" gave {him} a ")
    noun = _noun(t.pick(CHARMS))
    t.pick((f'. "Hold the {noun} and ', f'. "Keep this {noun} and '))
    advice = t.pick(tuple(ADVICE))
    t.say(f'," said {his} {elder}. {name} {ADVICE[advice]}. Then {name} {deed}.')
    t.pick((f' "I did it!" shouted {name}.', f' "I am brave now," said {name}.', f" {name} was not afraid any more."))
    t.pick(
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


def _rescue(t: Teller, hero: Hero) -> None:
    name = hero.name
    t.pick(WHENS)
    t.say(f" {name} found a ")
    creature = _noun(t.pick(CREATURES))
    t.pick((" under a bush.", " beside the road.", " near the well.", " in the wet grass.", " behind the barn."))
    t.pick((f" The {creature} was ", f" The poor {creature} was "))
    need = t.pick(tuple(CARE))
    t.say(f", so {name} {CARE[need]}. The next day, the {creature} was ")
    t.pick(("much better", "strong again", "well and happy"))
    t.say(f". A week later, {name} found a ")
    gift = _noun(t.pick(("shiny shell", "white feather", "round pebble", "pink flower", "four-leaf clover")))
    t.pick((" by the door.", " on the window.", " on the step."))
    t.say(f" It was a gift from the {creature}.")
    t.pick(
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


def _seed(t: Teller, hero: Hero) -> None:
    name, _, _, his = hero
    giver = t.pick(FAMILY)
    t.say(f". {name} put the seed in ")
    t.pick(("a clay pot", "the garden", "an old boot", "a wooden box", "the soft ground"))
    t.pick((f", but nothing grew, and {name} was sad.", f", but nothing came up, and {name} was worried."))
    t.say(' "')
    advice = t.pick(tuple(PATIENCE))
    t.say('," said a')
    helper = _helper(t)
    t.say(f". So {name} {PATIENCE[advice]}.")
    t.pick((" After many days,", " At the end of spring,", " When the rain was over,", " One bright morning,"))
    t.say(f" {name} found a ")
    noun = _noun(t.pick(("red rose", "purple tulip", "huge pumpkin", "yellow sunflower", "bean plant", "tiny tree")))
    t.pick((f' there. "Look!" cried {name}.', f" there. {name} jumped for joy."))
    t.pick(
        (
            f" {name} showed the {noun} to {his} {giver}.",
            f" {name} and the {helper} danced around the {noun}.",
            f" It was the finest {noun} in the village.",
        )
    )


def _sharing(t: Teller, hero: Hero) -> None:
    name, _, _, his = hero
    color = t.pick(COLORS)
    t.say(" ")
    toy = t.pick(TOYS)
    t.pick((f" for {his} birthday.", " and played with it all day.", " and liked it very much."))
    t.say(" A little ")
    friend = t.pick(("squirrel", "lamb", "hedgehog", "pony", "goat", "piglet"))
    t.pick((' asked, "May I play too?"', ' asked, "Can I have a turn?"', ' asked, "Will you share it?"'))
    t.pick((f' "No, the {toy} is mine," said {name}.', f' "No," said {name}, and held the {toy} tight.'))
    t.say(f" The {friend} ")
    t.pick(("walked away slowly.", "went home alone.", "sat down and cried.", "looked at the ground."))
    t.pick((f" {name} played on, but it was no fun.", f" Now {name} was alone and felt sad."))
    t.say(f" So {name} brought the {color} {toy} to the {friend}. ")
    t.pick(('"I am sorry,"', '"Now it is your turn,"', '"Let us play together,"'))
    t.say(f" said {name}, and they played until ")
    t.pick(("the sun went down.", "the stars came out.", "supper was ready."))


OBSTACLES = {
    "a wide river": "a path of flat stones",
    "a steep hill": "an easy way around it",
    "a dark tunnel": "the way with a lantern",
    "a thick hedge": "a hole to crawl through",
    "a muddy field": "a dry path along the fence",
}


def _journey(t: Teller, hero: Hero) -> None:
    name, _, him, _ = hero
    elder = t.pick(FAMILY)
    t.say(" with a basket of ")
    goods = t.pick(("apples", "cookies", "fresh bread", "cherries", "warm rolls", "wild berries"))
    t.pick((f". Soon {name} came to ", f". Halfway there, {name} came to "))
    obstacle = t.pick(tuple(OBSTACLES))
    t.pick((f'. "How can I go on?" said {name}.', f'. "Oh no, I cannot pass," said {name}.'))
    t.say(" A")
    helper = _helper(t)
    t.say(f" showed {him} {OBSTACLES[obstacle]}.")
    t.pick((f" {name} gave the {helper} some {_noun(goods)}", f" {name} thanked the {helper}"))
    t.say(" and walked on, ")
    t.pick(("singing", "whistling", "humming"))
    t.pick((" all the way.", " a merry tune."))
    t.say(f" {hero.His} {elder} was ")
    t.pick(("waiting at the gate.", "sitting in the garden.", "looking out of the window."))
    t.pick((f' "Welcome, {name}!"', f' "There you are, {name}!"', f" They ate the {_noun(goods)} together."))


BUILDS = {
    "boat": "sailed the boat across the lake",
    "treehouse": "sat in the treehouse and watched the stars",
    "sled": "raced the sled down the snowy hill",
    "raft": "floated the raft down the river",
    "swing": "took turns on the swing until bedtime",
    "windmill": "watched the windmill turn in the breeze",
}


def _building(t: Teller, hero: Hero) -> None:
    name = hero.name
    thing = t.pick(tuple(BUILDS))
    t.say(f". {name} worked all ")
    t.pick(("day", "week", "summer"))
    t.say(" with ")
    t.pick(("old boards", "sticks and string", "wood and nails"))
    t.pick((", but a strong wind blew it down.", ", but in the rain it fell apart.", ", but it broke in two."))
    t.pick((f' "I will never finish," said {name}.', f' "I give up," said {name} with a sigh.'))
    t.say(" Then a")
    helper = _helper(t)
    t.pick((" brought strong rope.", " brought a big hammer.", " brought good wood.", " brought long nails."))
    t.pick((f' "You can do it, {name}," said the {helper}.', f' "Let us try again, {name}," said the {helper}.'))
    t.pick((f" By evening, the {thing} was ", f" After a week, the {thing} was ", f" Soon the {thing} was "))
    t.pick(("ready.", "finished.", "as good as new."))
    t.say(f" {name} and the {helper} {BUILDS[thing]}.")


PLOTS: dict[Callable[[Hero], str], Callable[[Teller, Hero], None]] = {
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
