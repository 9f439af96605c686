//! Confidence limits: what a share or a percentile may be at most, by what was seen.
//!
//! All are one-sided at [`CONFIDENCE`], and exact whatever the distribution: that of a share is Clopper and Pearson's, that
//! of a percentile an order statistic by the same binomial tail.

/// Probability that a limit is on the right side of what it limits.
pub(crate) const CONFIDENCE: f64 = 0.95;
/// Halvings of an interval until a limit is as exact as a float.
const HALVINGS: usize = 60;
/// A term of a sum that is smaller than this part of it changes nothing.
const NOTHING: f64 = 1e-17;

/// Returns the upper confidence limit of a share of which `bad` of `of` were seen.
pub(super) fn upper_share(bad: u64, of: u64) -> f64 {
    if bad >= of {
        return 1.0;
    }
    let (mut low, mut high) = (bad as f64 / of as f64, 1.0);
    for _ in 0..HALVINGS {
        let middle = f64::midpoint(low, high);
        if tail(bad, of, middle) > 1.0 - CONFIDENCE {
            low = middle;
        } else {
            high = middle;
        }
    }
    high
}

/// Returns the fewest samples, none of them bad, whose upper limit is not above this share.
pub(super) fn needed(share: f64) -> Option<u64> {
    if share <= 0.0 {
        return None;
    }
    let needed = (1.0 - CONFIDENCE).ln() / (1.0 - share.min(1.0 - f64::EPSILON)).ln();
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is positive, and a cast saturates")]
    Some((needed.ceil() as u64).max(1))
}

/// Returns the rank, from 1, of the sample of `of` that quantile `share` is not above; `None` where there are too few.
pub(super) fn upper_rank(share: f64, of: u64) -> Option<u64> {
    // So many may be longer than the limit, and it holds still.
    let longer = last_within(of, 1.0 - share)?;
    Some(of - longer)
}

/// Returns the rank, from 1, of the sample of `of` that quantile `share` is not below; `None` where there are too few.
pub(super) fn lower_rank(share: f64, of: u64) -> Option<u64> {
    last_within(of, share).map(|shorter| shorter + 1)
}

/// Returns the largest number of which `of` trials of probability `share` seldom bring fewer or as many.
fn last_within(of: u64, share: f64) -> Option<u64> {
    let is_seldom = |count| tail(count, of, share) <= 1.0 - CONFIDENCE;
    if of == 0 || !is_seldom(0) {
        return None;
    }
    let (mut seldom, mut often) = (0, of);
    while often - seldom > 1 {
        let middle = u64::midpoint(seldom, often);
        if is_seldom(middle) {
            seldom = middle;
        } else {
            often = middle;
        }
    }
    Some(seldom)
}

/// Returns the probability that `of` trials of probability `share` bring at most `count`; anything above a half is 1.
fn tail(count: u64, of: u64, share: f64) -> f64 {
    if count >= of || share <= 0.0 || count as f64 >= of as f64 * share {
        return 1.0;
    }
    if share >= 1.0 {
        return 0.0;
    }
    let (n, odds) = (of as f64, (1.0 - share) / share);
    let k = count as f64;
    let first = ln_factorial(n) - ln_factorial(k) - ln_factorial(n - k) + k * share.ln() + (n - k) * (-share).ln_1p();
    let (mut term, mut sum, mut at) = (first.exp(), 0.0, k);
    // Below the mean each term is smaller than the one above it.
    while term > sum * NOTHING {
        sum += term;
        if at < 1.0 {
            break;
        }
        term *= at / (n - at + 1.0) * odds;
        at -= 1.0;
    }
    sum
}

/// The logarithm of a factorial, by Stirling's series; small ones are multiplied out.
fn ln_factorial(n: f64) -> f64 {
    if n < 16.0 {
        let (mut product, mut factor) = (1.0, 2.0);
        while factor <= n {
            product *= factor;
            factor += 1.0;
        }
        return product.ln();
    }
    let inverse = 1.0 / n;
    let series = inverse / 12.0 - inverse.powi(3) / 360.0 + inverse.powi(5) / 1260.0;
    (n + 0.5) * n.ln() - n + 0.5 * (2.0 * std::f64::consts::PI).ln() + series
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn near(found: f64, wanted: f64) {
        assert!((found / wanted - 1.0).abs() < 1e-3, "{found} is not {wanted}");
    }

    #[test]
    fn upper_limits_are_those_of_tables() {
        // Clopper and Pearson, one-sided at 95 %: 1 - 0.05^(1/n) where none is bad, else the beta quantile.
        near(upper_share(0, 100), 0.029_513);
        near(upper_share(0, 3_000), 0.000_998_08);
        near(upper_share(1, 100), 0.046_560);
        near(upper_share(5, 100), 0.102_252);
        near(upper_share(50, 100), 0.586_470);
        near(upper_share(10, 1_000_000), 1.696e-5);
        assert_eq!((upper_share(7, 7), upper_share(0, 0)), (1.0, 1.0));
    }

    #[test]
    fn what_is_needed_is_the_first_number_that_does() {
        for share in [0.1, 0.01, 0.005, 0.001] {
            let needed = needed(share).unwrap();
            assert!(upper_share(0, needed) <= share, "{share}: {needed}");
            assert!(upper_share(0, needed - 1) > share, "{share}: {needed}");
        }
        assert_eq!((needed(0.01), needed(0.0)), (Some(299), None));
    }

    #[test]
    fn ranks_of_percentiles_are_those_of_order_statistics() {
        // 59 and 299 samples are the fewest of which the largest is above p95 and p99 with 95 %.
        assert_eq!((upper_rank(0.95, 58), upper_rank(0.95, 59)), (None, Some(59)));
        assert_eq!((upper_rank(0.99, 298), upper_rank(0.99, 299)), (None, Some(299)));
        let (lower, upper) = (lower_rank(0.99, 10_000).unwrap(), upper_rank(0.99, 10_000).unwrap());
        assert!((9_875..9_890).contains(&lower) && (9_910..9_925).contains(&upper), "{lower} {upper}");
        assert_eq!(upper_rank(0.5, 0), None);
    }

    #[test]
    fn a_limit_is_wrong_no_more_often_than_it_says() {
        // The true share is 1 %. Of all numbers of bad ones that 1,000 may bring, those whose limit is below it are seldom.
        let (mut below, mut term) = (0.0, 0.99_f64.powi(1_000));
        for bad in 0..100_u64 {
            if upper_share(bad, 1_000) < 0.01 {
                below += term;
            }
            term *= (1_000 - bad) as f64 / (bad + 1) as f64 * 0.01 / 0.99;
        }
        assert!(below > 0.0 && below <= 0.05, "{below}");
    }
}
