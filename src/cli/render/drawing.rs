//! `simulate` as a drawing (SVG 1.1): entries over time, a panel a strategy, all to the same scale.

use std::fmt::Write as _;
use std::io::{self, Write};

use super::quantity::duration;
use crate::model::Level;
use crate::simulate::report::{Comparison, Document, Run, Sample};

const WIDTH: f64 = 960.0;
const LEFT: f64 = 90.0;
const RIGHT: f64 = 20.0;
const TOP: f64 = 56.0;
const PANEL: f64 = 130.0;
const GAP: f64 = 46.0;

/// Writes the drawing.
///
/// # Errors
/// The writer's.
pub fn write(out: &mut dyn Write, document: &Document) -> io::Result<()> {
    let height = TOP + document.strategies.len() as f64 * (PANEL + GAP);
    writeln!(
        out,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" font-family=\"sans-serif\" \
         font-size=\"12\">"
    )?;
    writeln!(out, "<rect width=\"{WIDTH}\" height=\"{height}\" fill=\"#fff\"/>")?;
    let title = format!("{}: {}", document.scenario, document.summary);
    writeln!(out, "<text x=\"{LEFT}\" y=\"22\" font-size=\"14\">{}</text>", plain(&title))?;
    let samples = document.strategies.iter().flat_map(|s| s.runs.first()).flat_map(|run| &run.timeline);
    let peak = |comparison: &Comparison| comparison.runs.first().map_or(0, |run| run.figures.peak_entries);
    let peaks = document.strategies.iter().map(peak);
    let top = samples.map(|sample| sample.entries).chain(peaks).max().unwrap_or(1).max(1) as f64 * 1.1;
    for (i, comparison) in document.strategies.iter().enumerate() {
        let Some(run) = comparison.runs.first() else { continue };
        let above = TOP + i as f64 * (PANEL + GAP);
        let scale = Scale { seconds: document.duration_seconds, entries: top, above };
        panel(out, comparison, run, &scale)?;
    }
    writeln!(out, "</svg>")
}

/// From time and entries to the drawing.
struct Scale {
    seconds: f64,
    entries: f64,
    above: f64,
}

impl Scale {
    fn x(&self, seconds: f64) -> f64 {
        LEFT + (WIDTH - LEFT - RIGHT) * (seconds / self.seconds.max(1e-9)).min(1.0)
    }

    fn y(&self, entries: u64) -> f64 {
        self.above + PANEL * (1.0 - (entries as f64 / self.entries).min(1.0))
    }

    fn line(&self, run: &Run, of: impl Fn(&Sample) -> u64) -> String {
        let mut points = String::new();
        for sample in &run.timeline {
            let _ = write!(points, "{:.1},{:.1} ", self.x(sample.at_seconds), self.y(of(sample)));
        }
        points
    }
}

fn panel(out: &mut dyn Write, comparison: &Comparison, run: &Run, scale: &Scale) -> io::Result<()> {
    let bottom = scale.above + PANEL;
    let figures = &run.figures;
    let caption = format!(
        "{} ({}): {} refused, {} live flows cut, {} expired, {} shed",
        comparison.strategy,
        comparison.description,
        figures.refused_legitimate,
        figures.live_flows_deleted,
        figures.live_flows_expired,
        figures.live_flows_shed
    );
    writeln!(out, "<text x=\"{LEFT}\" y=\"{:.1}\">{}</text>", scale.above - 6.0, plain(&caption))?;
    levels(out, run, scale)?;
    let entries = scale.line(run, |sample| sample.entries);
    let (first, last) = (LEFT, scale.x(run.timeline.last().map_or(0.0, |sample| sample.at_seconds)));
    writeln!(
        out,
        "<polygon points=\"{first:.1},{bottom:.1} {entries}{last:.1},{bottom:.1}\" fill=\"#9ecae1\" stroke=\"none\"/>"
    )?;
    for (of, style) in [
        (line(|sample: &Sample| sample.entries), "stroke=\"#08519c\""),
        (line(|sample: &Sample| sample.living), "stroke=\"#238b45\""),
        (line(|sample: &Sample| sample.max), "stroke=\"#cb181d\" stroke-dasharray=\"6 3\""),
    ] {
        writeln!(out, "<polyline points=\"{}\" fill=\"none\" {style}/>", scale.line(run, of))?;
    }
    writeln!(
        out,
        "<path d=\"M{LEFT},{:.1}V{bottom:.1}H{:.1}\" fill=\"none\" stroke=\"#333\"/>",
        scale.above,
        WIDTH - RIGHT
    )?;
    axis(out, scale, bottom)
}

/// A function that can stand in a list with others.
fn line(of: fn(&Sample) -> u64) -> fn(&Sample) -> u64 {
    of
}

/// Where the agent was at a level over normal.
fn levels(out: &mut dyn Write, run: &Run, scale: &Scale) -> io::Result<()> {
    for pair in run.timeline.windows(2) {
        let fill = match pair[0].level {
            Some(Level::High) => "#fff3bf",
            Some(Level::Critical) => "#ffc9c9",
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

fn axis(out: &mut dyn Write, scale: &Scale, bottom: f64) -> io::Result<()> {
    for part in [0.0, 0.5, 1.0] {
        let entries = (scale.entries / 1.1 * part) as u64;
        let (y, x) = (scale.y(entries) + 4.0, LEFT - 6.0);
        writeln!(out, "<text x=\"{x}\" y=\"{y:.1}\" text-anchor=\"end\">{entries}</text>")?;
    }
    for part in [0.0, 0.25, 0.5, 0.75, 1.0] {
        let seconds = scale.seconds * part;
        let (x, y) = (scale.x(seconds), bottom + 15.0);
        writeln!(out, "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"middle\">{}</text>", duration(seconds))?;
    }
    Ok(())
}

/// Text that cannot end an element.
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
