//! Axes: linear or logarithmic, with ticks at round numbers.

use crate::significant;

/// What an axis measures and how.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Axis {
    /// Quantity and unit, e.g. `threads` or `time [ms]`.
    pub label: String,
    /// Whether equal ratios are equal distances.
    pub log: bool,
    /// Places of the ticks; chosen when empty.
    pub ticks: Vec<f64>,
    /// Whether values fall from left to right, as weights of a penalty do that let in one column after another.
    pub falling: bool,
}

impl Axis {
    /// A linear axis, which begins at 0.
    pub fn linear(label: impl Into<String>) -> Self {
        Self { label: label.into(), ..Self::default() }
    }

    /// A logarithmic axis.
    pub fn log(label: impl Into<String>) -> Self {
        Self { label: label.into(), log: true, ..Self::default() }
    }

    /// The same with the largest value first.
    pub fn falling(self) -> Self {
        Self { falling: true, ..self }
    }

    /// The same with ticks at these values.
    pub fn with_ticks(self, ticks: &[f64]) -> Self {
        Self { ticks: ticks.to_vec(), ..self }
    }
}

/// An axis fitted to its values: where each value lies between 0 and 1, and the ticks.
pub(super) struct Scale {
    log: bool,
    low: f64,
    high: f64,
    falling: bool,
    pub(super) ticks: Vec<f64>,
}

impl Scale {
    /// Covers `values`; those that the axis cannot show (not finite, or not positive when logarithmic) do not count.
    pub(super) fn new(axis: &Axis, values: impl Iterator<Item = f64>, most_ticks: usize) -> Self {
        Self::rising(axis, values, most_ticks).turned(axis.falling)
    }

    fn rising(axis: &Axis, values: impl Iterator<Item = f64>, most_ticks: usize) -> Self {
        let shown = values.chain(axis.ticks.iter().copied()).filter(|&v| showable(axis.log, v));
        let (low, high) = shown.fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), v| (l.min(v), h.max(v)));
        let (low, high) = if low > high { (1.0, 2.0) } else { (low, high) };
        let (from, to, ticks) = match axis.log {
            true => log_ticks(low, high, most_ticks),
            false => linear_ticks(low.min(0.0), high, most_ticks),
        };
        if axis.ticks.is_empty() {
            return Self { log: axis.log, low: from, high: to, falling: false, ticks };
        }
        // Given ticks are the values that were measured: a linear axis ends with the last.
        let to = if axis.log || high <= from { to } else { high };
        Self { log: axis.log, low: from, high: to, falling: false, ticks: axis.ticks.clone() }
    }

    /// The same, with the largest value first where it is `falling`; ticks stand from left to right.
    fn turned(mut self, falling: bool) -> Self {
        if falling {
            self.ticks.reverse();
        }
        Self { falling, ..self }
    }

    /// As [`new`](Self::new) for points: a linear axis begins at the tick below its least value, not at 0.
    pub(super) fn tight(axis: &Axis, values: impl Iterator<Item = f64>, most_ticks: usize) -> Self {
        let shown: Vec<f64> = values.filter(|&v| showable(axis.log, v)).collect();
        let (low, high) =
            shown.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), v| (l.min(*v), h.max(*v)));
        if axis.log || low > high {
            return Self::new(axis, shown.into_iter(), most_ticks);
        }
        // One value alone stands in the middle of a tenth of it to both sides.
        let room = if high - low > LEAST { 0.0 } else { (low.abs() * 0.1).max(1e-9) };
        let (low, high, ticks) = linear_ticks(low - room, high + room, most_ticks);
        Self { log: false, low, high, falling: false, ticks }.turned(axis.falling)
    }

    /// A linear axis from one end to the other, without ticks.
    pub(super) fn between([low, high]: [f64; 2]) -> Self {
        Self { log: false, low, high, falling: false, ticks: Vec::new() }
    }

    /// Where `value` lies, 0 to 1; `None` when it cannot be shown.
    pub(super) fn place(&self, value: f64) -> Option<f64> {
        let (low, high, v) =
            if self.log { (self.low.ln(), self.high.ln(), value.ln()) } else { (self.low, self.high, value) };
        let place = ((v - low) / (high - low)).clamp(0.0, 1.0);
        showable(self.log, value).then_some(if self.falling { 1.0 - place } else { place })
    }

    /// Where bars begin: 0, or on a logarithmic axis 1 if it is shown, else its low end.
    pub(super) fn base(&self) -> f64 {
        if !self.log { 0.0 } else { 1f64.clamp(self.low, self.high) }
    }
}

