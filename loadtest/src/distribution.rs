//! Distributions of a duration, as written on the command line, and samples from them.

use std::f64::consts::TAU;
use std::str::FromStr;
use std::time::Duration;

use crate::quantity::parse_duration;

/// No sample is longer than this, so that a heavy tail cannot park a connection for days.
const SAMPLE_MAX: Duration = Duration::from_secs(3600);

/// A distribution of durations: `0`, `fixed:20ms`, `uniform:10ms..50ms`, `lognormal:30ms:0.5` or `exp:20ms`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Distribution {
    /// Always the same duration.
    Fixed(Duration),
    /// Every duration between the two is as likely.
    Uniform {
        /// The shortest.
        low: Duration,
        /// The longest.
        high: Duration,
    },
    /// A median, and the standard deviation of the natural logarithm.
    Lognormal {
        /// Half of all durations are shorter.
        median: Duration,
        /// From 0 to 10; 0.5 gives a p99 of 3.2 medians.
        sigma: f64,
    },
    /// Exponential, by its mean.
    Exponential {
        /// The mean; the median is 0.69 of it.
        mean: Duration,
    },
}

impl Distribution {
    /// No delay at all.
    pub const ZERO: Self = Self::Fixed(Duration::ZERO);

    /// Draws one duration, at most an hour.
    pub fn sample(&self, random: &mut fastrand::Rng) -> Duration {
        let seconds = match *self {
            Self::Fixed(duration) => return duration.min(SAMPLE_MAX),
            Self::Uniform { low, high } => {
                low.as_secs_f64() + random.f64() * (high.saturating_sub(low)).as_secs_f64()
            }
            Self::Lognormal { median, sigma } => {
                median.as_secs_f64() * (sigma * normal(random)).exp()
            }
            Self::Exponential { mean } => -mean.as_secs_f64() * (1.0 - random.f64()).ln(),
        };
        Duration::try_from_secs_f64(seconds).unwrap_or(SAMPLE_MAX).min(SAMPLE_MAX)
    }
}

/// A standard normal number by Box and Muller; `1 - u` keeps the logarithm finite.
fn normal(random: &mut fastrand::Rng) -> f64 {
    let radius = (-2.0 * (1.0 - random.f64()).ln()).sqrt();
    radius * (TAU * random.f64()).cos()
}

impl FromStr for Distribution {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "0" {
            return Ok(Self::ZERO);
        }
        let expected = || {
            format!(
                "expected 0, fixed:20ms, uniform:10ms..50ms, lognormal:30ms:0.5 (median:sigma) or exp:20ms, got `{text}`"
            )
        };
        let (name, rest) = text.split_once(':').ok_or_else(expected)?;
        match name {
            "fixed" => parse_duration(rest).map(Self::Fixed),
            "exp" => Ok(Self::Exponential { mean: parse_duration(rest)? }),
            "uniform" => {
                let (low, high) = rest.split_once("..").ok_or_else(expected)?;
                let (low, high) = (parse_duration(low)?, parse_duration(high)?);
                if low > high {
                    return Err(format!("expected the lower bound first, got `{text}`"));
                }
                Ok(Self::Uniform { low, high })
            }
            "lognormal" => {
                let (median, sigma) = rest.split_once(':').ok_or_else(expected)?;
                let sigma: f64 = sigma.parse().map_err(|_| expected())?;
                if !(0.0..=10.0).contains(&sigma) {
                    return Err(format!("expected a sigma from 0 to 10, got `{text}`"));
                }
                Ok(Self::Lognormal { median: parse_duration(median)?, sigma })
            }
            _ => Err(expected()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distributions_are_parsed() {
        let ms = Duration::from_millis;
        let cases = [
            ("0", Some(Distribution::ZERO)),
            ("fixed:20ms", Some(Distribution::Fixed(ms(20)))),
            ("uniform:10ms..50ms", Some(Distribution::Uniform { low: ms(10), high: ms(50) })),
            ("lognormal:30ms:0.5", Some(Distribution::Lognormal { median: ms(30), sigma: 0.5 })),
            ("exp:20ms", Some(Distribution::Exponential { mean: ms(20) })),
            ("20ms", None),
            ("fixed:20", None),
            ("uniform:50ms..10ms", None),
            ("uniform:50ms", None),
            ("lognormal:30ms", None),
            ("lognormal:30ms:NaN", None),
            ("gauss:1ms", None),
        ];
        for (text, expected) in cases {
            assert_eq!(text.parse::<Distribution>().ok(), expected, "{text}");
        }
    }

    #[test]
    fn samples_have_the_stated_center() {
        let mut random = fastrand::Rng::with_seed(7);
        let mut middle = |text: &str| {
            let distribution: Distribution = text.parse().unwrap();
            let mut samples: Vec<_> =
                (0..20_000).map(|_| distribution.sample(&mut random)).collect();
            samples.sort();
            let mean =
                samples.iter().map(Duration::as_secs_f64).sum::<f64>() / samples.len() as f64;
            (samples[samples.len() / 2].as_secs_f64() * 1e3, mean * 1e3)
        };
        assert!((middle("lognormal:30ms:0.5").0 - 30.0).abs() < 1.0);
        assert!((middle("exp:20ms").1 - 20.0).abs() < 1.0);
        let (median, mean) = middle("uniform:10ms..50ms");
        assert!((median - 30.0).abs() < 1.0 && (mean - 30.0).abs() < 1.0);
    }

    #[test]
    fn heavy_tail_is_truncated() {
        let mut random = fastrand::Rng::with_seed(1);
        let wild = Distribution::Lognormal { median: Duration::from_secs(3000), sigma: 10.0 };
        assert!((0..1000).all(|_| wild.sample(&mut random) <= SAMPLE_MAX));
    }
}
