//! Small multiples on logarithmic scales (SVG 1.1): a panel for each measure, text as text, for light and dark pages.

use std::fmt::Write;

/// What a panel shows.
pub struct Panel {
    pub title: &'static str,
    pub unit: &'static str,
    /// How it should grow: with the number of entries, or not at all.
    pub linear: bool,
    /// The program's own, and what it is held against.
    pub lines: Vec<Line>,
}

/// One line of a panel, left to right.
pub struct Line {
    pub name: &'static str,
    pub points: Vec<(f64, f64)>,
}

const COLUMNS: usize = 3;
const WIDTH: f64 = 320.0;
const HEIGHT: f64 = 230.0;
const HEAD: f64 = 62.0;
const LEFT: f64 = 58.0;
const RIGHT: f64 = 14.0;
const ABOVE: f64 = 40.0;
const BELOW: f64 = 34.0;
/// The lines of a panel, in order.
const CLASSES: [&str; 2] = ["own", "limit"];

const STYLE: &str = "<style>
text { font-family: sans-serif; font-size: 12px; fill: #1f2328 } .head { font-size: 15px } .small { font-size: 11px; fill: #59636e }
text.own, circle.own { fill: #0a5fc2 } text.limit, circle.limit { fill: #b45309 }
.middle { text-anchor: middle } .end { text-anchor: end }
.page { fill: #fff } path, polyline { fill: none } .grid { stroke: #e4e8ec }
polyline { stroke-width: 2 } .should { stroke: #59636e; stroke-width: 1; stroke-dasharray: 2 4 } polyline.own { stroke: #0a5fc2 } polyline.limit { stroke: #b45309; stroke-dasharray: 7 3 }
@media (prefers-color-scheme: dark) {
text { fill: #e6edf3 } .small { fill: #9198a1 }
text.own, circle.own { fill: #6cb0ff } text.limit, circle.limit { fill: #f0a860 }
.page { fill: #0d1117 } .grid { stroke: #262c34 } .should { stroke: #9198a1 }
polyline.own { stroke: #6cb0ff } polyline.limit { stroke: #f0a860 } }
</style>";

/// The drawing; `below` says on what it was measured.
pub fn svg(title: &str, below: &str, panels: &[Panel]) -> String {
    let (width, rows) = (WIDTH * COLUMNS as f64, panels.len().div_ceil(COLUMNS));
    let height = HEAD + HEIGHT * rows as f64;
    let (title, below) = (plain(title), plain(below));
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" role=\"img\" \
         aria-labelledby=\"title desc\">\n<title id=\"title\">{title}</title>\n<desc id=\"desc\">{}</desc>\n{STYLE}\n\
         <rect class=\"page\" width=\"{width}\" height=\"{height}\"/>\n\
         <text class=\"head\" x=\"14\" y=\"26\">{title}</text>\n<text class=\"small\" x=\"14\" y=\"46\">{below}</text>\n",
        plain(&described(panels))
    );
    for (i, panel) in panels.iter().enumerate() {
        let at = ((i % COLUMNS) as f64 * WIDTH, HEAD + (i / COLUMNS) as f64 * HEIGHT);
        out.push_str(&drawn(panel, at));
    }
    out + "</svg>\n"
}

/// All numbers in words, for who cannot see the lines.
fn described(panels: &[Panel]) -> String {
    let mut out = String::new();
    for panel in panels {
        let should = if panel.linear { "linear" } else { "flat" };
        let _ = write!(out, "{} in {}, should be {should}:", panel.title, panel.unit);
        for line in &panel.lines {
            let points: Vec<String> =
                line.points.iter().map(|(x, y)| format!("{} at {} entries", short(*y), short(*x))).collect();
            let _ = write!(out, " {} {};", line.name, points.join(", "));
        }
        out.push(' ');
    }
    out
}

/// From numbers to the drawing: logarithmic, in whole decades.
struct Frame {
    left: f64,
    right: f64,
    above: f64,
    bottom: f64,
    x_decades: (i32, i32),
    y_decades: (i32, i32),
}

impl Frame {
    fn new<'a>((left, top): (f64, f64), points: impl Iterator<Item = &'a (f64, f64)> + Clone) -> Self {
        Frame {
            left: left + LEFT,
            right: left + WIDTH - RIGHT,
            above: top + ABOVE,
            bottom: top + HEIGHT - BELOW,
            x_decades: decades(points.clone().map(|point| point.0)),
            y_decades: decades(points.map(|point| point.1)),
        }
    }

    fn x(&self, value: f64) -> f64 {
        self.left + part(value, self.x_decades) * (self.right - self.left)
    }

    fn y(&self, value: f64) -> f64 {
        self.bottom - part(value, self.y_decades) * (self.bottom - self.above)
    }

    fn path(&self, points: &[(f64, f64)]) -> String {
        let place = |(x, y): &(f64, f64)| format!("{:.1},{:.1}", self.x(*x), self.y(*y));
        points.iter().map(place).collect::<Vec<_>>().join(" ")
    }

    /// A line and a number for each decade.
    fn grid(&self) -> String {
        let (mut out, (left, right, above, bottom)) =
            (String::new(), (self.left, self.right, self.above, self.bottom));
        for value in (self.y_decades.0..=self.y_decades.1).map(|power| 10_f64.powi(power)) {
            let (y, x, number) = (self.y(value), left - 6.0, power(value));
            let _ = writeln!(out, "<path class=\"grid\" d=\"M{left:.1},{y:.1}H{right:.1}\"/>");
            let y = y + 4.0;
            let _ = writeln!(out, "<text class=\"small end\" x=\"{x:.1}\" y=\"{y:.1}\">{number}</text>");
        }
        for value in (self.x_decades.0..=self.x_decades.1).map(|power| 10_f64.powi(power)) {
            let (x, y, number) = (self.x(value), bottom + 15.0, power(value));
            let _ = writeln!(out, "<path class=\"grid\" d=\"M{x:.1},{above:.1}V{bottom:.1}\"/>");
            let _ = writeln!(out, "<text class=\"small middle\" x=\"{x:.1}\" y=\"{y:.1}\">{number}</text>");
        }
        out
    }
}

/// Decades that hold all of `values`, as powers of ten.
fn decades(values: impl Iterator<Item = f64> + Clone) -> (i32, i32) {
    let least = values.clone().fold(f64::INFINITY, f64::min).log10().floor() as i32;
    let most = values.fold(f64::NEG_INFINITY, f64::max).log10().ceil() as i32;
    // What should be flat looks so.
    (least, most.max(least + 2))
}

fn part(value: f64, (from, to): (i32, i32)) -> f64 {
    (value.log10() - f64::from(from)) / f64::from(to - from)
}

fn drawn(panel: &Panel, (left, top): (f64, f64)) -> String {
    let should = should(panel);
    let points = panel.lines.iter().flat_map(|line| &line.points).chain(&should);
    let frame = Frame::new((left, top), points);
    let (x, y, title) = (frame.left, top + 14.0, plain(panel.title));
    let mut out = format!("<g>\n<text x=\"{x:.1}\" y=\"{y:.1}\">{title} ({})</text>\n", panel.unit);
    out.push_str(&frame.grid());
    let _ = writeln!(out, "<polyline class=\"should\" points=\"{}\"/>", frame.path(&should));
    for (i, (line, class)) in panel.lines.iter().zip(CLASSES).enumerate() {
        let _ = writeln!(out, "<polyline class=\"{class}\" points=\"{}\"/>", frame.path(&line.points));
        for (x, y) in &line.points {
            let (x, y) = (frame.x(*x), frame.y(*y));
            let _ = writeln!(out, "<circle class=\"{class}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\"/>");
        }
        let (x, y, name) = (frame.left + 100.0 * i as f64, top + 30.0, plain(line.name));
        let _ = writeln!(out, "<text class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\">{name}</text>");
    }
    out + "</g>\n"
}

/// Where the program's own line would be if its last point and the expectation told all.
fn should(panel: &Panel) -> Vec<(f64, f64)> {
    let points = &panel.lines[0].points;
    let (first, last) = (points[0], points[points.len() - 1]);
    let begin = if panel.linear { last.1 * first.0 / last.0 } else { last.1 };
    vec![(first.0, begin), last]
}

/// A power of ten: without what follows its one digit.
fn power(value: f64) -> String {
    if value < 1.0 { format!("{value}") } else { short(value) }
}

/// 10k, 4M, 0.01: three digits at most.
pub fn short(value: f64) -> String {
    if !value.is_finite() {
        return "-".into();
    }
    let (value, sign) = match value {
        v if v >= 1e6 => (v / 1e6, "M"),
        v if v >= 1e4 => (v / 1e3, "k"),
        v => (v, ""),
    };
    let digits = if value >= 99.5 || value.fract().abs() < 1e-9 {
        0
    } else {
        (2 - value.log10().floor() as i32).clamp(0, 4) as usize
    };
    format!("{value:.digits$}{sign}")
}

/// Text that cannot end an element.
fn plain(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
