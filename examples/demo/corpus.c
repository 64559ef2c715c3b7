/* Writes the text that the demo trains on: small stories, dialogues, sums and encyclopaedia entries
 * about a valley that does not exist. Everything is drawn from the tables and templates below by a
 * seeded generator, so every machine writes the same bytes.
 *
 * The text is consistent, so that a model can learn more than spelling: sums add up, pronouns fit
 * names, days follow one another, and a town is on the same river in every story.
 *
 *     corpus BYTES > text.txt
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#define COUNT(table) ((int)(sizeof(table) / sizeof(table)[0]))
#define PICK(table) (table)[below(COUNT(table))]

static uint64_t state = 20260101;
static long written;

/* SplitMix64. */
static uint64_t next_random(void) {
  uint64_t z = state += 0x9e3779b97f4a7c15u;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}

static int below(int n) { return (int)(next_random() % (uint64_t)n); }
static int between(int low, int high) { return low + below(high - low + 1); }

#define SAY(...) (written += printf(__VA_ARGS__))

typedef struct {
  const char *name, *he, *him, *his, *He, *His;
} Person;

#define GIRL(name)                                                                                 \
  { name, "she", "her", "her", "She", "Her" }
#define BOY(name)                                                                                  \
  { name, "he", "him", "his", "He", "His" }
static const Person people[] = {
    GIRL("Anna"),  GIRL("Mira"),   GIRL("Ella"),  GIRL("Rosa"),  GIRL("Lucy"), GIRL("Nora"),
    GIRL("Ida"),   GIRL("Greta"),  GIRL("Clara"), GIRL("Hanna"), GIRL("Vera"), GIRL("Judith"),
    GIRL("Marta"), GIRL("Sophie"), GIRL("Lena"),  GIRL("Agnes"), BOY("Tom"),   BOY("Ben"),
    BOY("Oscar"),  BOY("Felix"),   BOY("Hugo"),   BOY("Jonas"),  BOY("Paul"),  BOY("Emil"),
    BOY("Karl"),   BOY("Simon"),   BOY("Robin"),  BOY("Victor"), BOY("Leo"),   BOY("Martin"),
    BOY("Otto"),   BOY("David")};

typedef struct {
  const char *one, *many;
} Noun;
static const Noun fruits[] = {{"apple", "apples"},    {"pear", "pears"},   {"plum", "plums"},
                              {"cherry", "cherries"}, {"nut", "nuts"},     {"fig", "figs"},
                              {"peach", "peaches"},   {"berry", "berries"}};
static const Noun toys[] = {{"kite", "kites"},       {"ball", "balls"},    {"marble", "marbles"},
                            {"whistle", "whistles"}, {"drum", "drums"},    {"top", "tops"},
                            {"boat", "boats"},       {"button", "buttons"}};
static const Noun goods[] = {{"loaf of bread", "loaves of bread"}, {"candle", "candles"},
                             {"jug of milk", "jugs of milk"},      {"basket", "baskets"},
                             {"jar of honey", "jars of honey"},    {"woollen hat", "woollen hats"},
                             {"piece of soap", "pieces of soap"},  {"clay cup", "clay cups"}};

typedef struct {
  const char *name, *river, *trade, *maker, *famous;
  int people, hours;
} Town;
static const Town towns[] = {
    {"Aldmoor", "Ree", "paper", "paper makers", "its old stone bridge", 4200, 3},
    {"Brenwick", "Ree", "wool", "weavers", "the autumn market", 1900, 5},
    {"Callow", "Ree", "salt", "salt boilers", "a tower without a door", 800, 8},
    {"Dunmere", "Sarn", "boats", "boat builders", "the long wooden pier", 3600, 2},
    {"Elkstead", "Sarn", "cheese", "dairy farmers", "a clock with one hand", 1200, 6},
    {"Farrow", "Sarn", "bricks", "brick makers", "its red roofs", 2700, 4},
    {"Gillhaven", "Ottel", "glass", "glass blowers", "the blue window of its church", 5100, 7},
    {"Harsk", "Ottel", "copper", "miners", "a tunnel through the hill", 1500, 9},
    {"Ivory Hill", "Ottel", "bells", "bell founders", "the great bell called Marta", 2200, 10}};

