//! Texts of 20–60 words, theme by theme, and titles that say nothing.

use rand::RngExt;
use rand::seq::IndexedRandom;

use super::SeedStream;

/// Share of theme words; the others are [`COMMON`].
const THEME_WORDS: f64 = 0.45;

/// The hand-written vocabularies: a theme's name and its words. No word is in two of them.
#[rustfmt::skip]
const THEMES: [(&str, [&str; 30]); 16] = [
    ("sea", [
        "harbour", "tide", "sail", "coral", "gull", "anchor", "wave", "reef", "salt", "lagoon",
        "dolphin", "mast", "shore", "lighthouse", "whale", "oyster", "ferry", "island", "surf",
        "pearl", "captain", "kelp", "dock", "schooner", "cliff", "buoy", "net", "foam", "pier",
        "current",
    ]),
    ("forest", [
        "moss", "fern", "oak", "owl", "mushroom", "clearing", "bark", "deer", "acorn", "path",
        "birch", "root", "fox", "canopy", "leaf", "badger", "pine", "thicket", "squirrel", "log",
        "brook", "hedge", "woodpecker", "ivy", "bramble", "twig", "glade", "hollow", "beech",
        "shade",
    ]),
    ("city", [
        "tram", "avenue", "neon", "subway", "crowd", "rooftop", "traffic", "plaza", "tower",
        "taxi", "corner", "billboard", "elevator", "apartment", "bridge", "café", "pavement",
        "skyline", "market", "bus", "museum", "courtyard", "lamp", "station", "boulevard",
        "office", "square", "district", "balcony", "kiosk",
    ]),
    ("space", [
        "orbit", "comet", "rocket", "nebula", "crater", "galaxy", "probe", "astronaut", "moon",
        "satellite", "telescope", "gravity", "meteor", "saturn", "capsule", "launch", "vacuum",
        "starlight", "module", "eclipse", "pulsar", "cosmos", "lander", "antenna", "asteroid",
        "horizon", "quasar", "thruster", "planet", "airlock",
    ]),
    ("kitchen", [
        "simmer", "garlic", "oven", "butter", "spoon", "dough", "pepper", "kettle", "recipe",
        "onion", "whisk", "flour", "basil", "saucepan", "honey", "bread", "ladle", "cinnamon",
        "soup", "lemon", "apron", "pastry", "vinegar", "roast", "cheese", "tomato", "sugar",
        "plate", "ginger", "crust",
    ]),
    ("desert", [
        "dune", "camel", "oasis", "cactus", "mirage", "sand", "caravan", "scorpion", "canyon",
        "lizard", "drought", "nomad", "mesa", "dust", "palm", "vulture", "sandstone", "heat",
        "well", "gorge", "thornbush", "turban", "sunburn", "ridge", "agave", "plateau", "jackal",
        "adobe", "date", "tent",
    ]),
    ("winter", [
        "snow", "frost", "icicle", "sledge", "mitten", "blizzard", "glacier", "skate", "scarf",
        "ember", "flake", "igloo", "penguin", "ski", "fireplace", "polar", "thaw", "reindeer",
        "wool", "avalanche", "chimney", "drift", "parka", "sleet", "lantern", "hail", "husky",
        "frozen", "boots", "aurora",
    ]),
    ("workshop", [
        "hammer", "lathe", "gear", "rivet", "anvil", "solder", "wrench", "sawdust", "bolt",
        "chisel", "forge", "piston", "drill", "blueprint", "copper", "pulley", "clamp", "welder",
        "spring", "varnish", "engine", "bench", "socket", "valve", "screw", "lever", "plank",
        "magnet", "brass", "toolbox",
    ]),
    ("garden", [
        "tulip", "trowel", "compost", "rose", "bee", "lawn", "orchard", "seedling", "petal",
        "wheelbarrow", "lavender", "fence", "hosepipe", "pumpkin", "greenhouse", "weed", "daisy",
        "spade", "blossom", "ladybird", "trellis", "carrot", "snail", "pollen", "mulch", "peony",
        "rake", "sunflower", "hive", "butterfly",
    ]),
    ("music", [
        "violin", "drum", "chorus", "melody", "piano", "rhythm", "cello", "encore", "flute",
        "concert", "guitar", "tempo", "opera", "ballad", "trumpet", "choir", "harp", "waltz",
        "chord", "duet", "orchestra", "tune", "saxophone", "refrain", "octave", "sonata", "banjo",
        "bassoon", "singer", "vinyl",
    ]),
    ("sport", [
        "goalkeeper", "sprint", "racket", "medal", "referee", "marathon", "stadium", "hurdle",
        "coach", "penalty", "tennis", "league", "javelin", "champion", "whistle", "jersey",
        "boxing", "cyclist", "relay", "trophy", "gymnast", "dribble", "podium", "scoreboard",
        "rugby", "fencing", "sweat", "tackle", "pitcher", "archery",
    ]),
    ("castle", [
        "knight", "moat", "banner", "throne", "sword", "dungeon", "squire", "armour", "drawbridge",
        "crown", "jester", "siege", "shield", "turret", "queen", "tapestry", "dragon", "herald",
        "battlement", "goblet", "lance", "duke", "catapult", "feast", "courtier", "realm",
        "portcullis", "archer", "scroll", "wizard",
    ]),
    ("school", [
        "pencil", "chalk", "homework", "teacher", "ruler", "classroom", "algebra", "notebook",
        "blackboard", "lesson", "exam", "library", "grammar", "pupil", "eraser", "globe",
        "dictionary", "satchel", "recess", "essay", "geometry", "diploma", "crayon", "alphabet",
        "headmaster", "quiz", "textbook", "playground", "semester", "spelling",
    ]),
    ("farm", [
        "barn", "tractor", "haystack", "cow", "rooster", "plough", "wheat", "shepherd", "piglet",
        "hen", "scarecrow", "silo", "goat", "milk", "harvest", "stable", "duck", "meadow",
        "barley", "donkey", "fleece", "pasture", "corn", "trough", "goose", "saddle", "lamb",
        "pitchfork", "furrow", "churn",
    ]),
    ("hospital", [
        "nurse", "surgeon", "bandage", "ward", "syringe", "ambulance", "fever", "stretcher",
        "clinic", "pulse", "vaccine", "doctor", "stethoscope", "pill", "crutch", "patient",
        "surgery", "pharmacy", "cough", "thermometer", "plaster", "wheelchair", "diagnosis",
        "ointment", "therapy", "midwife", "splint", "cure", "allergy", "tablet",
    ]),
    ("theatre", [
        "stage", "curtain", "actor", "costume", "rehearsal", "spotlight", "script", "applause",
        "puppet", "mask", "comedy", "balustrade", "tragedy", "playwright", "audience", "makeup",
        "monologue", "prop", "usher", "premiere", "director", "wig", "dialogue", "backdrop",
        "ticket", "understudy", "farce", "prompter", "scenery", "intermission",
    ]),
];

