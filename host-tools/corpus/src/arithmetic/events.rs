//! Something is there, something happens to it, once or several times, and one asks how much is left.

use super::{Problem, Step, size, spelled};
use crate::{Draw, Scene};

/// A story of one to four steps.
pub fn chain(draw: &mut Draw) -> Option<Problem> {
    let mut scene = Scene::new(draw, false);
    let mut clauses = Vec::new();
    let mut steps = Vec::new();
    let wanted = draw.weighted(&[(1, 25), (2, 38), (3, 27), (4, 10)]);
    let most = size(draw);
    let mut there = if wanted >= 2 && draw.chance(35) {
        let (k, m) = (draw.number(2, 12), draw.number(2, 30));
        fill(draw, &mut scene, &[("k", k), ("m", m)]);
        clauses.push(scene.say(draw, "start_groups"));
        steps.push(Step::new("all", format!("{k}*{m}"), k * m));
        k * m
    } else {
        let n = draw.number(3, most);
        fill(draw, &mut scene, &[("n", n)]);
        clauses.push(scene.say(draw, "start"));
        n
    };
    while steps.len() < wanted {
        let left = wanted - steps.len();
        match draw.below(100) {
            0..30 => there = gain(draw, &mut scene, &mut clauses, &mut steps, there, most),
            30..62 => there = lose(draw, &mut scene, &mut clauses, &mut steps, there, most)?,
            62..70 if left >= 2 => {
                let (k, m) = (draw.number(2, 9), draw.number(2, 20));
                scene.container(draw);
                fill(draw, &mut scene, &[("k", k), ("m", m)]);
                clauses.push(scene.say(draw, "gain_groups"));
                steps.push(Step::new("all", format!("{k}*{m}"), k * m));
                steps.push(Step::new("more", format!("{there}+{}", k * m), there + k * m));
                there += k * m;
            }
            70..79 if left >= 2 => {
                let (k, m) = (draw.number(2, 9), draw.number(2, 12));
                if k * m >= there {
                    continue;
                }
                scene.container(draw);
                fill(draw, &mut scene, &[("k", k), ("m", m)]);
                clauses.push(scene.say(draw, "lose_groups"));
                steps.push(Step::new("all", format!("{k}*{m}"), k * m));
                steps.push(Step::new("left", format!("{there}-{}", k * m), there - k * m));
                there -= k * m;
            }
            79..86 if there < 400 => {
                let (group, factor) = draw.weighted(&[(("double", 2), 2), (("triple", 3), 1)]);
                clauses.push(scene.say(draw, group));
                steps.push(Step::new("times", format!("{there}*{factor}"), there * factor));
                there *= factor;
            }
            86..91 if there.is_multiple_of(2) && there > 3 => {
                clauses.push(scene.say(draw, "half"));
                steps.push(Step::new("half", format!("{there}/2"), there / 2));
                there /= 2;
            }
            91..100 if left == 1 => return divided(draw, scene, clauses, steps, there),
            _ => {}
        }
    }
    let is_left = steps.last().is_some_and(|step| matches!(step.label, "left" | "half"));
    let group = if is_left && draw.chance(50) { "ask_left" } else { "ask" };
    let question = scene.say(draw, group);
    Some(Problem { kind: "events", question: scene.tell(draw, clauses, question), steps })
}

fn gain(
    draw: &mut Draw,
    scene: &mut Scene,
    clauses: &mut Vec<String>,
    steps: &mut Vec<Step>,
    there: u64,
    most: u64,
) -> u64 {
    let n = draw.number(2, most);
    fill(draw, scene, &[("n", n)]);
    clauses.push(scene.say(draw, "gain"));
    steps.push(Step::new("more", format!("{there}+{n}"), there + n));
    there + n
}

fn lose(
    draw: &mut Draw,
    scene: &mut Scene,
    clauses: &mut Vec<String>,
    steps: &mut Vec<Step>,
    there: u64,
    most: u64,
) -> Option<u64> {
    if there < 4 {
        return None;
    }
    let n = draw.number(2, most.min(there - 1));
    if n >= there {
        return None;
    }
    fill(draw, scene, &[("n", n)]);
    clauses.push(scene.say(draw, "lose"));
    steps.push(Step::new("left", format!("{there}-{n}"), there - n));
    Some(there - n)
}

fn divided(
    draw: &mut Draw,
    mut scene: Scene,
    clauses: Vec<String>,
    mut steps: Vec<Step>,
    there: u64,
) -> Option<Problem> {
    let divisors: Vec<u64> = (2..=12).filter(|d| there.is_multiple_of(*d) && there > *d).collect();
    if divisors.is_empty() {
        return None;
    }
    let d = divisors[draw.below(divisors.len())];
    scene.container(draw);
    fill(draw, &mut scene, &[("d", d)]);
    let group = draw.weighted(&[("share_equally", 3), ("pack_in_groups", 2)]);
    let question = scene.say(draw, group);
    steps.push(Step::new("each", format!("{there}/{d}"), there / d));
    Some(Problem { kind: "events", question: scene.tell(draw, clauses, question), steps })
}

/// Fills slots with numbers.
pub fn fill(draw: &mut Draw, scene: &mut Scene, numbers: &[(&'static str, u64)]) {
    for &(slot, number) in numbers {
        let text = spelled(draw, number);
        scene.set(slot, text);
    }
}
