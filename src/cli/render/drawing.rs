//! The runs of `simulate` as a drawing (SVG 1.1): entries over time, a panel a strategy, all to the same scale, under
//! one legend.

use std::fmt::Write as _;
use std::io::{self, Write};

use crate::core::model::{Level, ShortDuration};
use crate::core::simulate::report::{Comparison, Document, Run, Sample};

const WIDTH: f64 = 960.0;
const LEFT: f64 = 96.0;
const RIGHT: f64 = 24.0;
/// Height of title and legend.
const TOP: f64 = 92.0;
const PANEL: f64 = 130.0;
const GAP: f64 = 50.0;
/// Height of the label of the time axis, under the last panel.
const BOTTOM: f64 = 16.0;
/// Approximate number of ticks of an axis.
const TICKS: f64 = 9.0;
/// Largest ratio of max to the peak of entries at which max is drawn. A higher max would flatten all else and is told
/// in words.
const MAX_SHOWN: f64 = 2.5;

const BLUE: &str = "#08519c";
const LIGHT_BLUE: &str = "#9ecae1";
const GREEN: &str = "#238b45";
const RED: &str = "#cb181d";
const HIGH: &str = "#fff3bf";
const CRITICAL: &str = "#ffc9c9";
const DASHES: &str = "stroke-dasharray=\"6 3\"";

/// Writes the drawing.
///
/// # Errors
/// Those of the writer.
pub fn write(out: &mut dyn Write, document: &Document) -> io::Result<()> {
    let height = TOP + document.strategies.len() as f64 * (PANEL + GAP) + BOTTOM;
    writeln!(
        out,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" \
         height=\"{height}\" font-family=\"sans-serif\" font-size=\"12\">"
    )?;
    writeln!(out, "<rect width=\"{WIDTH}\" height=\"{height}\" fill=\"#fff\"/>")?;
    let title = format!("{}: {}", document.scenario, document.summary);
    // The visible title is shortened to the width; the title element of the file holds all of it.
    let (whole, short) = (plain(&title), plain(&shortened(&title)));
    writeln!(out, "<title>{whole}</title>")?;
    writeln!(out, "<text x=\"{LEFT}\" y=\"22\" font-size=\"14\">{short}</text>")?;
    legend(out)?;
    let top = top(document);
    for (i, comparison) in document.strategies.iter().enumerate() {
        let Some(run) = comparison.runs.first() else { continue };
        let above = TOP + i as f64 * (PANEL + GAP);
        let scale = Scale { seconds: document.duration_seconds, entries: top, above };
        panel(out, comparison, run, &scale)?;
    }
    let (x, y) = (LEFT + (WIDTH - LEFT - RIGHT) / 2.0, height - 8.0);
    writeln!(
        out,
        "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"middle\">time since the beginning (s: seconds, m: minutes, h: \
         hours, d: days)</text>"
    )?;
    writeln!(out, "</svg>")
}

fn shortened(title: &str) -> String {
    const MOST: usize = 110;
    match title.chars().count() <= MOST {
        true => title.into(),
        false => title.chars().take(MOST - 3).collect::<String>() + "...",
    }
}

/// Returns the upper end of the axis of entries: a tick that is not below any entries, nor below a max that is drawn.
fn top(document: &Document) -> f64 {
    let runs = || document.strategies.iter().filter_map(|strategy| strategy.runs.first());
    let samples = || runs().flat_map(|run| &run.timeline);
    let peaks = runs().map(|run| run.figures.peak_entries);
    let most = samples().map(|sample| sample.entries).chain(peaks).max().unwrap_or(1).max(1) as f64;
    let near = samples().map(|sample| sample.max as f64).filter(|max| *max <= most * MAX_SHOWN);
    let most = near.fold(most, f64::max);
    let step = round_step(most, 4.0);
    (most / step).ceil() * step
}

/// Returns 1, 2 or 5 times a power of ten that divides `most` into about `steps` steps.
fn round_step(most: f64, steps: f64) -> f64 {
    let rough = (most / steps).max(1.0);
    let ten = 10f64.powf(rough.log10().floor());
    let factor = [1.0, 2.0, 5.0, 10.0].into_iter().find(|factor| factor * ten >= rough * 0.999);
    factor.unwrap_or(10.0) * ten
}

