//! Figures with their spread, and how they are shown.

use serde_json::{Map, Value, json};

/// The median of several measurements, with the smallest and the largest.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Figure {
    /// The middle one.
    pub median: f64,
    /// The smallest one.
    pub min: f64,
    /// The largest one.
    pub max: f64,
}

impl Figure {
    /// Of at least one measurement.
    pub fn of(mut measured: Vec<f64>) -> Self {
        measured.sort_by(f64::total_cmp);
        let last = measured.len() - 1;
        Self { median: measured[measured.len() / 2], min: measured[0], max: measured[last] }
    }
}

/// All figures, by the path of their key, in the order measured.
#[derive(Clone, Debug, Default)]
pub struct Report {
    figures: Vec<(&'static str, &'static str, Vec<f64>)>,
}

impl Report {
    /// Adds a figure under a dotted key, with what it means in words.
    pub(super) fn add(&mut self, key: &'static str, meaning: &'static str, measured: Vec<f64>) {
        self.figures.push((key, meaning, measured));
    }

    /// Adds the ratio of two figures that were measured in turn, one after the other: each measurement by its neighbour's, since what slows
    /// the machine down for a while slows both down.
    pub(super) fn add_ratio(&mut self, key: &'static str, meaning: &'static str, above: &str, below: &str) {
        let ratios = self.measured(above).iter().zip(self.measured(below)).map(|(above, below)| above / below).collect();
        self.figures.push((key, meaning, ratios));
    }

    fn measured(&self, key: &str) -> &[f64] {
        &self.figures.iter().find(|(known, ..)| *known == key).expect("it was measured before").2
    }

    /// Medians under their keys, and under `spread` the smallest and the largest under the same keys.
    pub fn to_json(&self) -> Value {
        let (mut medians, mut spread) = (Value::Object(Map::new()), Value::Object(Map::new()));
        for (key, _, measured) in &self.figures {
            let figure = Figure::of(measured.clone());
            put(&mut medians, key, json!(round(figure.median)));
            put(&mut spread, key, json!([round(figure.min), round(figure.max)]));
        }
        medians["spread"] = spread;
        medians
    }

    /// Rows of key, median, spread and meaning.
    pub fn rows(&self) -> Vec<[String; 4]> {
        let row = |(key, meaning, measured): &(&str, &str, Vec<f64>)| {
            let figure = Figure::of(measured.clone());
            [(*key).into(), show(figure.median), format!("{} – {}", show(figure.min), show(figure.max)), (*meaning).into()]
        };
        self.figures.iter().map(row).collect()
    }
}

/// Three digits after the point are more than the spread allows.
fn round(value: f64) -> f64 {
    (value * 1e3).round() / 1e3
}

fn show(value: f64) -> String {
    match value.abs() {
        large if large >= 10_000.0 => format!("{value:.0}"),
        middle if middle >= 100.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

fn put(tree: &mut Value, key: &str, value: Value) {
    let place = key.split('.').fold(tree, |place, part| &mut place[part]);
    *place = value;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_become_a_tree_with_a_spread_beside() {
        let mut report = Report::default();
        report.add("lateness_us.p50", "late", vec![3.0, 1.0, 2.0]);
        report.add("bare.x", "raw", vec![1.0, 2.0, 4.0]);
        report.add_ratio("ratio", "of both", "lateness_us.p50", "bare.x");
        let expected = json!({ "lateness_us": { "p50": 2.0 }, "bare": { "x": 2.0 }, "ratio": 0.5,
            "spread": { "lateness_us": { "p50": [1.0, 3.0] }, "bare": { "x": [1.0, 4.0] }, "ratio": [0.5, 3.0] } });
        assert_eq!(report.to_json(), expected);
    }
}
