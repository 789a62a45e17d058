//! Money, rates, percents, units, ages and areas.

use super::events::fill;
use super::{Problem, Step, size};
use crate::{Draw, Scene, words};

/// Things bought or sold, with what is paid, left or given back.
pub fn purchase(draw: &mut Draw) -> Option<Problem> {
    let mut scene = Scene::new(draw, false);
    let (n, m) = (draw.number(2, 15), draw.number(2, 30));
    let mut steps = vec![Step::new("cost", format!("{n}*{m}"), n * m)];
    let mut total = n * m;
    fill(draw, &mut scene, &[("n", n), ("m", m)]);
    if draw.chance(15) {
        let clauses = vec![scene.say(draw, "earn")];
        let question = scene.say(draw, "ask_earn");
        return Some(Problem { kind: "money", question: scene.tell(draw, clauses, question), steps });
    }
    let mut clauses = vec![scene.say(draw, "buy")];
    match draw.below(100) {
        0..35 => {
            let (k, price) = (draw.number(2, 9), draw.number(2, 20));
            fill(draw, &mut scene, &[("n", k), ("m", price)]);
            clauses.push(scene.say(draw, "also_buy"));
            steps.push(Step::new("cost", format!("{k}*{price}"), k * price));
            steps.push(Step::new("sum", format!("{total}+{}", k * price), total + k * price));
            total += k * price;
        }
        35..50 => {
            let fee = draw.number(2, 40);
            fill(draw, &mut scene, &[("n", fee)]);
            clauses.push(scene.say(draw, "fee"));
            steps.push(Step::new("more", format!("{total}+{fee}"), total + fee));
            total += fee;
        }
        50..60 => {
            let off = draw.number(2, 30);
            if off >= total {
                return None;
            }
            fill(draw, &mut scene, &[("n", off)]);
            clauses.push(scene.say(draw, "off"));
            steps.push(Step::new("left", format!("{total}-{off}"), total - off));
            total -= off;
        }
        _ => {}
    }
    if draw.chance(55) {
        let question = scene.say(draw, "ask_pay");
        return Some(Problem { kind: "money", question: scene.tell(draw, clauses, question), steps });
    }
    let paid = draw.number(total + 1, total + 60);
    fill(draw, &mut scene, &[("n", paid)]);
    steps.push(Step::new("left", format!("{paid}-{total}"), paid - total));
    let question = if draw.chance(50) {
        clauses.insert(0, scene.say(draw, "budget"));
        scene.say(draw, "ask_money_left")
    } else {
        scene.say(draw, "ask_change")
    };
    Some(Problem { kind: "money", question: scene.tell(draw, clauses, question), steps })
}

const WORK: &[(&str, &str)] = &[
    ("read", "pages"),
    ("make", "toys"),
    ("write", "letters"),
    ("earn", "dollars"),
    ("walk", "km"),
    ("paint", "tiles"),
    ("sell", "cakes"),
    ("bake", "cookies"),
    ("pick", "apples"),
    ("pack", "boxes"),
    ("plant", "trees"),
    ("wash", "plates"),
    ("run", "km"),
    ("save", "euros"),
    ("draw", "pictures"),
    ("fill", "bottles"),
];

/// So much in each day, hour or week.
pub fn rates(draw: &mut Draw) -> Option<Problem> {
    let mut scene = Scene::new(draw, false);
    scene.in_the_present();
    let (verb, work) = draw.weighted(&WORK.iter().map(|pair| (*pair, 1)).collect::<Vec<_>>());
    if draw.chance(45) || draw.split() == crate::Split::Entities {
        let verb =
            draw.choose(&["make", "collect", "count", "sell", "find", "get", "pick", "pack", "buy", "need"]);
        scene.set("v0", verb.into());
        let things = scene.get("o");
        scene.set("w", things);
    } else {
        scene.set("v0", verb.into());
        scene.set("w", work.into());
    }
    let time = draw.choose(&["day", "hour", "week", "minute", "month", "day", "hour"]);
    scene.set("t", time.into());
    let (n, k) = (draw.number(2, 40), draw.number(2, 12));
    fill(draw, &mut scene, &[("n", n), ("k", k)]);
    let (group, steps) = match draw.below(100) {
        0..40 => ("rate_total", vec![Step::new("all", format!("{n}*{k}"), n * k)]),
        40..60 => {
            scene.set("g", (n * k).to_string());
            ("rate_time", vec![Step::new("each", format!("{}/{n}", n * k), k)])
        }
        60..80 => {
            let (m, j) = (draw.number(2, 30), draw.number(2, 9));
            fill(draw, &mut scene, &[("m", m), ("j", j)]);
            let clauses = vec![scene.say(draw, "rate_two")];
            let question = scene.say(draw, "ask_rate_two");
            let steps = vec![
                Step::new("all", format!("{n}*{k}"), n * k),
                Step::new("all", format!("{m}*{j}"), m * j),
                Step::new("sum", format!("{}+{}", n * k, m * j), n * k + m * j),
            ];
            return Some(Problem { kind: "rates", question: scene.tell(draw, clauses, question), steps });
        }
        _ => {
            let goal = draw.number(n * k + 1, n * k + 80);
            scene.set("g", goal.to_string());
            let steps = vec![
                Step::new("all", format!("{n}*{k}"), n * k),
                Step::new("left", format!("{goal}-{}", n * k), goal - n * k),
            ];
            ("rate_missing", steps)
        }
    };
    Some(Problem { kind: "rates", question: scene.ask(draw, group), steps })
}

