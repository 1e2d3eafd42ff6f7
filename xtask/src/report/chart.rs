use std::fmt::Write as _;

/// A line chart with logarithmic axes, as SVG.
#[derive(Debug)]
pub(crate) struct Chart {
    /// Names the chart in the page; unique.
    pub(crate) id: &'static str,
    pub(crate) title: &'static str,
    pub(crate) x: Axis,
    pub(crate) y: Axis,
    pub(crate) lines: Vec<Line>,
}

#[derive(Debug)]
pub(crate) struct Axis {
    pub(crate) name: &'static str,
    pub(crate) scale: Scale,
}

#[derive(Debug)]
pub(crate) enum Scale {
    /// Powers of ten are marked.
    Logarithmic,
    /// What is marked, and how.
    Marked(Vec<(f64, String)>),
}

/// One target, or one scenario.
#[derive(Debug)]
pub(crate) struct Line {
    pub(crate) name: String,
    /// In the order of x; with the ends of their intervals.
    pub(crate) points: Vec<Point>,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Point {
    pub(crate) x: f64,
    pub(crate) y: f64,
    pub(crate) low: f64,
    pub(crate) high: f64,
}

const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 400.0;
/// Left, top, right and bottom of the field, and from there to the edges.
const FIELD: [f64; 4] = [76.0, 20.0, 550.0, 340.0];

/// Told apart also by those who see fewer colours (Okabe and Ito).
const COLOURS: [&str; 8] =
    ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#555555", "#b8a800"];

impl Chart {
    /// True if nothing would be seen.
    pub(crate) fn is_empty(&self) -> bool {
        self.lines.iter().all(|line| line.points.is_empty())
    }

    pub(crate) fn svg(&self) -> String {
        let points = || self.lines.iter().flat_map(|line| &line.points);
        let across = Span::of(&self.x.scale, points().map(|point| point.x), [FIELD[0], FIELD[2]]);
        let up = Span::of(
            &self.y.scale,
            points().flat_map(|point| [point.y, point.low, point.high]),
            [FIELD[3], FIELD[1]],
        );
        let mut svg = format!(
            "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{}\">\n",
            escaped(self.title)
        );
        let [left, top, right, bottom] = FIELD;
        for (place, mark) in across.marks() {
            let _ = writeln!(
                svg,
                "<path class=\"grid\" d=\"M{place:.1} {top}V{bottom}\"/><text x=\"{place:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
                bottom + 18.0,
                escaped(&mark)
            );
        }
        for (place, mark) in up.marks() {
            let _ = writeln!(
                svg,
                "<path class=\"grid\" d=\"M{left} {place:.1}H{right}\"/><text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
                left - 6.0,
                place + 4.0,
                escaped(&mark)
            );
        }
        let _ = writeln!(
            svg,
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text><text transform=\"translate(14 {:.1}) rotate(-90)\" text-anchor=\"middle\">{}</text>",
            f64::midpoint(left, right),
            HEIGHT - 14.0,
            escaped(self.x.name),
            f64::midpoint(top, bottom),
            escaped(self.y.name)
        );
        let named = self.lines.iter().filter(|line| !line.points.is_empty());
        for (number, (line, colour)) in named.zip(COLOURS.into_iter().cycle()).enumerate() {
            svg += &line.svg(&across, &up, colour, number);
        }
        svg + "</svg>\n"
    }
}

impl Line {
    fn svg(&self, across: &Span, up: &Span, colour: &str, number: usize) -> String {
        let mut svg = format!("<g class=\"line\" stroke=\"{colour}\" fill=\"{colour}\">");
        let places: Vec<_> =
            self.points.iter().map(|point| (across.place(point.x), up.place(point.y))).collect();
        let path: Vec<_> = places.iter().map(|(x, y)| format!("{x:.1} {y:.1}")).collect();
        let _ = write!(svg, "<path fill=\"none\" d=\"M{}\"/>", path.join("L"));
        for (point, (x, y)) in self.points.iter().zip(places) {
            let (low, high) = (up.place(point.low), up.place(point.high));
            let _ = write!(
                svg,
                "<path d=\"M{x:.1} {low:.1}V{high:.1}\"/><circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\"><title>{}: {} ({} to {})</title></circle>",
                escaped(&self.name),
                short(point.y),
                short(point.low),
                short(point.high)
            );
        }
        #[expect(clippy::cast_precision_loss, reason = "some lines")]
        let y = FIELD[1] + 12.0 + 18.0 * number as f64;
        let _ = writeln!(
            svg,
            "</g><text x=\"{:.1}\" y=\"{y:.1}\" fill=\"{colour}\">{}</text>",
            FIELD[2] + 14.0,
            escaped(&self.name)
        );
        svg
    }
}

/// What an axis shows, and where.
struct Span<'a> {
    scale: &'a Scale,
    /// Logarithms, if the scale has them.
    from: f64,
    to: f64,
    ends: [f64; 2],
}

