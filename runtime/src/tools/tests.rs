use core::cell::RefCell;

use std::format;
use std::string::{String, ToString};

use num_bigint::{BigInt, Sign};
use proptest::prelude::*;

use super::*;

fn call(tool: &mut dyn Tool, arguments: &str) -> String {
    let mut buffer = [0; 200];
    let mut out = Text::new(&mut buffer);
    let result = tool.call(arguments, &mut out);
    report(result, &mut out);
    out.as_str().to_string()
}

fn calculate(expression: &str) -> String {
    call(&mut Calculator::new(), expression)
}

fn run(program: &str) -> String {
    call(&mut Program::new(), program)
}

#[test]
fn the_calculator_knows_school_arithmetic() {
    for (expression, result) in [
        ("48/2", "24"),
        ("1 + 2 * 3", "7"),
        ("(1+2)*3", "9"),
        ("10-4-3", "3"),
        ("2^3^2", "512"),
        ("-2^2", "-4"),
        ("2^-1", "0.5"),
        ("--3", "3"),
        ("2*-3", "-6"),
        ("-(2+3)*2", "-10"),
        ("7%3", "1"),
        ("-7%3", "-1"),
        ("7.5 % 2", "1.5"),
        ("0.1+0.2", "0.3"),
        ("1/3*3", "1"),
        ("10/3", "3.333333"),
        ("2/3", "0.666667"),
        ("-2/3", "-0.666667"),
        ("1/8", "0.125"),
        ("0.0000005", "0.000001"),
        ("0.0000004", "0"),
        ("-0.0000004", "0"),
        ("0.9999996", "1"),
        ("19.9999996", "20"),
        ("1.2345675", "1.234568"),
        ("-1.2345675", "-1.234568"),
        ("0^0", "1"),
        ("1^999999999999", "1"),
        ("(-1)^999999999999", "-1"),
        ("007", "7"),
        (" 5 ", "5"),
        ("999999999999999999*999999999999999999", "999999999999999998000000000000000001"),
    ] {
        assert_eq!(calculate(expression), result, "{expression}");
    }
    assert_eq!(call(&mut Calculator::new().with_decimals(2), "10/3"), "3.33");
    assert_eq!(call(&mut Calculator::new().with_decimals(0), "5/2"), "3");
    assert_eq!(call(&mut Calculator::new().with_decimals(30), "1/7"), "0.142857142857142857142857142857");
}

#[test]
fn the_calculator_says_what_is_wrong() {
    let deep = format!("{}1{}", "(".repeat(40), ")".repeat(40));
    for (expression, error) in [
        ("1/0", "division by zero"),
        ("1%0", "division by zero"),
        ("0^-1", "division by zero"),
        ("2^1000", "overflow"),
        ("10^40", "overflow"),
        ("9999999999999999999999999999999999999999", "overflow"),
        ("2^0.5", "an exponent is not whole"),
        ("", "a number is missing"),
        ("1+", "a number is missing"),
        ("(1", "a parenthesis is not closed"),
        ("1)", "malformed"),
        ("1 2", "malformed"),
        ("a", "malformed"),
        ("1<2", "malformed"),
        ("()", "malformed"),
        ("1.", "a number is malformed"),
        (".5", "malformed"),
        ("1.2.3", "malformed"),
        (deep.as_str(), "nested too deep"),
    ] {
        assert_eq!(calculate(expression), format!("error: {error}"), "{expression}");
    }
}

#[test]
fn programs_run() {
    for (program, result) in [
        ("3+4", "7"),
        ("a=3;b=a*2;b+1", "7"),
        ("a = 3\nb = a * 2\n", "6"),
        ("answer=1;2", "1"),
        ("3>2", "1"),
        ("1+1==2", "1"),
        ("1!=1", "0"),
        ("x=5;if x>3{y=1}else{y=2};y", "1"),
        ("x=2;if x>3{y=1} else {y=2};y", "2"),
        ("x=2;if x>3{y=1};x", "2"),
        ("x=1;while x<100{x=x*2};x", "128"),
        ("n=5;f=1;while n>0{f=f*n;n=n-1};f", "120"),
        ("i=0;s=0;while i<4{i=i+1;if i%2==0{s=s+i}else{s=s-1}};s", "4"),
        ("iffy=1;whiles=2;iffy+whiles", "3"),
        ("if 1{if 0{a=1}else{a=2}}else{a=3};a", "2"),
        ("1/3", "0.333333"),
    ] {
        assert_eq!(run(program), result, "{program}");
    }
}

