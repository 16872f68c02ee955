//! Prices for networks whose linear program does not end in time: steps along subgradients of what the prices bound (Polyak,
//! 1969), towards a level above the best so far that comes nearer where it is not reached (Goffin and Kiwiel, 1999).

/// After so many steps without a better value the level comes nearer.
const PATIENCE: u32 = 8;
/// The first level is above the first value by this part of it.
const FIRST_LEVEL: f64 = 0.1;
/// The ascent ends where the level is above the best value by less than this part of it.
const LEVEL_MIN: f64 = 1e-5;

/// A value of prices, and how it grows with each of them.
pub(crate) struct PricedValue {
    pub(crate) value: f64,
    pub(crate) subgradient: Vec<f64>,
}

/// Looks at up to so many prices, none below zero, of which the later ones tend to have the larger values. `look` tells the
/// value of a concave function; `None` ends it.
pub(crate) fn ascend(mut prices: Vec<f64>, rounds: usize, mut look: impl FnMut(&mut Vec<f64>) -> Option<PricedValue>) {
    let mut best: Option<(f64, Vec<f64>)> = None;
    let (mut above, mut waited) = (None, 0);
    for _ in 0..rounds {
        let Some(PricedValue { value, subgradient }) = look(&mut prices) else { return };
        let mut level = above.unwrap_or(value.abs() * FIRST_LEVEL);
        let highest = best.as_ref().map_or(f64::NEG_INFINITY, |(best, _)| *best);
        if value > highest {
            // An improvement that is small against the level does not keep it where it is.
            waited = if value > highest + level / 4.0 { 0 } else { waited + 1 };
            best = Some((value, prices.clone()));
        } else {
            waited += 1;
        }
        let Some((highest, at)) = &best else { return };
        if waited > PATIENCE {
            (waited, level) = (0, level / 2.0);
            prices.clone_from(at);
            if level <= LEVEL_MIN * highest.abs() {
                return;
            }
        }
        above = Some(level);
        let length: f64 = subgradient.iter().map(|part| part * part).sum();
        let step = (highest + level - value) / length;
        if !step.is_finite() {
            return;
        }
        for (price, part) in prices.iter_mut().zip(&subgradient) {
            *price = (*price + step * part).max(0.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_top_of_a_concave_function_is_come_near() {
        // Of 10 - |x - 3| - 2 |y - 5| the top is at (3, 5); below zero is nothing.
        let mut highest = f64::NEG_INFINITY;
        ascend(vec![0.0, 40.0], 400, |at| {
            assert!(at.iter().all(|price| *price >= 0.0), "{at:?}");
            let (x, y) = (at[0], at[1]);
            let value = 10.0 - (x - 3.0).abs() - 2.0 * (y - 5.0).abs();
            highest = highest.max(value);
            Some(PricedValue { value, subgradient: vec![-(x - 3.0).signum(), -2.0 * (y - 5.0).signum()] })
        });
        assert!(highest > 9.9, "{highest}");
    }
}
