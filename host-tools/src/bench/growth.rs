//! How the cost of a token grows with its position: products counted by the runtime against the formula.
//!
//! With the cache, a token costs every matrix once and attention over the positions so far; without it, the whole
//! text is computed anew for each token. Both are run, not derived, and must equal the formula to the last product.

use std::path::Path;

use anyhow::{Result, anyhow, ensure};
use plotters::coord::ranged1d::{AsRangedCoord, ValueFormatter};
use plotters::prelude::*;
use serde::Serialize;
use sprat::{Engine, Kernels};
use sprat_board_support::memory::limits_for_context;
use sprat_format::{Config, FeedForward};

use crate::model::{Model, arena_for, engine};
use crate::output::write_whole;
use crate::table::grouped;
use crate::threads::Threads;

const SIZE: (u32, u32) = (900, 520);
const INK: RGBColor = RGBColor(40, 40, 40);
const QUIET: RGBColor = RGBColor(120, 120, 120);
const WITH: RGBColor = RGBColor(20, 90, 160);
const WITHOUT: RGBColor = RGBColor(190, 80, 30);

/// The cost of the token at one position.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct GrowthPoint {
    /// Tokens of the text with this one.
    pub tokens: u64,
    /// Products with the cache.
    pub with_cache: u64,
    /// Products when the whole text is computed anew.
    pub without_cache: u64,
}

/// The cost of every token of a text.
#[derive(Clone, Debug, Serialize)]
pub struct Growth {
    /// The model, or its shape.
    pub model: String,
    /// The formula of the products of a token, the head included, T being the number of tokens of the text.
    pub formula: String,
    /// Token by token.
    pub points: Vec<GrowthPoint>,
}

/// Products of the layers' matrices for one token.
fn matrix_products(config: &Config) -> u64 {
    let Config { hidden_size, ffn_size, layers, feed_forward, .. } = *config;
    let [hidden, query, kv, ffn] =
        [hidden_size, config.query_size(), config.kv_size(), ffn_size].map(u64::from);
    let ffn_matrices = if matches!(feed_forward, FeedForward::Gated(_)) { 3 } else { 2 };
    u64::from(layers) * hidden * (2 * query + 2 * kv + ffn_matrices * ffn)
}

/// Products of the token with which a text has so many: with the cache, and without.
fn expected(config: &Config, tokens: u64) -> GrowthPoint {
    let matrices = matrix_products(config);
    let reading = 2 * u64::from(config.layers) * u64::from(config.query_size());
    let head = u64::from(config.hidden_size) * u64::from(config.vocab_size);
    GrowthPoint {
        tokens,
        with_cache: matrices + reading * tokens + head,
        without_cache: matrices * tokens + reading * (tokens * (tokens + 1) / 2) + head,
    }
}

/// The formula with a model's numbers in it.
fn formula(config: &Config) -> String {
    let Config { hidden_size: h, layers, ffn_size, vocab_size, feed_forward, .. } = *config;
    let (query, kv) = (config.query_size(), config.kv_size());
    let gated = matches!(feed_forward, FeedForward::Gated(_));
    let layer = if !gated && query == h && kv == h && ffn_size == 4 * h {
        "12 H² + 2 T H".to_owned()
    } else {
        let factor = if gated { 3 } else { 2 };
        format!("2 H Q + 2 H K + {factor} H F + 2 T Q")
    };
    format!(
        "{layers} layers × ({layer}) + H V, with H = {h}, Q = {query}, K = {kv}, F = {ffn_size}, V = {vocab_size}"
    )
}

/// Runs a text of so many tokens through a model, with the cache and without, and counts.
///
/// # Errors
/// The model cannot be run, or the count is not what the formula says.
pub fn growth(model: &Model, tokens: usize, threads: usize) -> Result<Growth> {
    ensure!(tokens > 0, "a text of 0 tokens was asked for; expected at least 1");
    let image = model.image()?;
    let limits = limits_for_context(image.limits(), tokens as u32);
    let team = Threads::new(threads)?;
    let mut arena = arena_for(&image, &limits, &team)?;
    let mut engine = engine(&image, limits, &mut arena, Kernels::detect(), &team)?;
    let config = image.config();
    let text: Vec<u32> = (0..tokens as u32).map(|index| index % config.vocab_size).collect();
    let mut points = Vec::with_capacity(tokens);
    for (index, token) in text.iter().enumerate() {
        let with_cache = count(&mut engine, index, &[*token])?;
        points.push(GrowthPoint { tokens: index as u64 + 1, with_cache, without_cache: 0 });
    }
    for (index, point) in points.iter_mut().enumerate() {
        point.without_cache = count(&mut engine, 0, &text[..=index])?;
        let expected = expected(config, point.tokens);
        ensure!(*point == expected, "the runtime counted {point:?}, and the formula says {expected:?}");
    }
    Ok(Growth { model: model.path().to_owned(), formula: formula(config), points })
}

/// Products of feeding tokens behind the first `kept` that the cache holds.
fn count(engine: &mut Engine<'_, '_, '_>, kept: usize, tokens: &[u32]) -> Result<u64> {
    engine.truncate(kept);
    let before = engine.products();
    engine.feed(tokens).map_err(|error| anyhow!("{error}"))?;
    Ok(engine.products() - before)
}

impl Growth {
    /// One line that says how far it grew.
    pub fn summary(&self) -> String {
        let (Some(first), Some(last)) = (self.points.first(), self.points.last()) else {
            return String::new();
        };
        format!(
            "{}: token 1 costs {} products, token {} {} with the cache and {} without; all {} counts equal the formula \
             {}\n",
            self.model,
            grouped(first.with_cache),
            last.tokens,
            grouped(last.with_cache),
            grouped(last.without_cache),
            2 * self.points.len(),
            self.formula
        )
    }

