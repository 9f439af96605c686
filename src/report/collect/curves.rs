//! Latency by percentile, for pictures: the block `curves` of the summary.

use crate::report::schema::curves::Curve;

/// Points of a curve, the maximum included. They are as far from each other on a scale of 1 / (1 - share): as many
/// between 90 % and 99 % as between 99 % and 99.9 %.
pub(crate) const POINTS: usize = 60;

/// Returns the curve of `count` durations, where `quantile` maps a share to its longest duration. It ends where there
/// are too few durations to separate shares: 99.9 % of a hundred is the maximum.
pub(crate) fn curve(count: u64, max: u64, quantile: impl Fn(f64) -> u64) -> Curve {
    if count == 0 {
        return Curve::new();
    }
    let most = (count as f64).log10();
    let share = |at: usize| 1.0 - 10_f64.powf(-most * at as f64 / (POINTS - 1) as f64);
    // Nine digits tell a thousand million requests apart.
    let rounded = |share: f64| (share * 1e9).round() / 1e9;
    let mut points: Curve = (0..POINTS - 1).map(share).map(|share| (rounded(share), quantile(share))).collect();
    points.dedup_by_key(|(share, _)| share.to_bits());
    points.push((1.0, max));
    points
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_curve_rises_to_the_maximum_and_has_as_many_points_for_each_nine() {
        let points = curve(100_000, 7, |share| if share < 0.9 { 1 } else { 5 });
        assert_eq!((points.len(), points[0], *points.last().unwrap()), (POINTS, (0.0, 1), (1.0, 7)));
        assert!(points.windows(2).all(|two| two[0].0 < two[1].0 && two[0].1 <= two[1].1));
        let between = |from: f64, to: f64| points.iter().filter(|(share, _)| (from..to).contains(share)).count();
        assert!(between(0.9, 0.99).abs_diff(between(0.99, 0.999)) <= 1);
    }

    #[test]
    fn few_durations_make_short_curves() {
        assert_eq!(curve(0, 0, |_| 0), []);
        assert_eq!(curve(1, 3, |_| 3), [(0.0, 3), (1.0, 3)]);
    }
}