impl<'a> Span<'a> {
    fn of(scale: &'a Scale, values: impl Iterator<Item = f64>, ends: [f64; 2]) -> Self {
        let marked: Vec<f64> = match scale {
            Scale::Logarithmic => Vec::new(),
            Scale::Marked(marks) => marks.iter().map(|(value, _)| *value).collect(),
        };
        let mut span = Self { scale, from: f64::INFINITY, to: f64::NEG_INFINITY, ends };
        for value in values.chain(marked) {
            let value = span.scaled(value);
            (span.from, span.to) = (span.from.min(value), span.to.max(value));
        }
        if matches!(scale, Scale::Logarithmic) {
            // Whole powers are marked: there is one at least.
            (span.from, span.to) = (span.from.floor(), span.to.ceil());
        }
        if span.to - span.from < 1e-9 {
            (span.from, span.to) = (span.from - 0.5, span.to + 0.5);
        }
        span
    }

    fn scaled(&self, value: f64) -> f64 {
        match self.scale {
            // Nothing and less have no logarithm.
            Scale::Logarithmic => value.max(1e-6).log10(),
            Scale::Marked(_) => value,
        }
    }

    fn place(&self, value: f64) -> f64 {
        self.ends[0]
            + (self.scaled(value) - self.from) / (self.to - self.from) * (self.ends[1] - self.ends[0])
    }

    fn marks(&self) -> Vec<(f64, String)> {
        match self.scale {
            Scale::Marked(marks) => {
                marks.iter().map(|(value, mark)| (self.place(*value), mark.clone())).collect()
            }
            Scale::Logarithmic => {
                #[expect(clippy::cast_possible_truncation, reason = "powers of ten")]
                let powers = self.from.ceil() as i32..=self.to.floor() as i32;
                powers
                    .map(|power| 10_f64.powi(power))
                    .map(|value| (self.place(value), short(value)))
                    .collect()
            }
        }
    }
}

/// A number with three digits that count.
pub(crate) fn short(value: f64) -> String {
    let (value, unit) = match value.abs() {
        size if size >= 1e9 => (value / 1e9, " G"),
        size if size >= 1e6 => (value / 1e6, " M"),
        size if size >= 1e4 => (value / 1e3, " k"),
        _ => (value, ""),
    };
    let digits = match value.abs() {
        size if size >= 100.0 || size == 0.0 => 0,
        size if size >= 10.0 => 1,
        size if size >= 1.0 => 2,
        _ => 3,
    };
    let number = format!("{value:.digits$}");
    let number =
        if number.contains('.') { number.trim_end_matches('0').trim_end_matches('.') } else { &number };
    format!("{number}{unit}")
}

pub(crate) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart(points: Vec<Point>) -> Chart {
        let axis = || Axis { name: "a < b", scale: Scale::Logarithmic };
        Chart { id: "c", title: "t", x: axis(), y: axis(), lines: vec![Line { name: "l".into(), points }] }
    }

    #[test]
    fn points_lie_in_the_field_whatever_their_values_are() {
        for value in [0.0, 1e-9, 0.5, 1.0, 7e12] {
            let svg = chart(vec![Point { x: value, y: value, low: 0.0, high: value }]).svg();
            assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
            let x = svg.split("cx=\"").nth(1).and_then(|rest| rest.split('"').next()?.parse::<f64>().ok());
            assert!(x.is_some_and(|x| (FIELD[0]..=FIELD[2]).contains(&x)), "{value}: {svg}");
            assert!(svg.contains("a &lt; b"));
        }
    }

    #[test]
    fn a_chart_without_points_is_empty() {
        assert!(chart(vec![]).is_empty());
        assert!(!chart(vec![Point { x: 1.0, y: 1.0, low: 1.0, high: 1.0 }]).is_empty());
    }

    #[test]
    fn numbers_have_three_digits_that_count() {
        let shown = [0.0, 0.0123, 1.0, 4.671, 198.4, 9999.0, 12_345.0, 2.5e6].map(short);
        assert_eq!(shown, ["0", "0.012", "1", "4.67", "198", "9999", "12.3 k", "2.5 M"]);
    }
}