/// Values between which there is less are as good as one: a step between ticks would be lost to f64.
const LEAST: f64 = 1e-300;
/// Values beyond are not shown: differences of them overflow.
const MOST: f64 = 1e300;

fn showable(log: bool, value: f64) -> bool {
    value.abs() <= MOST && (!log || value > LEAST)
}

/// Ticks at 1, 2 or 5 times a power of ten; the axis ends at a tick.
fn linear_ticks(low: f64, high: f64, most: usize) -> (f64, f64, Vec<f64>) {
    let span = if high - low > LEAST { high - low } else { 1.0 };
    let rough = span / most.max(1) as f64;
    let power = 10f64.powf(rough.log10().floor());
    let step =
        [1.0, 2.0, 5.0, 10.0].into_iter().map(|m| m * power).find(|&s| s >= rough * 0.999).unwrap_or(rough);
    let (first, last) = ((low / step).floor() as i64, ((low + span) / step - 1e-9).ceil() as i64);
    let ticks: Vec<f64> = (first..=last).map(|i| i as f64 * step).collect();
    (first as f64 * step, last as f64 * step, ticks)
}

/// Ticks at powers of ten, with 2 and 5 between them when there is room; the axis ends just around its values.
fn log_ticks(low: f64, high: f64, most: usize) -> (f64, f64, Vec<f64>) {
    let (low, high) = if high / low < 1.5 { (low / 1.5, high * 1.5) } else { (low / 1.1, high * 1.1) };
    let inside = |mantissas: &[f64], every: i32| {
        let (from, to) = (low.log10().floor() as i32, high.log10().ceil() as i32);
        let powers = (from..=to).filter(|p| p.rem_euclid(every) == 0);
        let all = powers.flat_map(|p| mantissas.iter().map(move |m| m * 10f64.powi(p)));
        all.filter(|t| (low..=high).contains(t)).collect::<Vec<f64>>()
    };
    let choices = [(&[1.0, 2.0, 3.0, 5.0, 7.0][..], 1), (&[1.0, 2.0, 5.0], 1), (&[1.0, 3.0], 1), (&[1.0], 1)];
    let choices = choices.into_iter().chain((2..12).map(|every| (&[1.0][..], every)));
    let ticks = choices.map(|(m, every)| inside(m, every)).find(|ticks| ticks.len() <= most);
    (low, high, ticks.unwrap_or_default())
}

/// The text of a tick: no more digits than it needs.
pub(super) fn tick_label(value: f64) -> String {
    let rounded = format!("{value:.9}").parse().unwrap_or(value);
    if value != 0.0 && value.abs() < 1e-3 {
        // Six digits: a multiple of a step may be off in the last bit.
        return format!("{:e}", format!("{value:.5e}").parse().unwrap_or(value));
    }
    match value.abs() {
        v if v >= 1e13 => format!("{:e}", format!("{value:.5e}").parse().unwrap_or(value)),
        v if v >= 1e9 => format!("{}G", short(value / 1e9)),
        v if v >= 1e6 => format!("{}M", short(value / 1e6)),
        v if v >= 1e4 => format!("{}k", short(value / 1e3)),
        _ => short(rounded),
    }
}