#[test]
fn programs_say_what_is_wrong() {
    let many: String = (0..9).map(|i| format!("v{i}={i};")).collect();
    let deep = format!("{}1{}", "if 1{".repeat(9), "}".repeat(9));
    for (program, error) in [
        ("", "a number is missing"),
        (";;", "a number is missing"),
        ("x", "a name has no value"),
        ("x=", "a number is missing"),
        ("x=1}", "malformed"),
        ("if 1{x=1", "a block is not closed"),
        ("if 0{x=1", "a block is not closed"),
        ("if 1 x=1", "malformed"),
        ("1 2", "malformed"),
        ("1/0", "division by zero"),
        ("x=1;while 1{x=x}", "too many steps"),
        ("while 1{}", "too many steps"),
        ("else{1}", "a name has no value"),
        (many.as_str(), "too many names"),
        (deep.as_str(), "nested too deep"),
    ] {
        assert_eq!(run(program), format!("error: {error}"), "{program}");
    }
    assert_eq!(call(&mut Program::new().with_steps(2), "1;2;3"), "error: too many steps");
    assert_eq!(call(&mut Program::new().with_steps(3), "1;2;3"), "3");
}

#[test]
fn a_device_is_called_through_its_tools() {
    #[derive(Default)]
    struct Room {
        set: String,
    }
    impl Device for Room {
        fn read(&mut self, sensor: &str, place: &str, out: &mut Text<'_>) -> Result<(), ToolError> {
            match (sensor, place) {
                ("temp", "kitchen") => out.push("23.4"),
                ("temp", "") => out.push("21"),
                _ => return Err(ToolError("no such sensor")),
            }
            Ok(())
        }

        fn set(&mut self, actuator: &str, value: &str, _: &mut Text<'_>) -> Result<(), ToolError> {
            self.set += &format!("{actuator}:{value};");
            (value != "7").then_some(()).ok_or(ToolError(""))
        }
    }
    let room = RefCell::new(Room::default());
    let (mut read, mut set) = (Read(&room), Set(&room));
    let mut led = Actuator { device: &room, name: "led" };
    assert_eq!(call(&mut read, "temp,kitchen"), "23.4");
    assert_eq!(call(&mut read, "temp"), "21");
    assert_eq!(call(&mut read, "temp, attic"), "error: no such sensor");
    assert_eq!(call(&mut set, "fan, 3"), "ok");
    assert_eq!(call(&mut set, "fan,7"), "error");
    assert_eq!(call(&mut led, "red,on"), "ok");
    assert_eq!(room.borrow().set, "fan:3;fan:7;led:red,on;");
    let _held = room.borrow_mut();
    assert_eq!(call(&mut read, "temp"), "error: busy");
}

#[test]
fn a_result_beyond_its_bound_is_cut_and_an_error_takes_its_place() {
    let mut long = |arguments: &str, out: &mut Text<'_>| {
        (0..100).for_each(|_| out.push(arguments));
        Ok(())
    };
    let mut fails = |_: &str, out: &mut Text<'_>| {
        out.push("half a result");
        Err(ToolError("no"))
    };
    let mut named = [NamedTool::new("long", &mut long), NamedTool::new("fails", &mut fails)];
    let mut tools = Tools::new(&mut named);
    let mut buffer = [0; 12];
    let mut out = Text::new(&mut buffer);
    tools.call("long", "é", &mut out);
    assert_eq!((out.as_str(), out.is_cut()), ("éééé...", true));
    out.clear();
    tools.call("fails", "", &mut out);
    assert_eq!(out.as_str(), "error: no");
    out.clear();
    tools.call("other", "", &mut out);
    assert_eq!(out.as_str(), "error: no...", "cut like any text");
    out.clear();
    tools.calculate("1", &mut out);
    assert!(out.as_str().starts_with("error"), "no calculator");
}

/// An expression, to be computed by the tools and by big fractions.
#[derive(Clone, Debug)]
enum Tree {
    Number(u32, u32),
    Negative(Box<Tree>),
    Binary(char, Box<Tree>, Box<Tree>),
    Power(Box<Tree>, i8),
}