/// Words that belong to no theme.
#[rustfmt::skip]
const COMMON: [&str; 48] = [
    "the", "a", "one", "some", "of", "and", "with", "near", "under", "over", "between", "before",
    "after", "slowly", "again", "always", "never", "once", "there", "here", "people", "someone",
    "story", "morning", "evening", "friend", "little", "great", "old", "young", "quiet", "long",
    "waits", "finds", "turns", "keeps", "sees", "moves", "begins", "ends", "almost", "about",
    "toward", "beside", "while", "until", "because", "still",
];

/// Second words of titles: trees.
#[rustfmt::skip]
const TREES: [&str; 24] = [
    "Alder", "Ash", "Aspen", "Cedar", "Cherry", "Cypress", "Elder", "Elm", "Hazel", "Hornbeam",
    "Juniper", "Larch", "Laurel", "Linden", "Maple", "Medlar", "Mulberry", "Olive", "Poplar",
    "Quince", "Rowan", "Sycamore", "Willow", "Yew",
];

/// Syllables of the words of themes beyond the hand-written ones.
const SYLLABLES: [&str; 16] = [
    "ba", "ce", "di", "fo", "gu", "ha", "je", "ki", "lo", "mu", "na", "pe", "ri", "so", "tu", "va",
];

/// The name of a theme: `sea`, `forest` …, then `theme16`, `theme17` ….
pub(super) fn theme_name(theme: usize) -> String {
    THEMES.get(theme).map_or_else(|| format!("theme{theme}"), |(name, _)| (*name).to_owned())
}

