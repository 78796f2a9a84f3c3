//! Latency by percentile as an SVG picture, alone or in an HTML page.
//!
//! The horizontal axis is logarithmic in `1 / (1 - percentile)`, so that each further nine takes the same room; the
//! vertical axis is logarithmic in time.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::Context;
use hdrhistogram::Histogram;

use super::tally::Tally;
use crate::quantity::show_us;

const WIDTH: f64 = 960.0;
const HEIGHT: f64 = 540.0;
const LEFT: f64 = 84.0;
const RIGHT: f64 = 28.0;
const TOP: f64 = 84.0;
const BOTTOM: f64 = 64.0;
/// Colors that people with color blindness can tell apart (Okabe and Ito, 2008, without yellow).
const COLORS: [&str; 7] =
    ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#555555"];
/// Points of a curve per tenfold of the horizontal axis.
const POINTS_PER_NINE: usize = 60;

/// One line of a picture.
pub struct Curve<'a> {
    pub name: String,
    /// Nanoseconds.
    pub times: &'a Histogram<u64>,
}

/// The curves of one run. Without a stream the first byte comes with the last and its curve would hide the latency's.
pub(super) fn curves_of(tally: &Tally) -> Vec<Curve<'_>> {
    let mut curves = vec![("latency", &tally.latency)];
    if !tally.inter_event.is_empty() {
        curves.extend([("first byte", &tally.first_byte), ("between events", &tally.inter_event)]);
    }
    let curve = |(name, times): (&str, _)| Curve { name: name.to_owned(), times };
    curves.into_iter().map(curve).filter(|curve| !curve.times.is_empty()).collect()
}

