//! An evaluation as one page: tables, figures, and what produced them.
//!
//! The page needs nothing but itself: style sheet and figures are part of it, and there is no script. It follows the
//! reader's preference for light or dark, and is printed light.

use std::fmt::Write;

use anyhow::Result;

use super::files::file_name;
use super::{Choice, Evaluation, Outcome, chart, figures};
use crate::table::grouped;

const STYLE: &str = include_str!("report.css");

/// Colours of the series on a dark page, in the order of the figures.
const DARK: [&str; 8] =
    ["#6db3f2", "#f0965a", "#5cc795", "#cf8fe8", "#d9b64a", "#f07f9f", "#85bccb", "#b5b5b5"];

/// Text as HTML.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            // What has no picture gets one, so that a reader sees the token.
            '\n' => out.push('↵'),
            '\r' => out.push('␍'),
            '\t' => out.push('⇥'),
            character if character.is_control() => out.push('�'),
            character => out.push(character),
        }
    }
    out
}

/// A table of cells that are HTML already; the first column is text, `texts` says which others are.
fn table(head: &[&str], rows: &[Vec<String>], texts: &[usize]) -> String {
    let cell = |tag: &str, column: usize, text: &str| {
        let class = if column == 0 || texts.contains(&column) { "" } else { " class=\"n\"" };
        format!("<{tag}{class}>{text}</{tag}>")
    };
    let line = |tag: &str, cells: &mut dyn Iterator<Item = &str>| {
        let cells: String = cells.enumerate().map(|(column, text)| cell(tag, column, text)).collect();
        format!("<tr>{cells}</tr>\n")
    };
    let body: String = rows.iter().map(|row| line("td", &mut row.iter().map(String::as_str))).collect();
    format!(
        "<div class=\"wide\"><table>\n<thead>{}</thead>\n<tbody>\n{body}</tbody></table></div>\n",
        line("th", &mut head.iter().copied())
    )
}

fn figure(svg: &str, caption: &str) -> String {
    format!("<figure>{svg}<figcaption>{caption}</figcaption></figure>\n")
}

/// The number of a model in its colour, as the figures have it.
fn badge(index: usize) -> String {
    format!("<span class=\"badge s{}\">{}</span> ", index % figures::SERIES.len(), index + 1)
}

fn hex(color: plotters::style::RGBColor) -> String {
    format!("#{:02X}{:02X}{:02X}", color.0, color.1, color.2)
}

/// The colours of the series for the style sheet: as the figures are drawn, and on a dark page.
fn series_style() -> String {
    let (mut rules, mut dark) = (String::new(), String::new());
    for (index, (&light, on_dark)) in figures::SERIES.iter().zip(DARK).enumerate() {
        let light = hex(light);
        rules += &format!(
            ".s{index}{{background:var(--s{index})}}\
             svg [fill=\"{light}\"]{{fill:var(--s{index})}}svg [stroke=\"{light}\"]{{stroke:var(--s{index})}}\n"
        );
        rules += &format!(":root{{--s{index}:{light}}}\n");
        dark += &format!("--s{index}:{on_dark};");
    }
    rules + &format!("@media screen and (prefers-color-scheme:dark){{:root{{{dark}}}}}\n")
}

/// The page.
///
/// # Errors
/// Nothing was measured, so that nothing can be drawn.
pub fn to_html(evaluation: &Evaluation) -> Result<String> {
    let reference = escaped(&file_name(&evaluation.reference));
    let mut out = format!(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <meta name=\"color-scheme\" content=\"light dark\">\
         <title>What packing costs: {reference}</title>\n<style>\n{STYLE}{}</style></head>\n<body>\n",
        series_style()
    );
    write!(
        out,
        "<h1>What packing costs</h1>\n<p>Packed models against <b>{reference}</b> in single precision: {} predictions \
         in {} windows of up to {} tokens, {} bytes of text. Perplexity of the checkpoint: {:.4}.</p>\n",
        grouped(evaluation.predictions as u64),
        grouped(evaluation.windows as u64),
        grouped(evaluation.window_tokens as u64),
        grouped(evaluation.text_bytes as u64),
        evaluation.reference_perplexity
    )?;
    out += &numbers(evaluation);
    out += &figure(
        &chart::draw(evaluation)?,
        "Divergence and perplexity of each file. KL divergence: by how many nats the packed model is surprised by \
         what the checkpoint would say.",
    );
    let legend = |(index, one): (usize, &Outcome)| badge(index) + &escaped(&file_name(&one.model));
    let legend: Vec<_> = evaluation.outcomes.iter().enumerate().map(legend).collect();
    out += &format!("<p class=\"legend\">{}</p>\n<div class=\"figures\">\n", legend.join(" &nbsp; "));
    out += &figure(
        &figures::quality_and_size(evaluation)?,
        "Quality against size: one point a file; lower and further left is better.",
    );
    out += &figure(
        &figures::layer_errors(evaluation)?,
        "Error per layer: root of the summed squared differences of the residual stream over that of the checkpoint. \
         It means nothing for a file whose stream was rotated before quantizing.",
    );
    out += &figure(
        &figures::divergence_by_position(evaluation)?,
        "Divergence over the position in the window: whether errors grow with the length of the text.",
    );
    out += &figure(&figures::histogram(evaluation)?, "Histogram of the divergences: bins of half a decade.");
    out += "</div>\n";
    out += &layers(evaluation);
    for (index, outcome) in evaluation.outcomes.iter().enumerate() {
        out += &worst(index, outcome);
    }
    out += &origin(evaluation);
    out += "</body></html>\n";
    Ok(out)
}

