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
    def He(self) -> str:
        return self.he.capitalize()

    @property
    def His(self) -> str:
        return self.his.capitalize()


WHENS = (
    *(" One sunny morning,", " One rainy day,", " One cold winter day,", " One warm afternoon,"),
    *(" One windy day,", " One quiet evening,"),
)
COLORS = ("red", "blue", "green", "yellow", "purple", "orange")
TOYS = ("ball", "kite", "drum", "hat", "scarf", "wagon", "boat", "train")
HELPERS = (
    *("n old owl", " friendly goat", " wise turtle", " kind deer", " gentle cow"),
    *(" tall horse", " busy beaver", " sleepy hedgehog"),
)
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
    t.pick((" and took it everywhere.", " more than anything.", " very much."))
    t.pick(WHENS)
    t.say(f" the {toy} was gone.")
    t.say(f" {name} looked under ")
    t.pick(("the bed", "the table", "the stairs", "an old bench", "every bush"))
    t.pick((", but it was not there.", ", but could not find it."))
    t.pick((f" {name} sat down and cried.", f" {name} felt very sad.", f" Poor {name} did not know what to do."))
    t.say(" A")
    helper = _helper(t)
    if t.pick((' came by and asked, "', ' saw this and said, "')).endswith('asked, "'):
        t.say(f'What is wrong?" "I lost my {toy}," said {name}.')
        t.pick((f" So the {helper} helped {him} look.", f' "I will help you," said the {helper}.'))
    else:
        t.pick(("Do not be sad.", "Do not worry.", "I have good eyes."))
        t.say(f' We will find your {toy}."')
    t.say(f" Soon {name} saw something {color} ")
    t.pick(("in the tall grass", "near the pond", "inside an empty box", "under a pile of leaves", "up in a tree"))
    t.say(f". It was the {toy}!")
    t.pick(
        (
            f" {name} hugged the {helper} and never lost the {toy} again.",
            f' "Thank you, my friend," said {name}, and the {helper} smiled.',
            f" {name} and the {helper} played with the {toy} until dark.",
            f" {name} danced all the way home with the {toy}.",
        )
    )


