//! Examples of the probability of backtest overfitting: a published one with all of its data, and one by hand.

use super::*;

/// The uniform numbers of R: the Mersenne Twister (Matsumoto, Nishimura 1998), seeded as `set.seed` does.
struct MersenneTwister {
    state: Vec<u32>,
    next: usize,
}

impl MersenneTwister {
    fn new(seed: u32) -> Self {
        let mut seed = seed;
        let mut step = || {
            seed = seed.wrapping_mul(69_069).wrapping_add(1);
            seed
        };
        // 50 steps of scrambling, and one for the position, which is then set to the end.
        let state = (0..50 + 1 + 624).map(|_| step()).skip(51).collect();
        Self { state, next: 624 }
    }

    fn uniform(&mut self) -> f64 {
        let state = &mut self.state;
        if self.next == 624 {
            for at in 0..624 {
                let bits = (state[at] & 0x8000_0000) | (state[(at + 1) % 624] & 0x7fff_ffff);
                state[at] = state[(at + 397) % 624] ^ (bits >> 1) ^ if bits & 1 == 1 { 0x9908_b0df } else { 0 };
            }
            self.next = 0;
        }
        let mut bits = state[self.next];
        self.next += 1;
        bits ^= bits >> 11;
        bits ^= (bits << 7) & 0x9d2c_5680;
        bits ^= (bits << 15) & 0xefc6_0000;
        bits ^= bits >> 18;
        f64::from(bits) * 2.328_306_436_538_696_3e-10
    }

    /// `rnorm`, by inversion.
    fn normal(&mut self) -> f64 {
        let big = 134_217_728.0;
        let first = (big * self.uniform()).floor();
        normal().inverse_cdf((first + self.uniform()) / big)
    }
}

#[test]
fn the_normal_numbers_are_those_of_r() {
    // set.seed(42); rnorm(1)
    assert!((MersenneTwister::new(42).normal() - 1.370_958_45).abs() < 1e-8);
}

/// The example of the R package `pbo` (M. Barry, CRAN), whose data are `set.seed(765)` and 240,000 normal numbers: 100 tries without
/// any edge over 2,400 days, 8 parts, the Sharpe ratio above a rate of 3 % a year. It prints `p_bo 1.0000000` and
/// `p_loss 1.0000000`: all tries have the same mean, so that the best of one half is the worst of the other.
#[test]
fn the_published_probability_is_reproduced() {
    let mut numbers = MersenneTwister::new(765);
    let tries: Vec<Vec<f64>> = (0..100)
        .map(|_| {
            let days: Vec<f64> = (0..2_400).map(|_| numbers.normal()).collect();
            let moments = Moments::of(&days).unwrap();
            let scale = 1.0 / (252.0_f64.sqrt() * moments.deviation);
            days.iter().map(|day| (day - moments.mean) * scale - 0.03 / 252.0).collect()
        })
        .collect();
    let found = Overfitting::with_parts(&tries, 8).unwrap();
    assert_eq!(found.splits, 70);
    assert!((found.probability - 1.0).abs() < 5e-5 && (found.loss_probability - 1.0).abs() < 5e-5, "{found:?}");
}

/// Four parts of two days, each the mean of its part ± 1. The means of A are 3, 3, −1, −1, of B −1, −1, 3, 3, of C 1, 1, 1, 1.
///
/// Chosen in the first two parts, A has mean 3, is best, and outside has −1, the worst of three: its rank is 1/4. The last two parts
/// do the same to B. In the four other halves A and B have mean 1 with a deviation of √(20/3), C mean 1 with √(4/3): C is best inside,
/// and outside as well, with rank 3/4. So the best is not above the median in 2 of 6 halves, and loses in the same 2; the median logit
/// is ln 3.
#[test]
fn three_tries_by_hand() {
    let row = |means: [f64; 4]| means.iter().flat_map(|mean| [mean + 1.0, mean - 1.0]).collect::<Vec<_>>();
    let tries = [row([3.0, 3.0, -1.0, -1.0]), row([-1.0, -1.0, 3.0, 3.0]), row([1.0; 4])];
    let found = Overfitting::with_parts(&tries, 4).unwrap();
    assert_eq!((found.splits, found.probability, found.loss_probability), (6, 2.0 / 6.0, 2.0 / 6.0));
    assert!((found.median_logit - 3.0_f64.ln()).abs() < 1e-12, "{found:?}");
}
