//! Who and what a word problem speaks of, and how its sentences are filled and put together.

use crate::verbs::{Person, Tense, inflect};
use crate::{Draw, words};

/// The people and things of one problem.
#[derive(Debug, Clone)]
pub struct Scene {
    /// The main person as subject, object and owner: "Tom him his", "I me my".
    forms: [String; 3],
    pronoun: Option<&'static str>,
    person: Person,
    tense: Tense,
    mentioned: bool,
    values: Vec<(&'static str, String)>,
}

impl Scene {
    /// New people and things. `one` leaves out "I" and "we", which comparisons do not suit.
    pub fn new(draw: &mut Draw, one: bool) -> Self {
        let name = words::name(draw);
        let tense = if draw.chance(55) { Tense::Present } else { Tense::Past };
        let (person, pronoun, forms) = match if one { 0 } else { draw.below(100) } {
            0..82 => {
                let (pronoun, object, owner) =
                    draw.weighted(&[(("he", "him", "his"), 1), (("she", "her", "her"), 1)]);
                let owner = if draw.chance(50) { format!("{name}'s") } else { owner.into() };
                let object = if draw.chance(50) { name.clone() } else { object.into() };
                (Person::One, Some(pronoun), [name, object, owner])
            }
            82..91 => (Person::Me, None, ["I", "me", "my"].map(Into::into)),
            91..95 => (Person::Several, None, ["we", "us", "our"].map(Into::into)),
            _ => {
                let group =
                    draw.choose(&["children", "teachers", "boys", "girls", "farmers", "friends", "workers"]);
                (
                    Person::Several,
                    Some("they"),
                    [&format!("the {group}"), "them", "their"].map(ToString::to_string),
                )
            }
        };
        let mut scene = Self { forms, pronoun, person, tense, mentioned: false, values: Vec::new() };
        scene.set("B", words::name(draw));
        scene.set("C", words::name(draw));
        while scene.get("C") == scene.get("B")
            || scene.forms[0] == scene.get("B")
            || scene.forms[0] == scene.get("C")
        {
            scene.set("B", words::name(draw));
            scene.set("C", words::name(draw));
        }
        let object = words::object(draw);
        let mut other = words::object(draw);
        while other == object {
            other = words::object(draw);
        }
        scene.set("o", words::plural(&object));
        scene.set("o1", object);
        scene.set("q", words::plural(&other));
        scene.set("q1", other);
        scene.container(draw);
        scene.set("p", words::place(draw));
        let first = words::adjective(draw);
        let mut second = words::adjective(draw);
        while second == first {
            second = words::adjective(draw);
        }
        scene.set("x", first);
        scene.set("y", second);
        scene.set(
            "u",
            draw.choose(&["dollars", "euros", "coins", "dollars", "euros", "cents", "pounds"]).into(),
        );
        scene
    }

    /// Another container.
    pub fn container(&mut self, draw: &mut Draw) {
        let container = words::container(draw);
        self.set("c", words::plural(&container));
        self.set("c1", container);
    }

    /// What happens is told as of now.
    pub fn in_the_present(&mut self) {
        self.tense = Tense::Present;
    }

    /// Fills a slot from now on.
    pub fn set(&mut self, slot: &'static str, value: String) {
        match self.values.iter_mut().find(|(name, _)| *name == slot) {
            Some((_, old)) => *old = value,
            None => self.values.push((slot, value)),
        }
    }

    /// What fills a slot.
    pub fn get(&self, slot: &str) -> String {
        match slot {
            "A1" => self.forms[0].clone(),
            "a" => self.forms[1].clone(),
            "As" => self.forms[2].clone(),
            "is" => inflect("be", Person::One, self.tense),
            "are" => inflect("be", Person::Several, self.tense),
            "does" => inflect("do", self.person, Tense::Present),
            "has" => inflect("have", self.person, Tense::Present),
            _ => match self.values.iter().find(|(name, _)| *name == slot) {
                Some((_, value)) => value.clone(),
                None => unreachable!("nothing fills the slot {slot}"),
            },
        }
    }

    /// A wording of a group, filled.
    pub fn say(&mut self, draw: &mut Draw, group: &str) -> String {
        self.say_with_note(draw, group).0
    }