REACHABLE = {
    "shiny apple": "ate the apple together in the shade",
    "ripe pear": "cut the pear in two and shared it",
    "golden bell": "rang the bell all the way home",
    "silver key": "used the key to open an old chest of toys",
    "white balloon": "tied the balloon to the garden gate",
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
    name, he, _, _ = hero
    t.pick(WHENS)
    t.say(f" {he} saw a ")
    thing = t.pick(tuple(REACHABLE))
    t.pick((" at the top of a tall tree.", " on the roof of a barn.", " high on a stone wall.", " on a thin branch."))
    noun = _noun(thing)
    t.pick(
        (
            f" {name} jumped and jumped but could not reach the {noun}.",
            f" {name} tried to climb up but slid back down.",
            f" {name} stood on a box, but it was not high enough.",
        )
    )
    t.pick((f' "I am too small," said {name}.', f' "It is too high for me," said {name}.'))
    t.say(" Just then, a")
    climber = t.pick(tuple(CLIMBERS))
    helper = _noun(climber)
    t.pick((" came down the road.", f" heard {name}.", " stopped to look."))
    t.say(f" The {helper} {CLIMBERS[climber]} and brought the {noun} to {name}.")
    t.say(f" {name} and the {helper} {REACHABLE[thing]}.")
    t.pick(
        (
            " They were friends from that day on.",
            f" {name} had never been so happy.",
            f' "Even small ones need tall friends," laughed the {helper}.',
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
    noun = _noun(dish)
    t.say(f" for {his} ")
    guest = t.pick(FAMILY)
    t.say(".")
    t.pick((f" But {he} had ", f" But {he} could find "))
    missing = _noun(t.pick(DISHES[dish]))
    t.say(f", so {name} went to ask a")
    helper = _helper(t)
    t.say(f'. "I have {missing}," said the {helper}, "but first help me ')
    chore = t.pick(tuple(CHORES))
    t.say(f'." {name} {CHORES[chore]} ')
    t.pick(("with a smile", "very well", "until noon", "without a word"))
    t.say(f" and got the {missing}. Soon {name} had the {noun} in the oven, and it smelled ")
    t.pick(("sweet", "wonderful", "good"))
    t.say(f". {hero.His} {guest} took a bite and ")
    t.pick(
        (
            f'said, "You are a good cook, {name}."',
            f'said, "Thank you, {name}, I love it."',
            f"gave {name} a kiss.",
            f"asked {name} for more.",
        )
    )
    t.pick((f" {name} saved the last piece for the {helper}.", f" {name} felt very proud of the {noun}."))


FEARS = {
    "the dark": (" One night, the lamp went out,", "slept until morning"),
    "thunder": (" One evening, a storm came over the hills,", "listened until the storm went away"),
    "deep water": (" One hot day, all the others went to swim,", "swam to the other side of the pond"),
    "the tall bridge": (" One day, the way to market led over the bridge,", "walked over the bridge step by step"),
    "the noisy train": (" One morning, everyone went to the station,", "rode the train and waved at the cows"),
    "the big slide": (" One afternoon, everyone was at the park,", "went down the slide with a happy shout"),
}
CHARMS = ("little lantern", "soft blanket", "smooth stone", "wooden whistle", "lucky coin")
ADVICE = {
    "count to ten": "counted to ten",
    "sing a song": "sang a song",
    "take a deep breath": "took a deep breath",
    "think of a happy day": "thought of a happy day",
}


def _fear(t: Teller, hero: Hero) -> None:
    name, he, him, his = hero
    fear = t.pick(tuple(FEARS))
    scene, deed = FEARS[fear]
    t.say(f".{scene} and {name} ")
    t.pick(("wanted to hide", "began to shake", "wanted to run away", "closed both eyes"))
    t.say(f". {hero.His} ")
    elder = t.pick(FAMILY)
    t.say(f" gave {him} a ")
    charm = t.pick(CHARMS)
    noun = _noun(charm)
    t.pick((f'. "Hold the {noun} and ', f'. "This {noun} will help you. Just '))
    advice = t.pick(tuple(ADVICE))
    t.say(f'," said {his} {elder}. {name} held the {noun} tight and {ADVICE[advice]}.')
    t.say(f" Then {he} {deed}.")
    t.pick((f' "I did it!" shouted {name}.', f' "I am brave now," said {name}.', f" {name} was not afraid any more."))
    t.pick(
        (
            f" {hero.He} still has the {noun}.",
            f" The next day, {name} gave the {noun} to a friend.",
            f" {hero.His} {elder} was very proud.",
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
    name, he, _, _ = hero
    t.pick(WHENS)
    t.say(f" {name} found a ")
    creature = _noun(t.pick(CREATURES))
    t.pick((" under a bush", " beside the road", " near the well", " in the wet grass", " behind the barn"))
    t.pick((". It was very ", ". It was all alone and "))
    need = t.pick(tuple(CARE))
    t.say(f'. "Do not cry, little {creature}," said {name}. {hero.He} {CARE[need]} and ')
    t.pick(("stayed all night.", "took it home.", "kept it safe."))
    t.pick((f" By morning, the {creature} felt ", f" The next day, the {creature} was "))
    t.pick(("much better", "strong again", "well and happy"))
    t.say(f". A week later, {name} found a ")
    gift = _noun(t.pick(("shiny shell", "white feather", "round pebble", "pink flower", "four-leaf clover")))
    t.pick((" by the door.", " on the window.", " on the step."))
    t.say(f" It was a gift from the {creature}.")
    t.pick(
        (
            f" {name} kept the {gift} in a special box.",
            f" {name} smiled each time {he} looked at the {gift}.",
            f" {name} showed the {gift} to everyone.",
        )
    )


PATIENCE = {
    "wait for the sun": "waited for the sun",
    "sing to it": "sang to the seed every night",
    "give it time": "waited and waited",
    "talk to it": "talked to the seed each day",
}


def _seed(t: Teller, hero: Hero) -> None:
    name, _, _, his = hero
    giver = t.pick(FAMILY)
    t.say(f". {hero.He} put the seed in ")
    t.pick(("a clay pot", "the garden", "an old boot", "a wooden box", "the soft ground"))
    t.say(" and watered it ")
    t.pick(("every morning", "every night", "twice a day"))
    t.pick((f". But nothing grew, and {name} was sad.", f". Nothing came up, and {name} was worried."))
    t.say(" A")
    helper = _helper(t)
    t.pick((' said, "A seed needs love. ', ' came and said, "Be patient. '))
    t.say("You must ")
    advice = t.pick(tuple(PATIENCE))
    t.say(f'." So {name} {PATIENCE[advice]}.')
    t.pick((" After many days,", " At the end of spring,", " When the rain was over,", " One bright morning,"))
    t.say(" there stood a ")
    plant = t.pick(
        ("red rose", "purple tulip", "huge pumpkin", "yellow sunflower", "tall bean plant", "tiny apple tree")
    )
    noun = _noun(plant)
    t.pick((f'. "Look!" cried {name}.', f". {name} could not believe it.", f". {name} jumped for joy."))
    t.say(f" It was the finest {noun} in the ")
    t.pick(("village", "valley", "whole land"))
    t.pick(
        (
            f", and {name} showed it to {his} {giver}.",
            f", and {name} danced around it with the {helper}.",
            f'. "I only had to wait," said {name}.',
        )
    )


def _sharing(t: Teller, hero: Hero) -> None:
    name, he, _, his = hero
    color = t.pick(COLORS)
    t.say(" ")
    toy = t.pick(TOYS)
    t.pick((f" for {his} birthday.", " and played with it all day.", f" that {he} liked very much."))
    t.say(" A little ")
    friend = t.pick(("squirrel", "lamb", "hedgehog", "pony", "goat", "piglet"))
    t.pick((' asked, "May I play too?"', ' asked, "Can I have a turn?"', ' asked, "Will you share it?"'))
    t.pick((f' "No, the {toy} is mine," said {name}.', f' "No," said {name}, and held the {toy} tight.'))
    t.say(f" The {friend} ")
    t.pick(("walked away slowly.", "went home alone.", "sat under a tree and cried.", "looked at the ground."))
    t.pick((f" {name} played on, but it was no fun at all.", f" Now {name} was alone, and the day felt long."))
    t.say(f" Then {name} brought the {color} {toy} to the {friend}. ")
    t.pick(('"I am sorry,"', '"Now it is your turn,"', '"Let us play together,"'))
    t.say(f" said {name}. The {friend} ")
    t.pick(("laughed", "jumped for joy", "smiled again"))
    t.say(", and they played until ")
    t.pick(("the sun went down.", "the stars came out.", "supper was ready."))
    t.pick((f" Sharing the {toy} was the best game of all.", f" {name} never forgot that day."))


OBSTACLES = {
    "a wide river": "showed {him} a path of flat stones",
    "a steep hill": "showed {him} an easy way around it",
    "a dark tunnel": "lit the way with a lantern",
    "a thick hedge": "found a hole to crawl through",
    "a muddy field": "put some boards over the mud",
}


def _journey(t: Teller, hero: Hero) -> None:
    name, he, him, _ = hero
    elder = t.pick(FAMILY)
    t.say(" with a basket of ")
    goods = t.pick(("apples", "cookies", "fresh bread", "cherries", "warm rolls", "wild berries"))
    t.pick((f". Soon {he} came to ", f". Halfway there, {he} came to "))
    obstacle = t.pick(tuple(OBSTACLES))
    t.pick((f'. "How can I go on?" said {name}.', f'. "Oh no, I cannot pass," said {name}.'))
    t.say(" A")
    helper = _helper(t)
    t.pick((" heard this", " was resting there", " felt sorry"))
    t.say(f" and {OBSTACLES[obstacle].format(him=him)}.")
    t.pick(
        (
            f' {name} said, "Thank you! Please take some {_noun(goods)}."',
            f" {name} thanked the {helper} and gave it some {_noun(goods)}.",
        )
    )
    t.say(f" Then {name} walked on, ")
    t.pick(("singing", "whistling", "humming"))
    t.pick((" all the way.", " a merry tune."))
    t.say(f" {hero.His} {elder} was ")
    t.pick(("waiting at the gate.", "sitting in the garden.", "looking out of the window."))
    t.pick((f" They ate the {_noun(goods)}, and {name} told", f" While they ate the {_noun(goods)}, {name} told"))
    t.say(f" about the kind {helper}.")


BUILDS = {
    "boat": "sailed the boat across the lake",
    "treehouse": "sat in the treehouse and watched the stars",
    "sled": "raced the sled down the snowy hill",
    "raft": "floated the raft down the river",
    "swing": "took turns on the swing until bedtime",
    "windmill": "watched the windmill turn in the breeze",
}


def _building(t: Teller, hero: Hero) -> None:
    name, _, _, _ = hero
    thing = t.pick(tuple(BUILDS))
    t.say(f". {hero.He} worked all ")
    t.pick(("day", "week", "summer"))
    t.say(" with ")
    t.pick(("old boards", "sticks and string", "wood and nails"))
    t.pick((", but a strong wind blew it down.", ", but in the rain it fell apart.", ", but it broke in two."))
    t.pick((f' "I will never finish," said {name}.', f' "I give up," said {name} with a sigh.'))
    t.say(" Then a")
    helper = _helper(t)
    t.pick((" came to see. ", " came over the hill. "))
    t.say(f'"You can do it, {name}," said the {helper}, and brought ')
    t.pick(("strong rope", "a big hammer", "good wood", "long nails", "thick glue"))
    t.pick((". By evening", ". At the end of the week", ". Soon"))
    t.pick((" it was ready.", " it was finished.", " it stood as good as new."))
    t.say(f" {name} and the {helper} {BUILDS[thing]}.")
    t.pick(
        (
            f' "Two can do more than one," said {name}.',
            f" {name} painted the name of the {helper} on the {thing}.",
            f" It was the best {thing} that {name} had ever seen.",
        )
    )


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