/// Returns a round step of time of which about [`TICKS`] fit into `seconds`.
fn time_step(seconds: f64) -> f64 {
    const STEPS: [f64; 23] = [
        1.0,
        2.0,
        5.0,
        10.0,
        15.0,
        30.0,
        60.0,
        120.0,
        300.0,
        600.0,
        900.0,
        1800.0,
        3600.0,
        7200.0,
        10_800.0,
        21_600.0,
        43_200.0,
        86_400.0,
        172_800.0,
        432_000.0,
        864_000.0,
        1_728_000.0,
        4_320_000.0,
    ];
    let enough = |step: &f64| seconds / step <= TICKS;
    STEPS.into_iter().find(enough).unwrap_or_else(|| round_step(seconds / 86_400.0, TICKS) * 86_400.0)
}

/// Writes the legend of lines, areas and bands.
fn legend(out: &mut dyn Write) -> io::Result<()> {
    let area = |fill: &str, stroke: &str| {
        format!("<rect y=\"-9\" width=\"22\" height=\"10\" fill=\"{fill}\" stroke=\"{stroke}\"/>")
    };
    let line = |stroke: &str, dashes: &str| {
        format!("<path d=\"M0,-4H22\" fill=\"none\" stroke=\"{stroke}\" stroke-width=\"2\" {dashes}/>")
    };
    let entries = [
        (area(LIGHT_BLUE, BLUE), "entries", 82.0),
        (line(GREEN, ""), "live flows, of no attacker", 190.0),
        (line(RED, DASHES), "nf_conntrack_max", 150.0),
        (area(HIGH, "#ccc"), "agent at level high", 150.0),
        (area(CRITICAL, "#ccc"), "agent at level critical", 0.0),
    ];
    let mut x = LEFT;
    for (sample, words, width) in entries {
        writeln!(
            out,
            "<g class=\"legend\" transform=\"translate({x} 46)\">{sample}<text x=\"28\">{words}</text></g>"
        )?;
        x += width + 28.0;
    }
    Ok(())
}

/// Maps time and entries to coordinates of the drawing.
struct Scale {
    seconds: f64,
    entries: f64,
    above: f64,
}

impl Scale {
    fn x(&self, seconds: f64) -> f64 {
        LEFT + (WIDTH - LEFT - RIGHT) * (seconds / self.seconds.max(1e-9)).min(1.0)
    }

    fn y(&self, entries: f64) -> f64 {
        self.above + PANEL * (1.0 - (entries / self.entries).min(1.0))
    }

    fn points(&self, samples: &[Sample], of: impl Fn(&Sample) -> u64) -> String {
        let mut points = String::new();
        for sample in samples {
            let _ = write!(points, "{:.1},{:.1} ", self.x(sample.at_seconds), self.y(of(sample) as f64));
        }
        points
    }
}

fn panel(out: &mut dyn Write, comparison: &Comparison, run: &Run, scale: &Scale) -> io::Result<()> {
    let bottom = scale.above + PANEL;
    let figures = &run.figures;
    let caption = format!(
        "{}: {} new flows refused; of live ones {} cut, {} expired, {} shed",
        comparison.caption(),
        grouped(figures.refused_legitimate),
        grouped(figures.live_flows_deleted),
        grouped(figures.live_flows_expired),
        grouped(figures.live_flows_shed)
    );
    writeln!(out, "<text x=\"{LEFT}\" y=\"{:.1}\">{}</text>", scale.above - 8.0, plain(&caption))?;
    levels(out, run, scale)?;
    let entries = scale.points(&run.timeline, |sample| sample.entries);
    let (first, last) = (LEFT, scale.x(run.timeline.last().map_or(0.0, |sample| sample.at_seconds)));
    writeln!(
        out,
        "<polygon points=\"{first:.1},{bottom:.1} {entries}{last:.1},{bottom:.1}\" fill=\"{LIGHT_BLUE}\" stroke=\"none\"/>"
    )?;
    axes(out, scale, bottom)?;
    let living = scale.points(&run.timeline, |sample| sample.living);
    for (points, stroke) in [(entries, BLUE), (living, GREEN)] {
        writeln!(out, "<polyline points=\"{points}\" fill=\"none\" stroke=\"{stroke}\"/>")?;
    }
    maximum(out, run, scale)
}

/// Draws max as a line where it is on the scale, else tells it in words. A max of 0 means no limit.
fn maximum(out: &mut dyn Write, run: &Run, scale: &Scale) -> io::Result<()> {
    let on_scale = |sample: &Sample| sample.max > 0 && sample.max as f64 <= scale.entries;
    for part in run.timeline.chunk_by(|a, b| on_scale(a) == on_scale(b)).filter(|part| on_scale(&part[0])) {
        let points = scale.points(part, |sample| sample.max);
        writeln!(out, "<polyline points=\"{points}\" fill=\"none\" stroke=\"{RED}\" {DASHES}/>")?;
    }
    let above = run.timeline.iter().map(|sample| sample.max).filter(|max| *max as f64 > scale.entries).max();
    let unlimited = run.timeline.iter().any(|sample| sample.max == 0);
    let words = match (above, unlimited) {
        (Some(max), _) => format!("max up to {}, above this scale", grouped(max)),
        (None, true) => "no max".into(),
        (None, false) => return Ok(()),
    };
    let (x, y) = (WIDTH - RIGHT - 4.0, scale.above + 12.0);
    writeln!(out, "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"end\" fill=\"{RED}\">{words}</text>")
}