fn short(value: f64) -> String {
    let text = significant(value, 6);
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_string() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn linear_ticks_are_round_and_cover() {
        let scale = Scale::new(&Axis::linear(""), [0.3, 7.3].into_iter(), 5);
        assert_eq!(scale.ticks, [0.0, 2.0, 4.0, 6.0, 8.0]);
        assert_eq!((scale.place(0.0), scale.place(8.0), scale.place(4.0)), (Some(0.0), Some(1.0), Some(0.5)));
        assert_eq!(scale.place(f64::NAN), None);
        let negative = Scale::new(&Axis::linear(""), [-3.0, 9.0].into_iter(), 4);
        assert_eq!(negative.ticks, [-5.0, 0.0, 5.0, 10.0]);
    }

    #[test]
    fn axes_of_points_begin_near_them() {
        let tight = |values: &[f64]| Scale::tight(&Axis::linear(""), values.iter().copied(), 5);
        let scale = tight(&[51.2, 58.9]);
        assert_eq!((scale.low, scale.high), (50.0, 60.0));
        let scale = tight(&[5.0]);
        assert!(
            scale.low <= 4.5 && scale.high >= 5.5 && scale.place(5.0).is_some_and(|p| (p - 0.5).abs() < 0.2)
        );
        assert!(tight(&[0.0]).low < 0.0 && !tight(&[]).ticks.is_empty());
        assert_eq!(Scale::between([-0.5, 1.5]).place(0.5), Some(0.5));
    }

    #[test]
    fn log_ticks_thin_out() {
        let ticks = |low, high| Scale::new(&Axis::log(""), [low, high].into_iter(), 6).ticks;
        assert_eq!(ticks(1.0, 8.0), [1.0, 2.0, 3.0, 5.0, 7.0]);
        assert_eq!(ticks(1.0, 90.0), [1.0, 2.0, 5.0, 10.0, 20.0, 50.0]);
        assert_eq!(ticks(1.0, 1e5), [1.0, 10.0, 100.0, 1e3, 1e4, 1e5]);
        assert!(ticks(1e-9, 1e9).len() <= 6 && ticks(1e-9, 1e9).len() >= 3);
        let scale = Scale::new(&Axis::log(""), [0.0, -1.0, f64::INFINITY, 2.0, 4.0].into_iter(), 6);
        assert_eq!(scale.place(0.0), None);
        assert!((scale.place(8f64.sqrt()).unwrap() - 0.5).abs() < 1e-12);
    }

    #[test]
    fn nothing_and_constants_have_an_axis_too() {
        for axis in [Axis::linear(""), Axis::log("")] {
            for values in [vec![], vec![3.0], vec![0.0], vec![f64::NAN]] {
                let scale = Scale::new(&axis, values.into_iter(), 5);
                assert!(scale.low < scale.high && scale.low.is_finite() && scale.high.is_finite());
                assert!(!scale.ticks.is_empty());
            }
        }
    }

    #[test]
    fn labels_are_short() {
        let values = [0.1 + 0.2, 100.0, 20_000.0, 2.5e6, 0.0, 1e-12, 3.0 * 1e-4, -2e300];
        assert_eq!(values.map(tick_label), ["0.3", "100", "20k", "2.5M", "0", "1e-12", "3e-4", "-2e300"]);
    }

    #[test]
    fn numbers_at_the_ends_of_f64_have_few_ticks() {
        let tiny = f64::from_bits(1);
        for values in
            [[0.0, tiny], [-f64::MAX, f64::MAX], [-1e300, 1e300], [1e-310, 2e-310], [1e16, 1e16 + 2.0]]
        {
            for axis in [Axis::linear(""), Axis::log("")] {
                let (new, tight) =
                    (Scale::new(&axis, values.into_iter(), 6), Scale::tight(&axis, values.into_iter(), 6));
                for scale in [new, tight] {
                    assert!((1..12).contains(&scale.ticks.len()), "{values:?}: {:?}", scale.ticks);
                    assert!(scale.low < scale.high && (scale.high - scale.low).is_finite(), "{values:?}");
                    assert!(values.into_iter().filter_map(|v| scale.place(v)).all(|place| place.is_finite()));
                }
            }
        }
    }

    #[test]
    fn a_falling_axis_has_the_largest_value_first() {
        let scale = Scale::new(&Axis::log("").falling(), [1.0, 100.0].into_iter(), 5);
        let (first, last) = (scale.place(100.0).unwrap(), scale.place(1.0).unwrap());
        assert!(first < 0.1 && last > 0.9 && (first + last - 1.0).abs() < 1e-12);
        assert_eq!((scale.ticks[0], scale.ticks.last()), (100.0, Some(&1.0)));
        let scale = Scale::tight(&Axis::linear("").falling(), [0.0, 8.0].into_iter(), 5);
        assert_eq!((scale.place(8.0), scale.place(2.0)), (Some(0.0), Some(0.75)));
    }
}