fn numbers(evaluation: &Evaluation) -> String {
    let head =
        ["file", "bytes", "KV", "perplexity", "change", "KL mean", "KL median", "KL 99 %", "KL max", "top-1"];
    let row = |(index, one): (usize, &Outcome)| {
        vec![
            badge(index) + &escaped(&file_name(&one.model)),
            grouped(one.bytes),
            one.kv.to_owned(),
            format!("{:.4}", one.perplexity),
            format!("{:+.3} %", one.perplexity_change_percent),
            format!("{:.2e}", one.kl_mean),
            format!("{:.2e}", one.kl_p50),
            format!("{:.2e}", one.kl_p99),
            format!("{:.2e}", one.kl_max),
            format!("{:.2} %", one.top1_percent),
        ]
    };
    let rows: Vec<_> = evaluation.outcomes.iter().enumerate().map(row).collect();
    "<h2>Numbers</h2>\n".to_owned()
        + &table(&head, &rows, &[2])
        + "<p class=\"note\">KL in nats a token.</p>\n"
}

fn layers(evaluation: &Evaluation) -> String {
    let count = evaluation.outcomes.iter().map(|one| one.layer_errors.len()).max().unwrap_or(0);
    let heads: Vec<String> = (0..evaluation.outcomes.len()).map(badge).collect();
    let head: Vec<&str> = ["layer"].into_iter().chain(heads.iter().map(String::as_str)).collect();
    let row = |layer: usize| {
        let error = |one: &Outcome| {
            one.layer_errors.get(layer).map_or_else(String::new, |error| format!("{:.4} %", 100.0 * error))
        };
        let cells = evaluation.outcomes.iter().map(error);
        [(layer + 1).to_string()].into_iter().chain(cells).collect()
    };
    let rows: Vec<_> = (0..count).map(row).collect();
    "<h2>Error per layer</h2>\n".to_owned() + &table(&head, &rows, &[])
}

fn worst(index: usize, outcome: &Outcome) -> String {
    let choices = |choices: &[Choice]| -> String {
        let text = |choice: &Choice| {
            format!("<code>{}</code> {:.1} %", escaped(&choice.text), 100.0 * choice.probability)
        };
        choices.iter().map(text).collect::<Vec<_>>().join("<br>")
    };
    let row = |one: &super::WorstToken| {
        vec![
            format!("{:.3}", one.kl),
            format!("{}:{}", one.window, one.position),
            format!("<code>{}</code>", escaped(&one.context)),
            format!("<code>{}</code>", escaped(&one.target)),
            choices(&one.reference),
            choices(&one.found),
        ]
    };
    let rows: Vec<_> = outcome.worst_tokens.iter().map(row).collect();
    let head = ["KL", "window:token", "after", "text has", "checkpoint says", "packed says"];
    format!(
        "<h2>Worst tokens: {}{}</h2>\n{}",
        badge(index),
        escaped(&file_name(&outcome.model)),
        table(&head, &rows, &[1, 2, 3, 4, 5])
    )
}

fn origin(evaluation: &Evaluation) -> String {
    let mut out = "<h2>What produced this</h2>\n".to_owned();
    if !evaluation.command.is_empty() {
        out += &format!("<pre>{}</pre>\n", escaped(&evaluation.command));
    }
    out += &format!("<p>Measured by {}.</p>\n", escaped(&evaluation.tool));
    let packed = |(index, one): (usize, &Outcome)| {
        vec![badge(index) + &escaped(&one.model), escaped(&one.tool), escaped(&one.recipe)]
    };
    let rows: Vec<_> = evaluation.outcomes.iter().enumerate().map(packed).collect();
    out += &table(&["file", "packed by", "recipe"], &rows, &[1, 2]);
    if !evaluation.files.is_empty() {
        let row = |file: &super::FileSum| {
            vec![escaped(&file.path), grouped(file.bytes), format!("<code>{}</code>", file.sha256)]
        };
        let rows: Vec<_> = evaluation.files.iter().map(row).collect();
        out += &table(&["file", "bytes", "SHA-256"], &rows, &[2]);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_cannot_become_markup() {
        assert_eq!(escaped("<s> & \"a\"\n\u{7}"), "&lt;s&gt; &amp; &quot;a&quot;↵�");
    }
}