use std::boxed::Box;

fn tree() -> impl Strategy<Value = Tree> {
    let leaf = (0u32..2000, 0u32..4).prop_map(|(number, decimals)| Tree::Number(number, decimals));
    leaf.prop_recursive(4, 24, 2, |inner| {
        let pair = (inner.clone(), inner.clone());
        let operator = prop_oneof![Just('+'), Just('-'), Just('*'), Just('/')];
        prop_oneof![
            inner.clone().prop_map(|tree| Tree::Negative(Box::new(tree))),
            (operator, pair).prop_map(|(o, (a, b))| Tree::Binary(o, Box::new(a), Box::new(b))),
            (inner, -2i8..3).prop_map(|(base, exponent)| Tree::Power(Box::new(base), exponent)),
        ]
    })
}

impl Tree {
    fn text(&self) -> String {
        match self {
            Self::Number(number, 0) => number.to_string(),
            Self::Number(number, decimals) => {
                let digits = format!("{number:0width$}", width = *decimals as usize + 1);
                let (whole, fraction) = digits.split_at(digits.len() - *decimals as usize);
                format!("{whole}.{fraction}")
            }
            Self::Negative(tree) => format!("-({})", tree.text()),
            Self::Binary(operator, left, right) => format!("({}) {operator} ({})", left.text(), right.text()),
            Self::Power(base, exponent) => format!("({})^{exponent}", base.text()),
        }
    }

    /// Numerator and denominator, not reduced; `None` for a division by zero.
    fn value(&self) -> Option<(BigInt, BigInt)> {
        Some(match self {
            Self::Number(number, decimals) => (BigInt::from(*number), BigInt::from(10).pow(*decimals)),
            Self::Negative(tree) => {
                let (n, d) = tree.value()?;
                (-n, d)
            }
            Self::Binary(operator, left, right) => {
                let ((a, b), (c, d)) = (left.value()?, right.value()?);
                match operator {
                    '+' => (a * &d + c * &b, b * d),
                    '-' => (a * &d - c * &b, b * d),
                    '*' => (a * c, b * d),
                    _ if c.sign() == Sign::NoSign => return None,
                    _ => (a * d, b * c),
                }
            }
            Self::Power(base, exponent) => {
                let (n, d) = base.value()?;
                let power = u32::from(exponent.unsigned_abs());
                match exponent {
                    0.. => (n.pow(power), d.pow(power)),
                    _ if n.sign() == Sign::NoSign => return None,
                    _ => (d.pow(power), n.pow(power)),
                }
            }
        })
    }
}

/// A fraction with at most 6 decimals, halves away from zero.
fn decimal((n, d): (BigInt, BigInt)) -> String {
    let is_negative = (n.sign() == Sign::Minus) != (d.sign() == Sign::Minus);
    let (n, d) = (BigInt::from(n.magnitude().clone()), BigInt::from(d.magnitude().clone()));
    let million = BigInt::from(1_000_000);
    let rounded: BigInt = (n * &million * 2 + &d) / (d * 2);
    let fraction = format!("{:06}", &rounded % &million);
    let text = format!("{}.{fraction}", &rounded / &million);
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if is_negative && text != "0" { format!("-{text}") } else { text.to_string() }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn the_calculator_agrees_with_big_fractions(tree in tree()) {
        let (found, text) = (calculate(&tree.text()), tree.text());
        match tree.value() {
            // Overflow may come before a division by zero that stands further right.
            None => prop_assert!(matches!(&*found, "error: division by zero" | "error: overflow"), "{text}: {found}"),
            Some(_) if found == "error: overflow" => {
                // Then some number on the way was large.
                prop_assert!(text.len() >= 19, "{text}");
            }
            Some(value) => prop_assert_eq!(found, decimal(value), "{}", text),
        }
        prop_assert_eq!(calculate(&tree.text()), run(&tree.text()));
    }

    #[test]
    fn whatever_is_asked_there_is_an_answer(text in "[-0-9a-c.+*/%^() =<>!;{}\nifwhlse]{0,60}", any in any::<String>()) {
        for text in [text, any] {
            for found in [calculate(&text), run(&text)] {
                prop_assert!(!found.is_empty() && found.len() < 200);
            }
        }
    }
}
