//! The figures of an evaluation's report, each as one SVG.
//!
//! All are lines or points over two axes. A model is a colour and a number, the same in every figure; the number is
//! drawn on the line, so that no figure depends on telling colours apart. The page's style sheet replaces the colours
//! where the background is dark.

use anyhow::{Result, anyhow};
use plotters::coord::Shift;
use plotters::coord::ranged1d::{AsRangedCoord, ValueFormatter};
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::{Evaluation, Outcome};

const SIZE: (u32, u32) = (560, 320);
const INK: RGBColor = RGBColor(40, 40, 40);
const QUIET: RGBColor = RGBColor(120, 120, 120);
/// One colour a model; with more models they repeat, and the numbers tell them apart.
pub(super) const SERIES: [RGBColor; 8] = [
    RGBColor(0, 90, 165),
    RGBColor(190, 75, 20),
    RGBColor(10, 120, 70),
    RGBColor(135, 50, 160),
    RGBColor(140, 100, 0),
    RGBColor(180, 30, 75),
    RGBColor(50, 110, 125),
    RGBColor(85, 85, 85),
];
/// Values below this are drawn here: they are rounding.
const LEAST: f64 = 1e-12;
/// Half the height of a number on a line, in pixels.
const BADGE: i32 = 8;

type Drawn = Result<(), Box<dyn std::error::Error>>;
type Points = Vec<(f64, f64)>;

/// What the axes are and how their labels are written.
struct Axes<'t> {
    x: &'t str,
    y: &'t str,
    x_label: &'t dyn Fn(&f64) -> String,
    y_label: &'t dyn Fn(&f64) -> String,
    x_labels: usize,
}

/// How points are joined.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Join {
    /// A line; the number stands somewhere on it, each model's at another part.
    Lines,
    /// A line with one summit; the number stands there.
    Summit,
    /// Nothing joins them.
    Nothing,
}

/// Divergence against the size of the file.
pub(super) fn quality_and_size(evaluation: &Evaluation) -> Result<String> {
    let outcomes = &evaluation.outcomes;
    let series = outcomes.iter().map(|one| vec![(one.bytes as f64 / 1024.0, one.kl_mean.max(LEAST))]);
    let most = outcomes.iter().map(|one| one.bytes).max().unwrap_or(1) as f64 / 1024.0;
    let axes = Axes {
        x: "size of the packed file, KiB",
        y: "mean KL divergence, nats a token",
        x_label: &plain,
        y_label: &power,
        x_labels: 8,
    };
    let series: Vec<Points> = series.collect();
    let y = decades(&series);
    svg(|area| draw(area, &axes, 0.0..most * 1.1, y.log_scale(), &series, Join::Nothing))
}

/// Relative error of the residual stream over the layers.
pub(super) fn layer_errors(evaluation: &Evaluation) -> Result<String> {
    let points = |one: &Outcome| -> Points {
        (1..).map(f64::from).zip(one.layer_errors.iter().map(|error| (100.0 * error).max(LEAST))).collect()
    };
    let series: Vec<Points> = evaluation.outcomes.iter().map(points).collect();
    let layers = series.iter().map(Vec::len).max().unwrap_or(1) as f64;
    let axes = Axes {
        x: "layer (the stream after it)",
        y: "error of the residual stream, %",
        x_label: &plain,
        y_label: &power,
        x_labels: (layers as usize).min(16),
    };
    let y = decades(&series);
    svg(|area| draw(area, &axes, 0.5..layers + 0.5, y.log_scale(), &series, Join::Lines))
}

/// Mean divergence over the position in the window.
pub(super) fn divergence_by_position(evaluation: &Evaluation) -> Result<String> {
    let points = |one: &Outcome| -> Points {
        let bins = one.kl_by_position.iter().filter(|bin| bin.predictions > 0);
        bins.map(|bin| ((bin.first + bin.last) as f64 / 2.0, bin.kl_mean.max(LEAST))).collect()
    };
    let series: Vec<Points> = evaluation.outcomes.iter().map(points).collect();
    let last = evaluation.outcomes.iter().filter_map(|one| one.kl_by_position.last());
    let most = last.map(|bin| bin.last).max().unwrap_or(1).max(1) as f64;
    let axes = Axes {
        x: "tokens read before the prediction's own (position in the window)",
        y: "mean KL divergence, nats a token",
        x_label: &plain,
        y_label: &power,
        x_labels: 8,
    };
    let y = decades(&series);
    svg(|area| draw(area, &axes, 0.0..most, y.log_scale(), &series, Join::Lines))
}

/// Shares of the predictions by divergence.
pub(super) fn histogram(evaluation: &Evaluation) -> Result<String> {
    // Each bin as a step.
    let points = |one: &Outcome| -> Points {
        let bins = one.kl_histogram.iter();
        bins.flat_map(|bin| [(bin.from.log10(), 100.0 * bin.share), (bin.to.log10(), 100.0 * bin.share)])
            .collect()
    };
    let series: Vec<Points> = evaluation.outcomes.iter().map(points).collect();
    let all = || series.iter().flatten();
    let most = all().map(|point| point.1).fold(0.0, f64::max) * 1.1;
    let (from, to) = all().fold((0.0f64, 0.0f64), |(from, to), point| (from.min(point.0), to.max(point.0)));
    let axes = Axes {
        x: "KL divergence of a prediction, nats (the first bin also holds what is below)",
        y: "share of the predictions, %",
        x_label: &|exponent| power(&10f64.powf(*exponent)),
        y_label: &plain,
        x_labels: 10,
    };
    svg(|area| draw(area, &axes, from..to, 0.0..most.max(1.0), &series, Join::Summit))
}