    /// Draws both costs against the position into an SVG file.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write_chart(&self, path: &Path) -> Result<()> {
        let mut svg = String::new();
        self.draw(&mut svg).map_err(|error| anyhow!("cannot draw {}: {error}", path.display()))?;
        write_whole(path, svg.as_bytes())
    }

    fn draw<'s>(&self, svg: &'s mut String) -> Result<(), Box<dyn std::error::Error + 's>> {
        let root = SVGBackend::with_string(svg, SIZE).into_drawing_area();
        root.fill(&WHITE)?;
        root.draw(&Text::new("What a token costs", (16, 12), font(22, INK)))?;
        root.draw(&Text::new(format!("{}: {}", self.model, self.formula), (16, 42), font(14, QUIET)))?;
        let (_, body) = root.split_vertically(66);
        let (left, right) = body.split_horizontally(SIZE.0 as i32 / 2);
        let cached = |point: &GrowthPoint| point.with_cache as f64;
        let uncached = |point: &GrowthPoint| point.without_cache as f64;
        let most = |of: &dyn Fn(&GrowthPoint) -> f64| self.points.iter().map(of).fold(1.0, f64::max);
        let linear = 0.0..1.1 * most(&cached);
        self.curves(&left, linear, "with the cache", &[(&cached, WITH, "products, counted")])?;
        let least = self.points.iter().map(cached).fold(f64::INFINITY, f64::min) / 2.0;
        let logarithmic = (least..2.0 * most(&uncached)).log_scale();
        let both: [Curve<'_>; 2] =
            [(&uncached, WITHOUT, "the whole text anew"), (&cached, WITH, "with the cache")];
        self.curves(&right, logarithmic, "with and without", &both)?;
        root.present()?;
        Ok(())
    }

    fn curves<'a, Y>(
        &self,
        area: &DrawingArea<SVGBackend<'a>, plotters::coord::Shift>,
        range: Y,
        title: &str,
        curves: &[Curve<'_>],
    ) -> Result<(), Box<dyn std::error::Error + 'a>>
    where
        Y: AsRangedCoord<Value = f64>,
        Y::CoordDescType: ValueFormatter<f64>,
    {
        let mut chart = ChartBuilder::on(area)
            .caption(title, font(15, INK))
            .set_label_area_size(LabelAreaPosition::Left, 70)
            .set_label_area_size(LabelAreaPosition::Bottom, 44)
            .margin_right(24)
            .build_cartesian_2d(0.0..self.points.len() as f64, range)?;
        chart
            .configure_mesh()
            .light_line_style(TRANSPARENT)
            .bold_line_style(QUIET.mix(0.25))
            .label_style(font(12, QUIET))
            .y_label_formatter(&|value| format!("{value:.1e}"))
            .x_desc("tokens of the text")
            .axis_desc_style(font(13, INK))
            .draw()?;
        for &(of, color, name) in curves {
            let points = self.points.iter().map(|point| (point.tokens as f64, of(point)));
            let line = LineSeries::new(points, color.stroke_width(2));
            let key = move |(x, y)| PathElement::new([(x, y), (x + 16, y)], color.stroke_width(2));
            chart.draw_series(line)?.label(name).legend(key);
        }
        let labels = font(12, INK);
        chart.configure_series_labels().position(SeriesLabelPosition::UpperLeft).label_font(labels).draw()?;
        Ok(())
    }
}

/// What a line shows, its colour and its name.
type Curve<'f> = (&'f dyn Fn(&GrowthPoint) -> f64, RGBColor, &'static str);

fn font(size: u32, color: RGBColor) -> TextStyle<'static> {
    ("sans-serif", size).into_font().color(&color)
}

#[cfg(test)]
mod tests {
    use std::str::FromStr;

    use super::*;
    use crate::bench::Shape;
    use crate::pack::PackOptions;

    #[test]
    fn every_shape_costs_what_the_formula_says() {
        for (shape, layer) in [
            ("gpt2:48/3/192/60/4", "12 H² + 2 T H"),
            ("gpt2:48/2/100/60/4", "2 H Q + 2 H K + 2 H F + 2 T Q"),
            ("48/2/100/60/4", "2 H Q + 2 H K + 3 H F + 2 T Q"),
            ("72/2/100/60/9/3", "K = 24"),
        ] {
            let model = Shape::from_str(shape).unwrap().model(&PackOptions::default()).unwrap();
            let growth = growth(&model, 20, 2).unwrap();
            assert_eq!(growth.points.len(), 20);
            assert!(growth.formula.contains(layer), "{}", growth.formula);
        }
        let config = Shape::from_str("gpt2:48/3/192/60/4").unwrap().config(0);
        let (h, v) = (48, 60);
        for t in [1, 2, 20] {
            assert_eq!(expected(&config, t).with_cache, 3 * (12 * h * h + 2 * t * h) + h * v);
        }
    }

    #[test]
    fn the_chart_shows_both_costs() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("growth.svg");
        let model = Shape::from_str("gpt2:48/2/192/60/4").unwrap().model(&PackOptions::default()).unwrap();
        let growth = growth(&model, 12, 1).unwrap();
        growth.write_chart(&path).unwrap();
        let svg = std::fs::read_to_string(&path).unwrap();
        let parts = ["<svg", "What a token costs", "12 H² + 2 T H", "the whole text anew", "with the cache"];
        assert!(parts.iter().all(|part| svg.contains(part)), "{svg}");
        assert!(growth.summary().contains("all 24 counts equal the formula"), "{}", growth.summary());
    }
}
