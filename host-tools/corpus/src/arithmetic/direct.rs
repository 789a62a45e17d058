//! Calculations that are asked for as such: `What is 17*23?`

use super::events::fill;
use super::{Problem, Step, size};
use crate::{Draw, Scene};

/// One or two operations, in symbols or in words.
pub fn calculation(draw: &mut Draw) -> Option<Problem> {
    let mut scene = Scene::new(draw, true);
    let most = size(draw).max(20);
    let (n, m, k) = (draw.number(2, most), draw.number(2, most.min(99)), draw.number(2, 30));
    fill(draw, &mut scene, &[("n", n), ("m", m), ("k", k)]);
    let (group, steps) = match draw.below(100) {
        0..48 => return symbols(draw, scene, n, m, k),
        48..58 => ("add", vec![Step::new("sum", format!("{n}+{m}"), n + m)]),
        58..68 => ("subtract", vec![Step::new("left", format!("{n}-{m}"), n.checked_sub(m)?)]),
        68..78 => ("multiply", vec![Step::new("times", format!("{n}*{m}"), n * m)]),
        78..87 => {
            let product = n * m;
            scene.set("n", product.to_string());
            ("divide", vec![Step::new("each", format!("{product}/{m}"), n)])
        }
        _ => {
            let (question, note) = scene.say_with_note(draw, "two_operations");
            let mut steps = Vec::new();
            let mut value = n;
            for (operation, other) in note.split(',').zip([m, k]) {
                let (label, sign, next) = match operation {
                    "plus" => ("sum", '+', value + other),
                    "minus" => ("left", '-', value.checked_sub(other)?),
                    _ => ("times", '*', value * other),
                };
                steps.push(Step::new(label, format!("{value}{sign}{other}"), next));
                value = next;
            }
            return Some(Problem { kind: "direct", question: crate::words::sentences(&question), steps });
        }
    };
    Some(Problem { kind: "direct", question: scene.ask(draw, group), steps })
}

/// An expression, copied without its spaces.
fn symbols(draw: &mut Draw, mut scene: Scene, n: u64, m: u64, k: u64) -> Option<Problem> {
    let (mut expression, value) = match draw.below(100) {
        0..20 => (format!("{n} + {m}"), n + m),
        20..40 => (format!("{n} - {m}"), n.checked_sub(m)?),
        40..60 => (format!("{n} * {m}"), n * m),
        60..72 => (format!("{} / {m}", n * m), n),
        72..78 => (format!("{n} * {m} + {k}"), n * m + k),
        78..83 => (format!("{n} + {m} * {k}"), n + m * k),
        83..89 => (format!("({n} + {m}) * {k}"), (n + m) * k),
        89..93 => (format!("{n} + {m} + {k}"), n + m + k),
        93..97 => (format!("{n} + {m} - {k}"), (n + m).checked_sub(k)?),
        _ => (format!("{n} * {m} - {k}"), (n * m).checked_sub(k)?),
    };
    let compact: String = expression.chars().filter(|character| *character != ' ').collect();
    if draw.chance(35) {
        expression.clone_from(&compact);
    } else if draw.chance(10) && !expression.contains('(') {
        expression = expression.replace('*', "x");
    }
    scene.set("e", expression);
    Some(Problem {
        kind: "direct",
        question: scene.ask(draw, "calc"),
        steps: vec![Step::new("calc", compact, value)],
    })
}
