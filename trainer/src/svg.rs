//! A small drawing board for charts: SVG text that follows the reader's light or dark theme, inline or as a file.
//!
//! Colours are the colour-blind-safe set of Okabe and Ito (2008), lighter on dark; each series also has its own dash, so
//! that no figure is read by colour alone.

use std::fmt::{Display, Write};

/// Series that look different; more than these start again.
const SERIES: usize = 6;

const STYLE: &str = "\
.chart{--ink:#1c2430;--soft:#5b6675;--grid:#e3e7ec;--face:#fff;--heat:#0b63a5;\
--s0:#0072b2;--s1:#c14d00;--s2:#00795a;--s3:#a3447d;--s4:#8a6d00;--s5:#4a5563;\
font-family:system-ui,-apple-system,'Segoe UI',Roboto,sans-serif;font-size:13px}\
@media(prefers-color-scheme:dark){.chart{--ink:#e8edf3;--soft:#9aa7b6;--grid:#2c3643;--face:#151b23;--heat:#56b4e9;\
--s0:#56b4e9;--s1:#ff9a57;--s2:#3fd1a4;--s3:#e79ac6;--s4:#e6c84f;--s5:#b7c2cf}}\
.chart text{fill:var(--ink)}.chart .soft{fill:var(--soft)}.chart .grid{stroke:var(--grid);stroke-width:1}\
.chart .axis{stroke:var(--soft);stroke-width:1}.chart .line{fill:none;stroke-width:2.4;stroke-linejoin:round}\
.chart .guide{stroke:var(--soft);stroke-width:1.2;stroke-dasharray:3 4;fill:none}\
.chart .face{fill:var(--face)}.chart .end{text-anchor:end}.chart .mid{text-anchor:middle}.chart .bold{font-weight:600}\
.chart .small{font-size:11.5px}.chart .s0{stroke:var(--s0)}.chart .s1{stroke:var(--s1);stroke-dasharray:9 3}\
.chart .s2{stroke:var(--s2);stroke-dasharray:3 2.5}.chart .s3{stroke:var(--s3);stroke-dasharray:10 3 2 3}\
.chart .s4{stroke:var(--s4);stroke-dasharray:14 4}.chart .s5{stroke:var(--s5);stroke-dasharray:2 4}\
.chart .f0{fill:var(--s0)}.chart .heat{fill:var(--heat)}.chart .bar{fill:var(--s0);opacity:.85}\
.chart .whisker{stroke:var(--s0);stroke-width:2}.chart .onheat{fill:var(--face)}";

/// Text for SVG and HTML: labels and file names are the user's.
pub fn escape(text: impl Display) -> String {
    let mut safe = String::new();
    for c in text.to_string().chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            // Control characters are not allowed in XML.
            c if c.is_control() => safe.push(' '),
            c => safe.push(c),
        }
    }
    safe
}

/// An SVG in the making, in pixels from the top left.
pub struct Svg {
    body: String,
    width: f64,
    height: f64,
    title: String,
}

impl Svg {
    /// An empty drawing. `title` is what a screen reader says.
    pub fn new(width: f64, height: f64, title: &str) -> Svg {
        Svg { body: String::new(), width, height, title: escape(title) }
    }

    fn push(&mut self, element: std::fmt::Arguments) {
        // Writing to a String cannot fail.
        let _ = writeln!(self.body, "{element}");
    }