/// Draws curves into a file; a name that ends in `.html` gets a page around the picture.
pub fn draw(path: &Path, title: &str, curves: &[Curve<'_>]) -> anyhow::Result<()> {
    let picture = svg(title, curves);
    let text = match path.extension() {
        Some(end) if end == "html" => format!(
            "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\"><title>{}</title>\n<body style=\"margin:2rem;background:#fff\">\n{picture}</body></html>\n",
            escape(title)
        ),
        _ => picture,
    };
    std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

/// The scales that turn a quantile and a time into a point.
struct Axes {
    nines: f64,
    low_us: f64,
    high_us: f64,
}

impl Axes {
    fn fit(curves: &[Curve<'_>]) -> Self {
        let most = curves.iter().map(|curve| curve.times.len()).max().unwrap_or(0).max(10);
        let low = curves.iter().map(|curve| curve.times.min()).min().unwrap_or(0);
        let high = curves.iter().map(|curve| curve.times.max()).max().unwrap_or(0);
        // A time of 0 (events of one read) has no place on a logarithmic axis: it is drawn at 1 µs.
        let low_us = floor_125((low as f64 / 1e3).max(1.0));
        let high_us = ceil_125((high as f64 / 1e3).max(low_us * 2.0));
        Self { nines: (most as f64).log10().clamp(1.0, 7.0), low_us, high_us }
    }

    fn x(&self, quantile: f64) -> f64 {
        let nines = -(1.0 - quantile).max(1e-12).log10();
        LEFT + (nines / self.nines).min(1.0) * (WIDTH - LEFT - RIGHT)
    }

    fn y(&self, us: f64) -> f64 {
        let share = (us.max(self.low_us) / self.low_us).ln() / (self.high_us / self.low_us).ln();
        HEIGHT - BOTTOM - share.min(1.0) * (HEIGHT - TOP - BOTTOM)
    }
}

/// The picture as text.
pub(super) fn svg(title: &str, curves: &[Curve<'_>]) -> String {
    let axes = Axes::fit(curves);
    let mut text = format!(
        r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" font-family="system-ui, sans-serif" font-size="13" fill="#333">
<rect width="100%" height="100%" fill="#fff"/>
<text x="{LEFT}" y="30" font-size="17" font-weight="600" fill="#111">{}</text>
"##,
        escape(title)
    );
    add_grid(&mut text, &axes);
    let mut legend_x = LEFT;
    for (index, curve) in curves.iter().enumerate() {
        let color = COLORS[index % COLORS.len()];
        add_curve(&mut text, &axes, curve, color);
        let name = escape(&curve.name);
        add(
            &mut text,
            format_args!(
                "<line x1=\"{legend_x}\" y1=\"56\" x2=\"{}\" y2=\"56\" stroke=\"{color}\" stroke-width=\"3\"/>\
                 <text x=\"{}\" y=\"60\">{name}</text>\n",
                legend_x + 22.0,
                legend_x + 30.0
            ),
        );
        // About 7.5 px a character at this size.
        legend_x += 56.0 + 7.5 * curve.name.chars().count() as f64;
    }
    text.push_str("</svg>\n");
    text
}

fn add_grid(text: &mut String, axes: &Axes) {
    let (bottom, right) = (HEIGHT - BOTTOM, WIDTH - RIGHT);
    let quantiles = [
        (0.0, "0 %"),
        (0.5, "50 %"),
        (0.9, "90 %"),
        (0.99, "99 %"),
        (0.999, "99.9 %"),
        (0.9999, "99.99 %"),
        (0.99999, "99.999 %"),
        (0.999999, "99.9999 %"),
    ];
    for (quantile, label) in quantiles {
        if -(1.0_f64 - quantile).log10() > axes.nines {
            break;
        }
        let x = axes.x(quantile);
        add(
            text,
            format_args!(
                "<line x1=\"{x:.1}\" y1=\"{TOP}\" x2=\"{x:.1}\" y2=\"{bottom}\" stroke=\"#e6e6e6\"/>\
                 <text x=\"{x:.1}\" y=\"{}\" text-anchor=\"middle\">{label}</text>\n",
                bottom + 20.0
            ),
        );
    }
    let mut us = axes.low_us;
    let many = (axes.high_us / axes.low_us).log10() > 4.0;
    while us <= axes.high_us * 1.001 {
        let y = axes.y(us);
        let is_power = (us.log10() - us.log10().round()).abs() < 1e-9;
        let color = if is_power { "#cfcfcf" } else { "#efefef" };
        add(
            text,
            format_args!(
                "<line x1=\"{LEFT}\" y1=\"{y:.1}\" x2=\"{right}\" y2=\"{y:.1}\" stroke=\"{color}\"/>"
            ),
        );
        if is_power || !many {
            let label = tick_label(us);
            let (x, y) = (LEFT - 10.0, y + 4.5);
            add(
                text,
                format_args!("<text x=\"{x}\" y=\"{y:.1}\" text-anchor=\"end\">{label}</text>"),
            );
        }
        text.push('\n');
        us = ceil_125(us * 1.01);
    }
    let (middle_x, middle_y) = ((LEFT + right) / 2.0, (TOP + bottom) / 2.0);
    add(
        text,
        format_args!(
            "<path d=\"M{LEFT} {TOP}V{bottom}H{right}\" fill=\"none\" stroke=\"#888\"/>\n\
             <text x=\"{middle_x}\" y=\"{}\" text-anchor=\"middle\">percentile</text>\n\
             <text x=\"20\" y=\"{middle_y}\" text-anchor=\"middle\" transform=\"rotate(-90 20 {middle_y})\">time</text>\n",
            HEIGHT - 16.0
        ),
    );
}

fn add_curve(text: &mut String, axes: &Axes, curve: &Curve<'_>, color: &str) {
    let nines = (curve.times.len().max(2) as f64).log10().min(axes.nines);
    let points = (nines * POINTS_PER_NINE as f64).ceil() as usize;
    let mut path = String::new();
    for point in 0..=points {
        let quantile = 1.0 - 10_f64.powf(-nines * point as f64 / points as f64);
        let us = curve.times.value_at_quantile(quantile) as f64 / 1e3;
        let command = if point == 0 { 'M' } else { 'L' };
        add(&mut path, format_args!("{command}{:.1} {:.1}", axes.x(quantile), axes.y(us)));
    }
    add(
        text,
        format_args!(
            "<path d=\"{path}\" fill=\"none\" stroke=\"{color}\" stroke-width=\"2.5\" stroke-linejoin=\"round\"/>\n"
        ),
    );
    for quantile in [0.5, 0.99] {
        let us = curve.times.value_at_quantile(quantile) as f64 / 1e3;
        let (x, y) = (axes.x(quantile), axes.y(us));
        add(
            text,
            format_args!(
                "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3.5\" fill=\"{color}\"><title>{} p{}: {}</title></circle>\n",
                escape(&curve.name),
                quantile * 100.0,
                show_us(us)
            ),
        );
    }
}

fn add(text: &mut String, piece: std::fmt::Arguments<'_>) {
    text.write_fmt(piece).expect("writing to memory cannot fail");
}

fn tick_label(us: f64) -> String {
    match us {
        us if us >= 1e6 => format!("{} s", us / 1e6),
        us if us >= 1e3 => format!("{} ms", us / 1e3),
        us => format!("{us} µs"),
    }
}

/// The next of 1, 2, 5 times a power of ten at or above `value`.
fn ceil_125(value: f64) -> f64 {
    let power = 10_f64.powf(value.log10().floor());
    let steps = [1.0, 2.0, 5.0, 10.0];
    steps
        .iter()
        .map(|step| (step * power).round())
        .find(|step| *step >= value * 0.999)
        .unwrap_or(value)
}

/// The next of 1, 2, 5 times a power of ten at or below `value`, which is 1 or more.
fn floor_125(value: f64) -> f64 {
    let power = 10_f64.powf(value.log10().floor());
    let steps = [5.0, 2.0, 1.0];
    steps.iter().map(|step| (step * power).round()).find(|step| *step <= value).unwrap_or(1.0)
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every tag is closed in order and every `&` begins an entity.
    fn is_well_formed(text: &str) -> bool {
        let mut open = Vec::new();
        for tag in text.split('<').skip(1) {
            let Some((inside, _)) = tag.split_once('>') else { return false };
            if inside.matches('"').count() % 2 != 0 {
                return false;
            }
            let name = inside.trim_start_matches('/').split([' ', '/']).next().unwrap_or("");
            if inside.starts_with('/') {
                if open.pop() != Some(name) {
                    return false;
                }
            } else if !inside.ends_with('/') {
                open.push(name);
            }
        }
        let entities = text
            .split('&')
            .skip(1)
            .all(|rest| rest.split_once(';').is_some_and(|(name, _)| name.len() < 5));
        open.is_empty() && entities
    }

    #[test]
    fn plots_are_well_formed() {
        let mut tally = Tally::default();
        for time in 0..5_000_u64 {
            tally.latency.record(time * time).unwrap();
            tally.inter_event.record(0).unwrap();
        }
        let empty = Tally::default();
        for (tally, curves) in [(&tally, 2), (&empty, 0)] {
            let picture = svg("a <b> & \"c\"", &curves_of(tally));
            assert!(is_well_formed(&picture), "{picture}");
            assert_eq!(picture.matches("stroke-width=\"2.5\"").count(), curves);
            assert!(
                picture.contains("percentile")
                    && !picture.contains("NaN")
                    && !picture.contains("inf")
            );
        }
        assert!(!is_well_formed("<svg><a></svg>"));
    }

    #[test]
    fn ticks_are_round_numbers() {
        for (value, above, below) in
            [(1.0, 1.0, 1.0), (3.0, 5.0, 2.0), (70.0, 100.0, 50.0), (100.0, 100.0, 100.0)]
        {
            assert_eq!((ceil_125(value), floor_125(value)), (above, below), "{value}");
        }
    }
}