/// Whole decades around all values, at least one.
fn decades(series: &[Points]) -> std::ops::Range<f64> {
    let values = || series.iter().flatten().map(|point| point.1);
    let least = values().fold(f64::INFINITY, f64::min);
    let least = if least.is_finite() { least } else { LEAST };
    let most = values().fold(least, f64::max);
    let from = (least.log10() - 0.05).floor();
    let to = (most.log10() + 0.05).ceil();
    10f64.powf(from)..10f64.powf(to.max(from + 1.0))
}

fn plain(value: &f64) -> String {
    match value.fract() == 0.0 {
        true => crate::table::grouped(value.abs() as u64),
        false => format!("{value:.1}"),
    }
}

/// A power of ten as it is read: 0.01, 1, 100, or 1e-5.
fn power(value: &f64) -> String {
    match *value {
        value if (0.9e-3..1e4).contains(&value) => {
            let digits = (-value.log10()).ceil().max(0.0) as usize;
            format!("{value:.digits$}")
        }
        value => format!("{value:.0e}"),
    }
}

fn font(size: u32, color: RGBColor) -> TextStyle<'static> {
    ("sans-serif", size).into_font().color(&color)
}

fn svg(draw: impl FnOnce(&DrawingArea<SVGBackend<'_>, Shift>) -> Drawn) -> Result<String> {
    let mut svg = String::new();
    let drawn = || -> Drawn {
        let area = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        draw(&area)?;
        area.present()?;
        Ok(())
    };
    let drawn = drawn();
    drawn.map_err(|error| anyhow!("cannot draw the evaluation: {error}"))?;
    Ok(svg)
}

fn draw<X, Y>(
    area: &DrawingArea<SVGBackend<'_>, Shift>,
    axes: &Axes<'_>,
    x: X,
    y: Y,
    series: &[Points],
    join: Join,
) -> Drawn
where
    X: AsRangedCoord<Value = f64>,
    Y: AsRangedCoord<Value = f64>,
    X::CoordDescType: ValueFormatter<f64>,
    Y::CoordDescType: ValueFormatter<f64>,
{
    area.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(area)
        .margin(12)
        .set_label_area_size(LabelAreaPosition::Left, 62)
        .set_label_area_size(LabelAreaPosition::Bottom, 46)
        .build_cartesian_2d(x, y)?;
    chart
        .configure_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(QUIET.mix(0.25))
        .axis_style(QUIET)
        .x_labels(axes.x_labels)
        .y_labels(8)
        .x_label_style(font(12, QUIET))
        .y_label_style(font(12, QUIET))
        .x_label_formatter(&axes.x_label)
        .y_label_formatter(&axes.y_label)
        .x_desc(axes.x)
        .y_desc(axes.y)
        .axis_desc_style(font(13, INK))
        .draw()?;
    for (index, points) in series.iter().enumerate() {
        let color = SERIES[index % SERIES.len()];
        if join != Join::Nothing && points.len() > 1 {
            chart.draw_series([PathElement::new(points.clone(), color.stroke_width(2))])?;
        }
    }
    // The numbers lie over all lines.
    for (index, points) in series.iter().enumerate() {
        let color = SERIES[index % SERIES.len()];
        let summit = points.iter().copied().max_by(|a, b| a.1.total_cmp(&b.1));
        let part = points.get((2 * index + 1) * points.len() / (2 * series.len())).copied();
        let Some(at) = (if join == Join::Summit { summit } else { part }) else { continue };
        let number = (index + 1).to_string();
        let style = font(11, WHITE).pos(Pos::new(HPos::Center, VPos::Center));
        let badge = EmptyElement::at(at)
            + Circle::new((0, 0), BADGE, color.filled())
            + Text::new(number, (0, 1), style);
        chart.draw_series([badge])?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_read_well() {
        let powers = [1e-5, 1e-3, 0.01, 0.1, 1.0, 10.0, 1e5];
        assert_eq!(powers.map(|value| power(&value)), ["1e-5", "0.001", "0.01", "0.1", "1", "10", "1e5"]);
        assert_eq!([0.0, 1500.0, 2.5].map(|value| plain(&value)), ["0", "1,500", "2.5"]);
    }

    #[test]
    fn an_axis_holds_its_values_within_decades() {
        let range = decades(&[vec![(0.0, 0.003)], vec![(0.0, 0.2)]]);
        assert!((range.start - 1e-3).abs() < 1e-9 && (range.end - 1.0).abs() < 1e-9, "{range:?}");
        let one = decades(&[vec![(0.0, 0.5)]]);
        assert!((one.start - 0.1).abs() < 1e-9 && (one.end - 1.0).abs() < 1e-9, "{one:?}");
        assert!(decades(&[]).end > decades(&[]).start);
    }
}