typedef struct {
  const char *name, *many, *kind, *eats, *lives, *trait, *young;
} Animal;
static const Animal animals[] = {
    {"hare", "hares", "mammal", "grass and clover", "in open fields", "long ears", "leverets"},
    {"owl", "owls", "bird", "mice", "in old barns", "eyes that see in the dark", "owlets"},
    {"otter", "otters", "mammal", "fish", "by clear rivers", "thick brown fur", "pups"},
    {"heron", "herons", "bird", "frogs and fish", "in the reeds", "long thin legs", "chicks"},
    {"badger", "badgers", "mammal", "roots and worms", "under the hills", "a striped face", "cubs"},
    {"newt", "newts", "amphibian", "small insects", "in quiet ponds", "a flat tail", "larvae"},
    {"fox", "foxes", "mammal", "mice and berries", "at the edge of the wood", "a red coat", "cubs"},
    {"swan", "swans", "bird", "water plants", "on the lake", "a long white neck", "cygnets"},
    {"adder", "adders", "reptile", "mice and lizards", "on warm stones", "a dark zigzag line",
     "snakelets"}};

typedef struct {
  const char *weather, *takes, *happens, *so;
} Weather;
static const Weather weathers[] = {
    {"It was raining", "an umbrella", "the path turned to mud", "boots were heavy and wet"},
    {"Snow had fallen all night", "a warm scarf", "the road was white", "fingers were cold"},
    {"The sun was hot", "a straw hat", "the stream was almost dry", "face was red"},
    {"A strong wind was blowing", "a thick coat", "leaves flew over the wall", "hair was a mess"},
    {"There was fog in the valley", "a lamp", "nobody could see the bridge", "steps were slow"},
    {"The night was clear and full of stars", "a loaf of bread", "the way was long",
     "legs were tired"},
    {"The river had risen in the night", "a long stick", "the ford was deep",
     "shoes were full of water"},
    {"Thunder rolled behind the hills", "a thick cloak", "the first drops fell",
     "heart beat fast"}};

static const char *const days[] = {"Monday", "Tuesday",  "Wednesday", "Thursday",
                                   "Friday", "Saturday", "Sunday"};
static const char *const numbers[] = {
    "zero",     "one",     "two",     "three",     "four",     "five",     "six",
    "seven",    "eight",   "nine",    "ten",       "eleven",   "twelve",   "thirteen",
    "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen", "twenty"};
static const char *const places[] = {
    "under the bed",   "behind the stove",  "on the roof",
    "in the barn",     "by the well",       "in the garden",
    "at the mill",     "near the old oak",  "on the kitchen table",
    "in the cellar",   "behind the church", "under the bridge",
    "beside the gate", "in the tall grass", "at the edge of the wood",
    "on the stairs",   "in the boat house", "at the crossroads"};
static const char *const things[] = {
    "silver key",   "red scarf",         "blue book",     "little knife",
    "wooden horse", "brass lamp",        "green bottle",  "leather bag",
    "straw hat",    "copper ring",       "white feather", "painted cup",
    "grey coat",    "map of the valley", "box of chalk",  "tin whistle"};
static const char *const feelings[] = {"happy",   "proud", "tired",  "surprised",  "calm",
                                       "pleased", "glad",  "hungry", "warm again", "full of hope"};
static const char *const jobs[] = {"baker",    "miller", "teacher",  "smith",
                                   "gardener", "doctor", "shepherd", "carpenter",
                                   "potter",   "tailor", "fisher",   "beekeeper"};
static const char *const openings[] = {"One morning",
                                       "One day",
                                       "Early in spring",
                                       "Late one evening",
                                       "On a quiet afternoon",
                                       "Before breakfast",
                                       "In the middle of winter",
                                       "After the harvest",
                                       "When the bells rang",
                                       "On the first day of May",
                                       "A week later",
                                       "Soon after sunrise"};