/// Word `n` (0 to 29) of a theme. Beyond the hand-written themes words are made of three
/// syllables that spell the number, so that no two are equal.
fn theme_word(theme: usize, n: usize) -> String {
    if let Some((_, words)) = THEMES.get(theme) {
        return words[n].to_owned();
    }
    let code = theme * 30 + n;
    [code / 256 % 16, code / 16 % 16, code % 16].map(|digit| SYLLABLES[digit]).concat()
}

/// The text of `item` for its text view.
pub(super) fn render(view: &[f32], item: usize, seeds: SeedStream) -> String {
    let mut rng = seeds.rng("world/text", item as u64);
    let n_words = rng.random_range(20..=60);
    let mut text = String::new();
    let mut left_in_sentence = 0;
    for n in 0..n_words {
        let word = if rng.random_bool(THEME_WORDS) {
            let theme = draw(view, rng.random());
            theme_word(theme, rng.random_range(0..30))
        } else {
            COMMON.choose(&mut rng).copied().unwrap_or_default().to_owned()
        };
        if left_in_sentence == 0 {
            text.push_str(if n == 0 { "" } else { ". " });
            text.extend(word.chars().next().map(|c| c.to_ascii_uppercase()));
            text.extend(word.chars().skip(1));
            left_in_sentence = rng.random_range(6..=13);
        } else {
            text.push(' ');
            text.push_str(&word);
        }
        left_in_sentence -= 1;
    }
    text.push_str(".\n");
    text
}

/// The theme at `point` (0 to 1) of the mixture.
fn draw(view: &[f32], point: f32) -> usize {
    let mut reached = 0.0;
    for (theme, weight) in view.iter().enumerate() {
        reached += weight;
        if point < reached {
            return theme;
        }
    }
    view.len() - 1
}

/// Titles: a number and a tree drawn at random, so that they leak nothing.
pub(super) fn titles(n_items: usize, seeds: SeedStream) -> Vec<String> {
    let mut rng = seeds.rng("world/titles", 0);
    (0..n_items)
        .map(|item| {
            let tree = TREES.choose(&mut rng).copied().unwrap_or_default();
            format!("Item {item:04} {tree}")
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::world::MAX_THEMES;

    #[test]
    fn no_word_belongs_to_two_vocabularies() {
        let mut seen: HashSet<String> = COMMON.iter().map(|w| (*w).to_owned()).collect();
        assert_eq!(seen.len(), COMMON.len());
        for theme in 0..MAX_THEMES {
            for n in 0..30 {
                let word = theme_word(theme, n);
                assert!(seen.insert(word.clone()), "{word} of {} is taken", theme_name(theme));
            }
        }
    }

    #[test]
    fn a_pure_view_uses_the_words_of_one_theme() {
        let seeds = SeedStream::new(5);
        let mut view = vec![0.0; 8];
        view[2] = 1.0;
        let own: Vec<String> = (0..30).map(|n| theme_word(2, n)).collect();
        let text = render(&view, 9, seeds).to_lowercase().replace('.', "");
        let words: Vec<&str> = text.split_whitespace().collect();
        assert!((20..=60).contains(&words.len()), "{}", words.len());
        let themed = words.iter().filter(|w| own.iter().any(|o| o == *w)).count();
        let common = words.iter().filter(|w| COMMON.contains(w)).count();
        assert_eq!(themed + common, words.len(), "{text}");
        assert!(themed >= 5, "{text}");
    }
}
