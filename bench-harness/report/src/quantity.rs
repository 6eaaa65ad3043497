//! Numbers as people read them: three significant digits and a unit that keeps them short.

/// `value` with `digits` significant digits and no exponent; thousands are set apart by a thin space.
///
/// ```
/// use tilewise_report::significant;
/// assert_eq!(significant(0.012345, 3), "0.0123");
/// assert_eq!(significant(1234567.0, 3), "1\u{202f}234\u{202f}567");
/// ```
pub fn significant(value: f64, digits: usize) -> String {
    if !value.is_finite() {
        return if value.is_nan() { "-".into() } else { format!("{value}") };
    }
    let magnitude = if value == 0.0 { 0 } else { value.abs().log10().floor() as i64 };
    let decimals = (digits as i64 - 1 - magnitude).clamp(0, 12) as usize;
    let mut text = format!("{value:.decimals$}");
    // Rounding may have added a digit: 9.996 is 10.0 with three, not 10.00.
    let shown = text.trim_start_matches(['-', '0', '.']).chars().filter(char::is_ascii_digit).count();
    if shown > digits && decimals > 0 {
        text = format!("{value:.0$}", decimals - 1);
    }
    group_thousands(&text)
}

fn group_thousands(text: &str) -> String {
    let (sign, rest) = text.strip_prefix('-').map_or(("", text), |rest| ("-", rest));
    let (whole, fraction) = rest.split_once('.').map_or((rest, ""), |(w, f)| (w, f));
    let mut out = String::from(sign);
    for (i, digit) in whole.chars().enumerate() {
        if i > 0 && (whole.len() - i) % 3 == 0 && whole.len() > 4 {
            out.push('\u{202f}');
        }
        out.push(digit);
    }
    if !fraction.is_empty() {
        out.push('.');
        out.push_str(fraction);
    }
    out
}

/// A duration: `1.23 ms`.
pub fn seconds(value: f64) -> String {
    let (scale, unit) = match value.abs() {
        v if v < 1e-6 => (1e9, "ns"),
        v if v < 1e-3 => (1e6, "µs"),
        v if v < 1.0 => (1e3, "ms"),
        _ => (1.0, "s"),
    };
    format!("{} {unit}", significant(value * scale, 3))
}

/// A number of bytes in powers of 1024: `32 MiB`.
pub fn bytes(value: u64) -> String {
    let units = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut scaled = value as f64;
    let mut unit = 0;
    while scaled >= 1024.0 && unit + 1 < units.len() {
        scaled /= 1024.0;
        unit += 1;
    }
    let text = if scaled.fract() == 0.0 { format!("{scaled}") } else { significant(scaled, 3) };
    format!("{text} {}", units[unit])
}

/// Something per second with a decimal prefix: `rate(3.2e10, "B/s")` is `32.0 GB/s`.
pub fn rate(value: f64, unit: &str) -> String {
    let (scale, prefix) = match value.abs() {
        v if v >= 1e12 => (1e-12, "T"),
        v if v >= 1e9 => (1e-9, "G"),
        v if v >= 1e6 => (1e-6, "M"),
        v if v >= 1e4 => (1e-3, "k"),
        _ => (1.0, ""),
    };
    format!("{} {prefix}{unit}", significant(value * scale, 3))
}

/// A quotient: `1.97x`.
pub fn ratio(value: f64) -> String {
    format!("{}x", significant(value, 3))
}

/// A share of one: `0.853` is `85.3 %`.
pub fn percent(value: f64) -> String {
    format!("{} %", significant(value * 100.0, 3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_digits_whatever_the_size() {
        assert_eq!(significant(9.996, 3), "10.0");
        assert_eq!(significant(0.09996, 3), "0.100");
        assert_eq!(significant(-1234.5, 3), "-1234");
        assert_eq!(significant(0.0, 3), "0.00");
        assert_eq!(significant(f64::NAN, 3), "-");
        assert_eq!(seconds(1.2345e-7), "123 ns");
        assert_eq!(seconds(0.0456), "45.6 ms");
        assert_eq!(seconds(75.0), "75.0 s");
        assert_eq!(bytes(32 << 20), "32 MiB");
        assert_eq!(bytes(1500), "1.46 KiB");
        assert_eq!(rate(106.4e9, "flop/s"), "106 Gflop/s");
        assert_eq!(rate(80_000.0, "requests/s"), "80.0 krequests/s");
        assert_eq!(percent(0.8534), "85.3 %");
        assert_eq!(ratio(1.966), "1.97x");
    }
}