static const Person *other_than(const Person *person) {
  const Person *other = &PICK(people);
  while (other == person) other = &PICK(people);
  return other;
}

static const char *plural(const Noun *noun, int count) {
  return count == 1 ? noun->one : noun->many;
}

static char upper(const char *word) { return (char)(word[0] - 'a' + 'A'); }

static const char *article(const char *word) {
  switch (word[0]) {
  case 'a':
  case 'e':
  case 'i':
  case 'o':
  case 'u':
    return "an";
  default:
    return "a";
  }
}

static void ending(const Person *a, const Person *b) {
  switch (below(8)) {
  case 0:
    SAY("%s was %s, and so was %s.", a->name, PICK(feelings), b->name);
    break;
  case 1:
    SAY("That night %s told %s mother all about it.", a->name, a->his);
    break;
  case 2:
    SAY("\"Thank you,\" said %s, and %s smiled.", a->name, b->name);
    break;
  case 3:
    SAY("After that, %s and %s were friends.", a->name, b->name);
    break;
  case 4:
    SAY("%s never forgot what %s had done.", a->name, b->name);
    break;
  case 5:
    SAY("\"Come again tomorrow,\" said %s to %s.", b->name, a->him);
    break;
  case 6:
    SAY("%s gave %s a warm smile.", a->name, b->name);
    break;
  default:
    SAY("Then they both went home for supper.");
    break;
  }
}

static void sharing(void) {
  const Person *a = &PICK(people), *b = other_than(a);
  const Noun *thing = below(2) ? &PICK(fruits) : &PICK(toys);
  int have = between(3, 20), give = between(1, have - 1);
  SAY("%s, %s %s %s %s. ", PICK(openings), a->name,
      below(2)   ? "had"
      : below(2) ? "found"
                 : "was given",
      numbers[have], thing->many);
  SAY(below(2) ? "%s met %s %s. " : "%s saw %s sitting %s. ", a->He, b->name, PICK(places));
  SAY(below(2) ? "%s had none, so %s gave %s %s %s. " : "%s was sad, and so %s gave %s %s %s. ",
      b->name, a->name, b->him, numbers[give], plural(thing, give));
  if (below(2)) {
    SAY("Now %s had %s %s and %s had %s. ", a->name, numbers[have - give],
        plural(thing, have - give), b->name, numbers[give]);
  } else {
    SAY("%c%s take away %s is %s, so %s kept %s. ", upper(numbers[have]), numbers[have] + 1,
        numbers[give], numbers[have - give], a->name, numbers[have - give]);
  }
  ending(b, a);
}

static void market(void) {
  const Person *a = &PICK(people);
  const Town *town = &PICK(towns);
  const Noun *thing = &PICK(goods);
  int count = between(2, 9), price = between(2, 9), cost = count * price;
  int paid = (cost / 10 + 1) * 10;
  SAY(below(2) ? "%s went to the market in %s, where the %s live. "
               : "On market day %s walked to %s to see the %s. ",
      a->name, town->name, town->maker);
  SAY(below(2) ? "One %s cost %d coins, and %s wanted %s of them. "
               : "The price of one %s was %d coins, but %s needed %s. ",
      thing->one, price, a->he, numbers[count]);
  SAY("%d times %d is %d, so %s gave the seller %d coins and got %d back. ", count, price, cost,
      a->name, paid, paid - cost);
  SAY(below(2) ? "%s carried the %s home along the river %s."
               : "%s put the %s into a boat on the river %s.",
      a->He, thing->many, town->river);
}

static void lost(void) {
  const Person *a = &PICK(people), *b = other_than(a);
  const char *thing = PICK(things), *right = PICK(places), *wrong = PICK(places);
  while (wrong == right) wrong = PICK(places);
  SAY(below(2) ? "%s could not find %s %s. " : "%s had lost %s %s again. ", a->name, a->his, thing);
  SAY(below(2) ? "%s looked %s, but it was not there. " : "%s searched %s and found nothing. ",
      a->He, wrong);
  SAY(below(2) ? "\"Have you seen my %s?\" %s asked %s. " : "\"Where is my %s?\" %s said to %s. ",
      thing, a->he, b->name);
  SAY(below(2) ? "\"Yes,\" said %s, \"it is %s.\" " : "%s thought for a while. \"I saw it %s.\" ",
      b->name, right);
  SAY(below(2) ? "%s ran to look, and there was the %s, %s. "
               : "So %s went and took the %s, which had been %s all day. ",
      a->name, thing, right);
  ending(a, b);
}