/// Draws a band for each time at which the agent was at level high or critical.
fn levels(out: &mut dyn Write, run: &Run, scale: &Scale) -> io::Result<()> {
    for pair in run.timeline.windows(2) {
        let fill = match pair[0].level {
            Some(Level::High) => HIGH,
            Some(Level::Critical) => CRITICAL,
            _ => continue,
        };
        let (from, to) = (scale.x(pair[0].at_seconds), scale.x(pair[1].at_seconds));
        writeln!(
            out,
            "<rect x=\"{from:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{PANEL}\" fill=\"{fill}\"/>",
            scale.above,
            to - from
        )?;
    }
    Ok(())
}

/// Draws both axes, with ticks at round values.
fn axes(out: &mut dyn Write, scale: &Scale, bottom: f64) -> io::Result<()> {
    let (right, above) = (WIDTH - RIGHT, scale.above);
    let step = round_step(scale.entries, 4.0);
    for entries in multiples(step, scale.entries) {
        let (y, x) = (scale.y(entries), LEFT - 6.0);
        writeln!(
            out,
            "<path d=\"M{:.1},{y:.1}H{right:.1}\" fill=\"none\" stroke=\"#000\" stroke-opacity=\"0.12\"/>",
            LEFT - 3.0
        )?;
        let label = grouped(entries as u64);
        writeln!(out, "<text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"end\">{label}</text>", y + 4.0)?;
    }
    let (x, y) = (14.0, above + PANEL / 2.0);
    writeln!(
        out,
        "<text transform=\"translate({x:.1} {y:.1}) rotate(-90)\" text-anchor=\"middle\">entries</text>"
    )?;
    for seconds in multiples(time_step(scale.seconds), scale.seconds) {
        let (x, y) = (scale.x(seconds), bottom + 16.0);
        writeln!(out, "<path d=\"M{x:.1},{bottom:.1}v4\" fill=\"none\" stroke=\"#333\"/>")?;
        let label = span(seconds);
        writeln!(out, "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"middle\">{label}</text>")?;
    }
    writeln!(out, "<path d=\"M{LEFT},{above:.1}V{bottom:.1}H{right:.1}\" fill=\"none\" stroke=\"#333\"/>")
}

/// Returns 0 and every multiple of `step` up to `most`.
fn multiples(step: f64, most: f64) -> impl Iterator<Item = f64> {
    let last = (most / step * 1.000_001).floor().clamp(0.0, 100.0) as u32;
    (0..=last).map(move |n| f64::from(n) * step)
}

/// Returns a time as `6h` or `1d12h`, or in days alone from a thousand million seconds on.
fn span(seconds: f64) -> String {
    match seconds {
        s if s >= 1e9 => format!("{:.0}d", s / 86_400.0),
        s => ShortDuration(s as u32).to_string(),
    }
}

/// Returns a number with its digits in groups of three.
fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Returns the text with `<`, `>` and `&` escaped and without control characters.
fn plain(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars().filter(|c| !c.is_control()) {
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            _ => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_neither_few_nor_many() {
        let steps = [1.0, 7.0, 65_536.0, 78_000.0, 131_072.0, 1e8].map(|most| round_step(most, 4.0));
        assert_eq!(steps, [1.0, 2.0, 20_000.0, 20_000.0, 50_000.0, 5e7]);
        for seconds in (0..40).map(|n| 1.7f64.powi(n)) {
            let ticks = multiples(time_step(seconds), seconds).count();
            assert!((2..=11).contains(&ticks) || seconds < 5.0, "{ticks} ticks in {seconds} s");
        }
        assert_eq!([3600.0, 86_400.0, 259_200.0, 120.0].map(time_step), [600.0, 10_800.0, 43_200.0, 15.0]);
        assert_eq!([span(0.0), span(129_600.0), span(1e10)], ["0s", "1d12h", "115741d"]);
    }

    #[test]
    fn numbers_and_text_are_what_they_were() {
        assert_eq!([0, 999, 1000, 1_234_567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!(plain("a < b & c\u{1b}"), "a &lt; b &amp; c");
        assert!(shortened(&"x".repeat(500)).len() == 110);
    }
}
