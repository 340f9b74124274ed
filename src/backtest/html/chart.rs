//! Charts as SVG without text: the labels are HTML around them, so that they keep their size on a phone.

use std::fmt::Write;

use super::escaped;

/// The size of a chart in its own units; the page stretches it to its width.
pub(super) const WIDTH: f64 = 900.0;
pub(super) const HEIGHT: f64 = 220.0;
/// Maximum number of bars or points; more are merged.
const MOST: usize = 600;

/// Returns a figure: its caption, the drawing, and labels below its left and right end.
pub(super) fn figure(caption: &str, drawing: &str, ends: [&str; 2]) -> String {
    let ([left, right], caption) = (ends.map(escaped), escaped(caption));
    format!(
        "<figure><figcaption>{caption}</figcaption><svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" preserveAspectRatio=\"none\" role=\"img\">\
         <title>{caption}</title>{drawing}</svg><div class=\"ends\"><span>{left}</span><span>{right}</span></div></figure>"
    )
}

/// A scale from values to heights.
pub(super) struct Heights {
    low: f64,
    height: f64,
}

impl Heights {
    pub(super) fn new(low: f64, high: f64) -> Self {
        Self { low, height: if high > low { high - low } else { 1.0 } }
    }

    /// Returns the distance of a value from the upper edge; values beyond an edge lie on it.
    pub(super) fn of(&self, value: f64) -> f64 {
        (HEIGHT - 4.0 - (value - self.low) / self.height * (HEIGHT - 8.0)).clamp(0.0, HEIGHT)
    }
}

/// Draws a bar chart around zero. Too many bars are summed up in groups.
pub(super) fn bars(caption: &str, values: &[(String, f64)]) -> String {
    let group = values.len().div_ceil(MOST).max(1);
    let merged = values.chunks(group).map(|group| {
        let name = match group {
            [(name, _)] => name.clone(),
            [(first, _), .., (last, _)] => format!("{first} to {last}"),
            [] => String::new(),
        };
        (name, group.iter().map(|(_, value)| value).sum::<f64>())
    });
    let merged: Vec<(String, f64)> = merged.collect();
    let (low, high) =
        merged.iter().fold((0.0f64, 0.0f64), |(low, high), (_, value)| (low.min(*value), high.max(*value)));
    let heights = Heights::new(low, high);
    let (step, zero) = (WIDTH / merged.len().max(1) as f64, heights.of(0.0));
    let mut drawn = String::new();
    for (place, (name, value)) in merged.iter().enumerate() {
        let (x, y) = (place as f64 * step, heights.of(*value));
        let (class, top) = if *value < 0.0 { ("loss", zero) } else { ("bar", y) };
        write!(
            drawn,
            "<rect class=\"{class}\" x=\"{x:.1}\" y=\"{top:.1}\" width=\"{:.1}\" height=\"{:.1}\"><title>{}: {}</title></rect>",
            step * 0.8,
            (y - zero).abs(),
            escaped(name),
            rounded(*value)
        )
        .ok();
    }
    let caption = format!("{caption}: {} to {}", rounded(low), rounded(high));
    let end = |value: Option<&(String, f64)>| value.map(|(name, _)| name.clone()).unwrap_or_default();
    figure(&caption, &format!("{drawn}{}", zero_line(zero)), [&end(values.first()), &end(values.last())])
}

/// Draws a line around zero. `boundary` is the place of a value before which a vertical line stands.
pub(super) fn line(caption: &str, values: &[f64], boundary: Option<usize>, ends: [&str; 2]) -> String {
    let (low, high) = values.iter().fold((0.0f64, 0.0f64), |(low, high), value| (low.min(*value), high.max(*value)));
    let heights = Heights::new(low, high);
    let x = |place: usize| place as f64 * WIDTH / values.len().saturating_sub(1).max(1) as f64;
    let group = values.len().div_ceil(MOST / 2).max(1);
    let mut points = Vec::new();
    for (part, group_of) in values.chunks(group).enumerate() {
        // The lowest and the highest value of a group, in their order, keep its shape.
        let places = 0..group_of.len();
        let lowest = places.clone().min_by(|a, b| group_of[*a].total_cmp(&group_of[*b])).unwrap_or_default();
        let highest = places.max_by(|a, b| group_of[*a].total_cmp(&group_of[*b])).unwrap_or_default();
        for place in if lowest == highest { vec![lowest] } else { vec![lowest.min(highest), lowest.max(highest)] } {
            points.push(format!("{:.1},{:.1}", x(part * group + place), heights.of(group_of[place])));
        }
    }
    let boundary = boundary.filter(|place| *place < values.len()).map(|place| {
        let x = x(place);
        format!("<path class=\"boundary\" d=\"M{x:.1} 0V{HEIGHT}\"/>")
    });
    let drawing = format!(
        "{}<polyline class=\"line\" points=\"{}\"/>{}",
        zero_line(heights.of(0.0)),
        points.join(" "),
        boundary.unwrap_or_default()
    );
    figure(&format!("{caption}: {} to {}", rounded(low), rounded(high)), &drawing, ends)
}

fn zero_line(y: f64) -> String {
    format!("<path class=\"zero\" d=\"M0 {y:.1}H{WIDTH}\"/>")
}

/// Returns a number with at most two decimals.
fn rounded(value: f64) -> String {
    let text = format!("{value:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// Counts the results in each bucket of half an R.
pub(super) fn histogram(results: &[f64]) -> Vec<(String, f64)> {
    let bucket = |r: f64| (r * 2.0 + 1e-9).floor().clamp(-8.0, 20.0) as i32;
    let buckets: Vec<i32> = results.iter().map(|r| bucket(*r)).collect();
    let (Some(first), Some(last)) = (buckets.iter().min(), buckets.iter().max()) else { return Vec::new() };
    (*first..=*last)
        .map(|at| {
            (format!("{:+.1}", f64::from(at) / 2.0), buckets.iter().filter(|bucket| **bucket == at).count() as f64)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn charts_are_bounded_and_keep_their_extremes() {
        let values: Vec<f64> = (0..100_000).map(|n| if n == 77_777 { 50.0 } else { f64::from(n % 7) - 3.0 }).collect();
        let drawn = line("Sum", &values, None, ["a", "b"]);
        assert!(drawn.len() < 12_000 && drawn.contains("Sum: -3 to 50") && drawn.contains(",4.0 "), "{}", drawn.len());
        let days: Vec<_> = values.iter().map(|value| ("2026-01-15".to_owned(), *value)).collect();
        assert!(bars("Days", &days).len() < 120_000);
    }

    #[test]
    fn empty_charts_are_drawn() {
        for drawn in [bars("None", &[]), line("None", &[], Some(3), ["", ""])] {
            assert!(drawn.contains("None: 0 to 0") && !drawn.contains("NaN") && !drawn.contains("inf"), "{drawn}");
        }
        assert!(histogram(&[]).is_empty());
    }
}
