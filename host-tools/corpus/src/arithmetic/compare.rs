//! Two or three people compared, and wholes with their parts.

use super::events::fill;
use super::{Problem, Step, size};
use crate::{Draw, Scene};

/// One has so many, another more, fewer or a multiple.
pub fn people(draw: &mut Draw) -> Option<Problem> {
    let mut scene = Scene::new(draw, true);
    let most = size(draw);
    let first = draw.number(4, most.max(20));
    let mut steps = Vec::new();
    let (group, second) = match draw.below(100) {
        0..12 => return difference(draw, scene, first, most),
        12..44 => {
            let m = draw.number(2, most.max(20));
            fill(draw, &mut scene, &[("m", m)]);
            steps.push(Step::new("more", format!("{first}+{m}"), first + m));
            ("more_than", first + m)
        }
        44..70 => {
            let m = draw.number(2, first - 1);
            fill(draw, &mut scene, &[("m", m)]);
            steps.push(Step::new("left", format!("{first}-{m}"), first.checked_sub(m)?));
            ("fewer_than", first - m)
        }
        70..80 => {
            let f = draw.number(2, 9);
            fill(draw, &mut scene, &[("f", f)]);
            steps.push(Step::new("times", format!("{first}*{f}"), first * f));
            ("times_as_many", first * f)
        }
        80..90 => {
            steps.push(Step::new("times", format!("{first}*2"), first * 2));
            ("twice_as_many", first * 2)
        }
        _ => {
            if !first.is_multiple_of(2) {
                return None;
            }
            steps.push(Step::new("half", format!("{first}/2"), first / 2));
            ("half_as_many", first / 2)
        }
    };
    fill(draw, &mut scene, &[("n", first)]);
    let mut clauses = vec![scene.say(draw, group)];
    if clauses[0].starts_with("if ") {
        let question = scene.say(draw, "ask_together");
        steps.push(Step::new("sum", format!("{first}+{second}"), first + second));
        let question = format!("{}, {question}", clauses[0]);
        return Some(Problem { kind: "compare", question: scene.tell(draw, Vec::new(), question), steps });
    }
    let question = match draw.below(100) {
        0..35 => {
            let b = scene.get("B");
            scene.set("X", b);
            scene.say(draw, "ask_second")
        }
        35..70 => {
            steps.push(Step::new("sum", format!("{first}+{second}"), first + second));
            scene.say(draw, "ask_together")
        }
        _ => third(draw, &mut scene, &mut clauses, &mut steps, first, second)?,
    };
    Some(Problem { kind: "compare", question: scene.tell(draw, clauses, question), steps })
}

fn third(
    draw: &mut Draw,
    scene: &mut Scene,
    clauses: &mut Vec<String>,
    steps: &mut Vec<Step>,
    first: u64,
    second: u64,
) -> Option<String> {
    let n = draw.number(2, 40);
    fill(draw, scene, &[("n", n)]);
    let value = if draw.chance(50) {
        clauses.push(scene.say(draw, "third_more"));
        steps.push(Step::new("more", format!("{second}+{n}"), second + n));
        second + n
    } else {
        clauses.push(scene.say(draw, "third_fewer"));
        let value = second.checked_sub(n).filter(|value| *value > 0)?;
        steps.push(Step::new("left", format!("{second}-{n}"), value));
        value
    };
    if draw.chance(50) {
        let c = scene.get("C");
        scene.set("X", c);
        return Some(scene.say(draw, "ask_second"));
    }
    steps.push(Step::new("sum", format!("{first}+{second}+{value}"), first + second + value));
    Some(scene.say(draw, "ask_three"))
}

fn difference(draw: &mut Draw, mut scene: Scene, first: u64, most: u64) -> Option<Problem> {
    let second = draw.number(2, most.max(20));
    if first == second {
        return None;
    }
    fill(draw, &mut scene, &[("n", first), ("m", second)]);
    let clauses = vec![scene.say(draw, "compare_two")];
    let (more, less) = if first > second { ("A1", "B") } else { ("B", "A1") };
    let (more, less) = (scene.get(more), scene.get(less));
    scene.set("X", more);
    scene.set("Y", less);
    let (question, step) = if draw.chance(60) {
        let (high, low) = (first.max(second), first.min(second));
        (scene.say(draw, "ask_difference"), Step::new("left", format!("{high}-{low}"), high - low))
    } else {
        (scene.say(draw, "ask_together"), Step::new("sum", format!("{first}+{second}"), first + second))
    };
    Some(Problem { kind: "compare", question: scene.tell(draw, clauses, question), steps: vec![step] })
}

/// Two kinds of things, a part of a whole, what is missing, what is left over.
pub fn parts(draw: &mut Draw) -> Option<Problem> {
    let mut scene = Scene::new(draw, false);
    let most = size(draw).max(12);
    let (n, m) = (draw.number(3, most), draw.number(2, most));
    fill(draw, &mut scene, &[("n", n), ("m", m)]);
    let (statement, question, step) = match draw.below(100) {
        0..25 => {
            let clauses = vec![scene.say(draw, "two_counts")];
            let mut steps = vec![Step::new("sum", format!("{n}+{m}"), n + m)];
            let mut clauses = clauses;
            if draw.chance(30) {
                let lost = draw.number(2, 30);
                if lost >= n + m {
                    return None;
                }
                let text = super::spelled(draw, lost);
                scene.set("n", text);
                let wording = draw.weighted(&[
                    ("{n} things are lost", 1),
                    ("{n} of them are broken", 1),
                    ("{n} of all are sold", 1),
                ]);
                clauses.push(wording.replace("{n}", &scene.get("n")));
                steps.push(Step::new("left", format!("{}-{lost}", n + m), n + m - lost));
                let question =
                    draw.choose(&["how many are left", "how many things are left", "how many things remain"]);
                return Some(Problem {
                    kind: "parts",
                    question: scene.tell(draw, clauses, question.into()),
                    steps,
                });
            }
            let question = scene.say(draw, "ask_things");
            return Some(Problem { kind: "parts", question: scene.tell(draw, clauses, question), steps });
        }
        25..52 => ("need", "ask_missing", Step::new("left", format!("{n}-{m}"), n.checked_sub(m)?)),
        52..78 => ("part_of_all", "ask_other_part", Step::new("left", format!("{n}-{m}"), n.checked_sub(m)?)),
        _ => {
            let d = draw.number(2, 12);
            if d >= n {
                return None;
            }
            fill(draw, &mut scene, &[("d", d)]);
            let question = scene.ask(draw, "remainder");
            return Some(Problem {
                kind: "parts",
                question,
                steps: vec![Step::new("left", format!("{n}%{d}"), n % d)],
            });
        }
    };
    if n == m {
        return None;
    }
    let clauses = vec![scene.say(draw, statement)];
    let question = scene.say(draw, question);
    Some(Problem { kind: "parts", question: scene.tell(draw, clauses, question), steps: vec![step] })
}