static void journey(void) {
  const Person *a = &PICK(people);
  const Weather *weather = &PICK(weathers);
  const Town *town = &PICK(towns);
  SAY(below(2) ? "%s when %s set out for %s. " : "%s, but %s had to go to %s. ", weather->weather,
      a->name, town->name);
  SAY("%s took %s, because %s. ", a->He, weather->takes, weather->happens);
  SAY(below(2) ? "The way took %s hours. " : "It is a walk of %s hours. ", numbers[town->hours]);
  SAY("When %s came to the river %s, %s %s. ", a->he, town->river, a->his, weather->so);
  switch (below(3)) {
  case 0:
    SAY("But %s saw %s and was %s.", a->he, town->famous, PICK(feelings));
    break;
  case 1:
    SAY("At last %s stood before %s.", a->he, town->famous);
    break;
  default:
    SAY("In %s the %s gave %s soup and a bed.", town->name, town->maker, a->him);
    break;
  }
}

static void town_entry(void) {
  const Town *town = &PICK(towns), *other = &PICK(towns);
  SAY(below(2) ? "%s is a town on the river %s. " : "The town of %s lies on the river %s. ",
      town->name, town->river);
  SAY(below(2) ? "About %d people live there, and many of them are %s. "
               : "Of its %d people, most are %s. ",
      town->people, town->maker);
  SAY("%s is known for its %s and for %s. ", town->name, town->trade, town->famous);
  if (other == town) {
    SAY("It is %s hours on foot from the lake.", numbers[town->hours]);
  } else if (other->river == town->river) {
    SAY("%s lies on the same river.", other->name);
  } else {
    SAY("%s is %s than %s, which lies on the river %s.", town->name,
        town->people > other->people ? "larger" : "smaller", other->name, other->river);
  }
}

static void animal_entry(void) {
  const Animal *animal = &PICK(animals), *other = &PICK(animals);
  SAY("The %s is %s %s. ", animal->name, article(animal->kind), animal->kind);
  SAY("%c%s live %s and eat %s. ", upper(animal->many), animal->many + 1, animal->lives,
      animal->eats);
  switch (below(4)) {
  case 0:
    SAY("People know the %s by %s. ", animal->name, animal->trait);
    break;
  case 1:
    SAY("What you notice first is %s. ", animal->trait);
    break;
  case 2:
    SAY("The %s is %s %s. ", other->name, article(other->kind), other->kind);
    break;
  default:
    break;
  }
  SAY("The young of the %s are called %s.", animal->name, animal->young);
}

static void calendar(void) {
  const Person *a = &PICK(people);
  const Noun *fruit = &PICK(fruits);
  int day = below(7), later = between(2, 6), each = between(2, 9);
  SAY(below(2) ? "On %s %s began to pick %s. " : "It was %s when %s went to gather %s. ", days[day],
      a->name, fruit->many);
  SAY("%s picked %s every day. ", a->He, numbers[each]);
  if (below(2)) {
    SAY("The day after %s is %s, and by then %s had %s. ", days[day], days[(day + 1) % 7], a->he,
        numbers[2 * each]);
  } else {
    SAY("After %s came %s, and the basket held %s. ", days[day], days[(day + 1) % 7],
        numbers[2 * each]);
  }
  SAY("The work began on %s, and %s days later, on %s, it was done.", days[day], numbers[later],
      days[(day + later) % 7]);
}