/// Percents, units of time, ages, areas, averages.
pub fn units(draw: &mut Draw) -> Option<Problem> {
    let mut scene = Scene::new(draw, true);
    scene.in_the_present();
    let (n, m, k) = (draw.number(2, 40), draw.number(2, 40), draw.number(2, 12));
    let one = |label, expression, value| vec![Step::new(label, expression, value)];
    fill(draw, &mut scene, &[("n", n), ("m", m), ("k", k)]);
    let (group, steps) = match draw.below(100) {
        0..30 => return percents(draw, scene),
        30..36 => ("minutes", one("all", format!("{n}*60"), n * 60)),
        36..42 => {
            let steps = vec![
                Step::new("all", format!("{n}*60"), n * 60),
                Step::new("more", format!("{}+{m}", n * 60), n * 60 + m),
            ];
            ("hours_minutes", steps)
        }
        42..46 => ("seconds", one("all", format!("{n}*60"), n * 60)),
        46..52 => ("weeks", one("all", format!("{n}*7"), n * 7)),
        52..58 => ("dozen", one("all", format!("{n}*12"), n * 12)),
        58..74 => return ages(draw, scene, n, m, k),
        74..81 => ("area", one("all", format!("{n}*{m}"), n * m)),
        81..88 => {
            let steps = vec![
                Step::new("sum", format!("{n}+{m}"), n + m),
                Step::new("times", format!("{}*2", n + m), (n + m) * 2),
            ];
            ("perimeter", steps)
        }
        _ => {
            let sum = n + m + k;
            if !sum.is_multiple_of(3) {
                return None;
            }
            let steps = vec![
                Step::new("sum", format!("{n}+{m}+{k}"), sum),
                Step::new("each", format!("{sum}/3"), sum / 3),
            ];
            ("average", steps)
        }
    };
    Some(Problem { kind: "units", question: scene.ask(draw, group), steps })
}

fn percents(draw: &mut Draw, mut scene: Scene) -> Option<Problem> {
    let share =
        draw.weighted(&[(5, 1), (10, 2), (20, 2), (25, 2), (30, 1), (40, 1), (50, 2), (60, 1), (75, 1)]);
    let most = size(draw);
    let whole = if draw.chance(60) { 10 * draw.number(2, 60) } else { 4 * draw.number(2, most) };
    if !(whole * share).is_multiple_of(100) {
        return None;
    }
    let part = whole * share / 100;
    scene.set("n", share.to_string());
    scene.set("m", whole.to_string());
    let mut steps = vec![Step::new("part", format!("{whole}*{share}/100"), part)];
    let group = match draw.below(3) {
        0 => "percent_of",
        1 => {
            steps.push(Step::new("left", format!("{whole}-{part}"), whole - part));
            "percent_off"
        }
        _ => {
            steps.push(Step::new("more", format!("{whole}+{part}"), whole + part));
            "percent_more"
        }
    };
    Some(Problem { kind: "percent", question: scene.ask(draw, group), steps })
}

fn ages(draw: &mut Draw, mut scene: Scene, n: u64, m: u64, k: u64) -> Option<Problem> {
    let (group, value, step) = if draw.chance(55) {
        ("older", n + m, Step::new("more", format!("{n}+{m}"), n + m))
    } else {
        let value = n.checked_sub(m).filter(|value| *value > 0)?;
        ("younger", value, Step::new("left", format!("{n}-{m}"), value))
    };
    let mut steps = vec![step];
    let clauses = vec![scene.say(draw, group)];
    let question = if draw.chance(50) {
        scene.say(draw, "ask_age")
    } else {
        steps.push(Step::new("more", format!("{value}+{k}"), value + k));
        scene.say(draw, "ask_age_later")
    };
    let mut text = String::new();
    for clause in clauses {
        text += &clause;
        text += ". ";
    }
    text += &question;
    if !text.ends_with('.') {
        text.push('?');
    }
    Some(Problem { kind: "units", question: words::sentences(&text), steps })
}
