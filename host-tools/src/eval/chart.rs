//! The outcome of an evaluation as a picture.
//!
//! On the left, the divergence from the checkpoint for each model on a logarithmic scale (the mean, and what 99 %
//! of the tokens stay below); on the right, the change in perplexity. One line a model, so that size and loss
//! can be weighed at a glance.

use anyhow::{Result, anyhow};
use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::Evaluation;
use super::files::file_name;
use crate::table::grouped;

const WIDTH: u32 = 1000;
const TITLE_HEIGHT: u32 = 70;
const ROW_HEIGHT: u32 = 44;
const AXIS_HEIGHT: u32 = 50;
const LABEL_WIDTH: u32 = 300;
const KL_WIDTH: u32 = 660;
const INK: RGBColor = RGBColor(40, 40, 40);
const QUIET: RGBColor = RGBColor(120, 120, 120);
const MEAN: RGBColor = RGBColor(20, 90, 160);
const LOSS: RGBColor = RGBColor(190, 80, 30);
/// Divergences below this are drawn here: they are rounding.
const LEAST_KL: f64 = 1e-12;

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// Draws an evaluation as SVG.
///
/// # Errors
/// Nothing was measured.
pub(super) fn draw(evaluation: &Evaluation) -> Result<String> {
    let mut svg = String::new();
    draw_into(evaluation, &mut svg).map_err(|error| anyhow!("cannot draw the evaluation: {error}"))?;
    Ok(svg)
}

fn draw_into(evaluation: &Evaluation, svg: &mut String) -> Result<(), Box<dyn std::error::Error>> {
    let rows = evaluation.outcomes.len();
    if rows == 0 {
        return Err("no model was measured".into());
    }
    let height = TITLE_HEIGHT + ROW_HEIGHT * rows as u32 + AXIS_HEIGHT;
    let root = SVGBackend::with_string(svg, (WIDTH, height)).into_drawing_area();
    root.fill(&WHITE)?;
    root.draw(&Text::new("What packing costs", (16, 12), font(22, INK)))?;
    let subject = format!(
        "against {} in f32: perplexity {:.4}, {} predictions in windows of {} tokens",
        file_name(&evaluation.reference),
        evaluation.reference_perplexity,
        grouped(evaluation.predictions as u64),
        evaluation.window_tokens
    );
    root.draw(&Text::new(subject, (16, 42), font(14, QUIET)))?;
    let (_, body) = root.split_vertically(TITLE_HEIGHT);
    let (left, right) = body.split_horizontally(KL_WIDTH);
    draw_divergence(&left, evaluation)?;
    draw_perplexity(&right, evaluation)?;
    root.present()?;
    Ok(())
}

fn font(size: u32, color: RGBColor) -> TextStyle<'static> {
    ("sans-serif", size).into_font().color(&color)
}

/// The middle of a row, counted from the top.
fn middle(rows: usize, row: usize) -> f64 {
    (rows - row) as f64 - 0.5
}

fn draw_divergence(area: &Area<'_>, evaluation: &Evaluation) -> Result<(), Box<dyn std::error::Error>> {
    let outcomes = &evaluation.outcomes;
    let rows = outcomes.len();
    let all = || outcomes.iter().flat_map(|o| [o.kl_mean.max(LEAST_KL), o.kl_p99.max(LEAST_KL)]);
    let least = 10f64.powf(all().fold(f64::INFINITY, f64::min).log10().floor());
    let most = 10f64.powf(all().fold(0.0, f64::max).log10().ceil()).max(least * 10.0);
    let mut chart = ChartBuilder::on(area)
        .set_label_area_size(LabelAreaPosition::Left, LABEL_WIDTH)
        .set_label_area_size(LabelAreaPosition::Bottom, AXIS_HEIGHT)
        .margin_right(32)
        .build_cartesian_2d((least..most).log_scale(), 0.0..rows as f64)?;
    chart
        .configure_mesh()
        .disable_y_mesh()
        .disable_y_axis()
        .light_line_style(TRANSPARENT)
        .bold_line_style(QUIET.mix(0.25))
        .x_label_style(font(12, QUIET))
        .x_label_formatter(&|value| format!("{value:.0e}"))
        .x_desc("KL divergence a token in nats: mean (filled) and 99th percentile (ring)")
        .axis_desc_style(font(13, INK))
        .draw()?;
    for (row, outcome) in outcomes.iter().enumerate() {
        let y = middle(rows, row);
        let (mean, p99) = (outcome.kl_mean.max(LEAST_KL), outcome.kl_p99.max(LEAST_KL));
        chart.draw_series([PathElement::new([(mean, y), (p99, y)], MEAN.mix(0.4).stroke_width(2))])?;
        chart.draw_series([Circle::new((mean, y), 5, MEAN.filled())])?;
        chart.draw_series([Circle::new((p99, y), 5, WHITE.filled())])?;
        chart.draw_series([Circle::new((p99, y), 5, MEAN.stroke_width(2))])?;
        let (_, y_pixel) = chart.backend_coord(&(least, y));
        let (x_base, y_base) = area.get_base_pixel();
        let at = (16 - x_base, y_pixel - y_base);
        let name = format!("{}  {}", row + 1, file_name(&outcome.model));
        area.draw(&Text::new(name, (at.0 + x_base, at.1 - 16), font(14, INK)))?;
        let detail = format!(
            "{} bytes, kv {}, top-1 {:.2} %",
            grouped(outcome.bytes),
            outcome.kv,
            outcome.top1_percent
        );
        area.draw(&Text::new(detail, (at.0 + x_base, at.1 + 2), font(12, QUIET)))?;
    }
    Ok(())
}

fn draw_perplexity(area: &Area<'_>, evaluation: &Evaluation) -> Result<(), Box<dyn std::error::Error>> {
    let outcomes = &evaluation.outcomes;
    let rows = outcomes.len();
    let changes = || outcomes.iter().map(|outcome| outcome.perplexity_change_percent);
    let most = changes().fold(0.01, f64::max) * 1.3;
    let least = changes().fold(0.0, f64::min) * 1.3;
    let mut chart = ChartBuilder::on(area)
        .set_label_area_size(LabelAreaPosition::Bottom, AXIS_HEIGHT)
        .margin_right(24)
        .build_cartesian_2d(least..most, 0.0..rows as f64)?;
    chart
        .configure_mesh()
        .disable_y_mesh()
        .disable_y_axis()
        .x_labels(5)
        .light_line_style(TRANSPARENT)
        .bold_line_style(QUIET.mix(0.25))
        .x_label_style(font(12, QUIET))
        .x_desc("perplexity, % more than f32")
        .axis_desc_style(font(13, INK))
        .draw()?;
    for (row, outcome) in outcomes.iter().enumerate() {
        let (y, change) = (middle(rows, row), outcome.perplexity_change_percent);
        chart.draw_series([Rectangle::new([(0.0, y - 0.18), (change, y + 0.18)], LOSS.filled())])?;
        let anchor = Pos::new(HPos::Left, VPos::Center);
        let style = font(12, INK).pos(anchor);
        let label = format!(" {change:+.3} %");
        chart.draw_series([Text::new(label, (change.max(0.0), y), style)])?;
    }
    Ok(())
}