    /// Text with its baseline at `y`; `class` holds `end` or `mid` to anchor it, `soft`, `small`, `bold`.
    pub fn text(&mut self, x: f64, y: f64, class: &str, text: impl Display) {
        let text = escape(text);
        self.push(format_args!(r#"<text x="{x:.1}" y="{y:.1}" class="{class}">{text}</text>"#));
    }

    /// Text that reads upwards, centred on the point.
    pub fn upward(&mut self, x: f64, y: f64, class: &str, text: impl Display) {
        let text = escape(text);
        self.push(format_args!(
            r#"<text transform="translate({x:.1} {y:.1}) rotate(-90)" class="mid {class}">{text}</text>"#
        ));
    }

    /// A straight line.
    pub fn line(&mut self, from: (f64, f64), to: (f64, f64), class: &str) {
        let ((x1, y1), (x2, y2)) = (from, to);
        self.push(format_args!(r#"<line x1="{x1:.1}" y1="{y1:.1}" x2="{x2:.1}" y2="{y2:.1}" class="{class}"/>"#));
    }

    /// A path through the points.
    pub fn path(&mut self, points: impl Iterator<Item = (f64, f64)>, class: &str) {
        let points: Vec<String> = points.map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
        let points = points.join(" ");
        self.push(format_args!(r#"<polyline points="{points}" class="{class}"/>"#));
    }

    /// A rectangle with a tooltip.
    pub fn rect(&mut self, at: (f64, f64), size: (f64, f64), class: &str, opacity: f64, tip: &str) {
        let ((x, y), (w, h), tip) = (at, size, escape(tip));
        self.push(format_args!(
            r#"<rect x="{x:.1}" y="{y:.1}" width="{w:.1}" height="{h:.1}" rx="2" class="{class}" style="opacity:{opacity:.3}"><title>{tip}</title></rect>"#
        ));
    }

    /// A dot with a tooltip.
    pub fn dot(&mut self, (x, y): (f64, f64), radius: f64, class: &str, tip: &str) {
        let tip = escape(tip);
        self.push(format_args!(
            r#"<circle cx="{x:.1}" cy="{y:.1}" r="{radius:.1}" class="{class}"><title>{tip}</title></circle>"#
        ));
    }

    /// A key of series from the top left of its box, one a row of 20 pixels, on a plain ground of the given width.
    pub fn legend(&mut self, x: f64, y: f64, width: f64, entries: &[String]) {
        self.rect((x, y), (width, 20.0 * entries.len() as f64 + 8.0), "face", 0.88, "");
        for (index, entry) in entries.iter().enumerate() {
            let y = y + 14.0 + 20.0 * index as f64;
            self.line((x + 6.0, y), (x + 34.0, y), &series(index));
            self.text(x + 41.0, y + 4.0, "small", entry);
        }
    }

    /// The whole file.
    pub fn finish(self) -> String {
        let Svg { body, width, height, title } = self;
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" class=\"chart\" role=\"img\" \
             aria-label=\"{title}\"><title>{title}</title><style>{STYLE}</style>\n\
             <rect width=\"{width}\" height=\"{height}\" class=\"face\"/>\n{body}</svg>\n"
        )
    }
}

/// Classes of the line of a series.
pub fn series(index: usize) -> String {
    format!("line s{}", index % SERIES)
}

/// The box of a chart with its two scales.
pub struct Frame {
    /// Left edge, top edge, width, height in pixels.
    pub area: (f64, f64, f64, f64),
    /// Values at the left and right edge.
    pub x: (f64, f64),
    /// Values at the lower and upper edge.
    pub y: (f64, f64),
}

impl Frame {
    /// Pixel of a pair of values.
    pub fn at(&self, x: f64, y: f64) -> (f64, f64) {
        let (left, top, width, height) = self.area;
        let share = |v: f64, (low, high): (f64, f64)| (v - low) / (high - low);
        (left + width * share(x, self.x), top + height * (1.0 - share(y, self.y)))
    }

    /// Grid, tick labels and axis names.
    pub fn axes(&self, svg: &mut Svg, x_name: &str, y_name: &str) {
        let (left, top, width, height) = self.area;
        for y in ticks(self.y.0, self.y.1) {
            let (_, at) = self.at(self.x.0, y);
            svg.line((left, at), (left + width, at), "grid");
            svg.text(left - 8.0, at + 4.0, "soft small end", tick_label(y, self.y));
        }
        for x in ticks(self.x.0, self.x.1) {
            let (at, _) = self.at(x, self.y.0);
            svg.line((at, top), (at, top + height), "grid");
            svg.text(at, top + height + 17.0, "soft small mid", tick_label(x, self.x));
        }
        svg.line((left, top + height), (left + width, top + height), "axis");
        svg.line((left, top), (left, top + height), "axis");
        svg.text(left + width / 2.0, top + height + 37.0, "mid", x_name);
        svg.upward(left - 42.0, top + height / 2.0, "", y_name);
    }
}

/// About five round values (steps of 1, 2 or 5 times a power of ten) within the range.
pub fn ticks(low: f64, high: f64) -> Vec<f64> {
    let raw = (high - low) / 5.0;
    let power = 10f64.powf(raw.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].into_iter().map(|m| m * power).find(|step| *step >= raw * 0.999).unwrap_or(raw);
    let first = (low / step - 1e-9).ceil() as i64;
    let last = (high / step + 1e-9).floor() as i64;
    (first..=last).map(|i| i as f64 * step).collect()
}

fn tick_label(value: f64, (low, high): (f64, f64)) -> String {
    let step = (high - low) / 5.0;
    let digits = (-step.log10().floor()).clamp(0.0, 6.0) as usize;
    format!("{value:.digits$}")
}