    /// The same, and the note of the wording.
    pub fn say_with_note(&mut self, draw: &mut Draw, group: &str) -> (String, &'static str) {
        let template = draw.template(group);
        // Whether a later mention is by pronoun is drawn once a wording.
        let by_pronoun = draw.chance(45);
        let text = template.render(draw, &mut |slot, verb| {
            if verb {
                return self.verb(slot);
            }
            if slot == "A" {
                let pronoun = self.pronoun.filter(|_| self.mentioned && by_pronoun);
                self.mentioned = true;
                return pronoun.map_or_else(|| self.forms[0].clone(), Into::into);
            }
            self.mentioned |= slot == "A1";
            self.get(slot)
        });
        (text.trim_end().to_owned(), template.note)
    }

    fn verb(&self, written: &str) -> String {
        if let Some(verb) = written.strip_prefix('3') {
            return inflect(verb, Person::One, self.tense);
        }
        if let Some(verb) = written.strip_suffix("@p") {
            return inflect(verb, Person::Several, self.tense);
        }
        match written {
            "{v}" => inflect(&self.get("v0"), self.person, self.tense),
            verb => inflect(verb, self.person, self.tense),
        }
    }

    /// One text of statements and a question, in one of several orders.
    pub fn tell(&mut self, draw: &mut Draw, mut clauses: Vec<String>, question: String) -> String {
        if !clauses.is_empty() && draw.chance(7) {
            let aside = self.say(draw, "aside");
            let place = 1 + draw.below(clauses.len());
            clauses.insert(place, aside);
        }
        if draw.chance(25) {
            clauses = self.elided(clauses);
        }
        let simple = clauses.iter().all(|clause| !clause.contains(". ") && !clause.ends_with('.'));
        let asks = !question.ends_with('.') && !question.contains(". ") && !question.contains(", ");
        let bare = question.trim_end_matches('?').to_owned();
        let mut text = match draw.below(100) {
            _ if clauses.is_empty() => question,
            0..8 if simple && asks => format!("if {}, {bare}?", listed(&clauses)),
            8..16 if simple && asks => format!("{bare} if {}?", listed(&clauses)),
            16..44 if simple => {
                let mut text = String::new();
                for (index, clause) in clauses.iter().enumerate() {
                    if index > 0 {
                        text += &self.say(draw, "joiner");
                        text.push(' ');
                    }
                    text += clause;
                }
                format!("{text}. {question}")
            }
            _ => {
                let mut text = String::new();
                for (index, clause) in clauses.iter().enumerate() {
                    if index > 0 && draw.chance(30) {
                        text += &self.say(draw, "opener");
                        text.push(' ');
                    }
                    text += clause;
                    text += ". ";
                }
                text + &question
            }
        };
        if !text.ends_with(['.', '?', ':']) {
            text.push('?');
        }
        words::sentences(&text)
    }

    /// Neighbouring clauses of which each says what the main person does, as one that names the person once: "Tom has 12
    /// apples, buys 30 more and gives 7 to Anna".
    fn elided(&self, clauses: Vec<String>) -> Vec<String> {
        let names = [Some(self.forms[0].as_str()), self.pronoun];
        let deed = |clause: &str| {
            let behind = |name: &str| clause.strip_prefix(name)?.strip_prefix(' ').map(str::to_owned);
            let deed = names.iter().flatten().find_map(|name| behind(name))?;
            let is_plain = !deed.starts_with("and ") && !deed.contains([',', '.', ';']);
            (is_plain && !clause.contains(". ")).then_some(deed)
        };
        let mut told: Vec<String> = Vec::new();
        let mut run: Vec<String> = Vec::new();
        let close = |told: &mut Vec<String>, run: &mut Vec<String>| {
            if let (Some(last), false) = (told.last_mut(), run.is_empty()) {
                let (end, middle) =
                    run.split_last().map_or((None, &[][..]), |(end, middle)| (Some(end), middle));
                middle.iter().for_each(|deed| *last += &format!(", {deed}"));
                end.into_iter().for_each(|deed| *last += &format!(" and {deed}"));
                run.clear();
            }
        };
        let mut may_join = false;
        for clause in clauses {
            match deed(&clause) {
                Some(deed) if may_join => run.push(deed),
                is_deed => {
                    close(&mut told, &mut run);
                    may_join = is_deed.is_some();
                    told.push(clause);
                }
            }
        }
        close(&mut told, &mut run);
        told
    }

    /// A whole question of one wording, without an order to choose.
    pub fn ask(&mut self, draw: &mut Draw, group: &str) -> String {
        let mut text = self.say(draw, group);
        if !text.ends_with(['.', '?', '=']) {
            text.push('?');
        }
        words::sentences(&text)
    }
}

fn listed(clauses: &[String]) -> String {
    match clauses {
        [] => String::new(),
        [one] => one.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}