static void dialogue(void) {
  const Person *a = &PICK(people), *b = other_than(a);
  const Animal *animal = &PICK(animals);
  const Town *town = &PICK(towns);
  int x = between(1, 10), y = between(1, 10);
  switch (below(4)) {
  case 0:
    SAY("\"What does the %s eat?\" asked %s. ", animal->name, a->name);
    SAY("\"It eats %s,\" said %s. ", animal->eats, b->name);
    SAY("\"And where does it live?\" \"It lives %s.\"", animal->lives);
    break;
  case 1:
    SAY("\"Where is %s?\" asked %s. ", town->name, a->name);
    SAY("\"It is on the river %s,\" said %s. ", town->river, b->name);
    SAY("\"They make %s there, and it takes %s hours to walk.\"", town->trade,
        numbers[town->hours]);
    break;
  case 2:
    SAY("\"I want to see %s,\" said %s. ", town->famous, a->name);
    SAY("\"Then you must go to %s,\" said %s, \"and ask the %s.\"", town->name, b->name,
        town->maker);
    break;
  default:
    SAY("\"What is %s and %s?\" the teacher asked %s. ", numbers[x], numbers[y], a->name);
    SAY("\"It is %s,\" said %s. ", numbers[x + y], a->name);
    SAY("\"Good,\" said the teacher, and %s was %s.", a->he, PICK(feelings));
    break;
  }
}

static void work(void) {
  const Person *a = &PICK(people), *b = other_than(a);
  const char *job = PICK(jobs), *fruit = PICK(fruits).one;
  int first = between(2, 10), second = between(2, 10);
  const Noun *thing = &PICK(goods);
  SAY("%s was %s %s in %s. ", a->name, article(job), job, PICK(towns).name);
  SAY(below(2) ? "In the morning %s sold %s %s, and in the afternoon %s more. "
               : "Before noon %s had %s %s, and by evening there were %s more. ",
      a->he, numbers[first], thing->many, numbers[second]);
  SAY("That makes %s in one day. ", numbers[first + second]);
  SAY("When %s came to help, %s gave %s %s %s.", b->name, a->name, b->him, article(fruit), fruit);
}

static void comparison(void) {
  const Person *a = &PICK(people), *b = other_than(a);
  const Noun *toy = &PICK(toys);
  int x = between(1, 12), y = between(1, 12);
  SAY("%s has %s %s and %s has %s. ", a->name, numbers[x], plural(toy, x), b->name, numbers[y]);
  if (x == y) {
    SAY("They have the same number. ");
  } else {
    SAY("%s has %s more than %s. ", x > y ? a->name : b->name, numbers[x > y ? x - y : y - x],
        x > y ? b->name : a->name);
  }
  SAY("%s, they lost one each %s, and then %s had %s and %s had %s.", PICK(openings), PICK(places),
      a->name, numbers[x - 1], b->name, numbers[y - 1]);
}

static void visitor(void) {
  const Person *a = &PICK(people);
  const Animal *animal = &PICK(animals);
  SAY(below(2) ? "%s, %s heard a noise %s. " : "%s, %s saw that something moved %s. ",
      PICK(openings), a->name, PICK(places));
  SAY("It was %s %s with %s. ", article(animal->name), animal->name, animal->trait);
  SAY(below(2) ? "%s did not move, because %s are shy. "
               : "%s knew that %s run when they are afraid. ",
      a->He, animal->many);
  SAY("%s put down some food, for they eat %s. ", a->name, animal->eats);
  SAY(below(2) ? "In the morning the food was gone, and so was the %s."
               : "Every night from then on the %s came back.",
      animal->name);
}

int main(int argc, char **argv) {
  static void (*const texts[])(void) = {sharing,    market,       lost,     journey,
                                        town_entry, animal_entry, calendar, dialogue,
                                        work,       comparison,   visitor};
  long wanted = argc > 1 ? strtol(argv[1], NULL, 10) : 0;
  if (wanted <= 0) {
    fprintf(stderr, "usage: corpus BYTES\n");
    return 2;
  }
  while (written < wanted) {
    PICK(texts)();
    SAY("\n\n");
  }
  return fflush(stdout) == 0 ? 0 : 1;
}
